"""Sequences of a pass one behind the other in one row, without padding, where attention keeps them apart."""
