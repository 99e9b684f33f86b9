"""Keeps kafka-python's own log lines off the terminal of commands that say the same in better words."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def client_silenced() -> Iterator[None]:
    """Pass no line of kafka-python on to the log; the client still hears why a broker refuses us."""
    logger = logging.getLogger("kafka")
    before = logger.propagate
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
