"""Benchmarks of judging and training, each against a second program in the same run."""
