"""A device that several judges use: side by side, but for one that needs all of its memory for a moment.

A battle that did not fit beside the passes of another judge may fit alone. So it gets its last try while nobody else
computes there: who asks for the device alone waits until the passes of others are over, and holds off new ones.

No deadlock: a thread has one share at a time, never asks for another before it gave that back, and passes end.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final


class DeviceShare:
    """Who computes on one device at a moment: any number side by side, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._side_by_side = 0
        self._alone = False

    @contextmanager
    def side_by_side(self) -> Iterator[None]:
        """Compute beside others; waits while one is, or wants to be, alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._side_by_side += 1
        try:
            yield
        finally:
            with self._changed:
                self._side_by_side -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Compute while nobody else does; waits for those who do."""
        with self._changed:
            self._changed.wait_for(lambda: not self._alone)
            self._alone = True  # from here on nobody else begins
            self._changed.wait_for(lambda: not self._side_by_side)
        try:
            yield
        finally:
            with self._changed:
                self._alone = False
                self._changed.notify_all()


_SHARES: Final[dict[str, DeviceShare]] = {}
_SHARES_LOCK: Final = threading.Lock()


def share_of(device: str) -> DeviceShare:
    """The one that all judges on a device have in common, in this process."""
    with _SHARES_LOCK:
        return _SHARES.setdefault(device, DeviceShare())
