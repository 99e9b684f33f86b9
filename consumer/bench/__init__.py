"""Benchmarks of the stream, each against a second program in the same run."""
