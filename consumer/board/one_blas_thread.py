"""Matrices multiplied in the thread that computes an answer, and in no other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import scipy.linalg  # noqa: F401 - only a library that is loaded can be told
from threadpoolctl import threadpool_limits


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Let numpy and scipy multiply matrices in the thread that calls them, until the end of the block.

    The library behind them (BLAS) shares a matrix of a hundred rows between all cores, and its threads wait for each
    other by spinning: on two cores with other work strengths of 200 models took 1 to 8 s so, and take .07 without. It
    holds for the whole process: none in which judges score.
    """
    with threadpool_limits(1, user_api="blas"):
        yield
