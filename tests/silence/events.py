"""What happens to a fleet, and the silence that it costs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from tests.silence.fleet import Fleet
from tests.silence.load import Load

PARTITIONS: Final = 12

LEADER: Final = 2
"""The process that starts first, so that it leads the group; of three the last ordinal, which goes first."""

REST_S: Final = 2.0
"""Measured beyond the moment in which all is well again: what comes late counts, too."""


@dataclass
class Silence:
    """What an event cost, in seconds; None where there was no such partition.

    Attributes:
        living: longest silence of a partition whose process lives on.
        gone: longest silence of a partition whose process went.
        starts: how long the starts took that the event waited for, judges included.
    """

    living: float | None = None
    gone: float | None = None
    starts: list[float] = field(default_factory=list)

    def add(self, living: float | None, gone: float | None) -> None:
        """Count another part of the event."""
        self.living = max((part for part in (self.living, living) if part is not None), default=None)
        self.gone = max((part for part in (self.gone, gone) if part is not None), default=None)


class Watch:
    """Measures the parts of an event, one after the other.

    Args:
        fleet: what it happens to.
        load: what is written and read meanwhile.
    """

    def __init__(self, fleet: Fleet, load: Load) -> None:
        self.fleet = fleet
        self.silence = Silence()
        self._load = load

    @contextmanager
    def part(self, *going: int) -> Iterator[None]:
        """Measure what happens in the block, until all is well again; the processes of these ordinals go."""
        theirs = set().union(*(self.fleet.owned_by(ordinal) for ordinal in going))
        started, began = len(self.fleet.starts_s), time.monotonic()
        yield
        self.settle()
        time.sleep(REST_S)
        ended = time.monotonic()
        self.silence.starts += self.fleet.starts_s[started:]
        self.silence.add(
            self._load.longest_silence(set(range(PARTITIONS)) - theirs, began, ended),
            self._load.longest_silence(theirs, began, ended),
        )

    def settle(self) -> None:
        """Wait until every process has its share and every partition its answers."""
        self.fleet.wait_settled(PARTITIONS, also=self._load.is_flowing)


def _killed_and_restarted(watch: Watch) -> None:
    with watch.part(LEADER):
        watch.fleet.kill(LEADER)
        time.sleep(1.0)
        watch.fleet.start_and_wait(LEADER)


def _killed(watch: Watch) -> None:
    with watch.part(LEADER):
        watch.fleet.kill(LEADER)


def _rolling_restart(watch: Watch) -> None:
    for ordinal in sorted(watch.fleet.live, reverse=True):
        with watch.part(ordinal):
            watch.fleet.stop(ordinal)
            watch.fleet.start_and_wait(ordinal)


def _scaled(watch: Watch) -> None:
    with watch.part():
        for ordinal in (3, 4):
            watch.fleet.start(ordinal)
        for ordinal in (3, 4):
            watch.fleet.live[ordinal].wait_streaming()
    with watch.part(2, 3, 4):
        watch.fleet.stop(2, 3, 4)


EVENTS: Final[dict[str, Callable[[Watch], None]]] = {
    "SIGKILL, restart after 1 s": _killed_and_restarted,
    "SIGKILL, no restart": _killed,
    "rolling restart of all": _rolling_restart,
    "scaling 3 -> 5 -> 2": _scaled,
}
"""By name; each begins with three processes. The group's leader is among those that go."""


def measure(event: Callable[[Watch], None], fleet: Fleet, load: Load) -> Silence:
    """Start three processes, let the event happen, and tell what it cost."""
    watch = Watch(fleet, load)
    for ordinal in (LEADER, 0, 1):
        fleet.start_and_wait(ordinal)
        watch.settle()
    event(watch)
    return watch.silence
