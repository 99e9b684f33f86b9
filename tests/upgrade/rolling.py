"""Another version takes over, process by process, while records flow, and gives the place back."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.faults.fault import feed
from tests.chaos.world.fleet import Supervised, Version
from tests.chaos.world.world import World
from tests.support.processes import START_S

REPOSITORY: Final = Path(__file__).parents[2]

KILLED_AT: Final = "before commit"
"""The worst moment: all is sent, the transaction open; a version with another transactional id lets it time out."""

LOOK_S: Final = 0.5

LIVES_S: Final = 3.0
"""How long versions work side by side after each step."""


@dataclass(frozen=True)
class Step:
    """One process that was replaced.

    Attributes:
        process: its name.
        version: what runs there now.
        how: by which signal the one before ended.
        away_s: until the new one read a partition, in seconds.
        silence_s: as of a cycle of faults.
        stall_s: as of a cycle of faults.
    """

    process: str
    version: str
    how: str
    away_s: float
    silence_s: float
    stall_s: float


def installed(python: str, folder: Path, name: str, options: Sequence[str] = ()) -> Version:
    """The version that an interpreter has; our tests put their points around it.

    Args:
        python: the interpreter.
        folder: for a link to the tests, beside which nothing of this version lies.
        name: for people.
        options: of `run`, for this version alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "tests"
    if not link.exists():
        link.symlink_to(REPOSITORY / "tests")
    # Without the working directory on its path, where this version lies.
    environment = {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}
    return Version(name, python, environment, tuple(options))


def upgrade_and_back(
    world: World, old: Version, new: Version, *, records: int, generator: random.Random
) -> Iterator[Step]:
    """Start all processes with the old version, replace each by the new one, and each by the old one again.

    The last process of each round is killed in the middle of a transaction, and its successor is of the other version.

    Args:
        world: entered; what runs is replaced by the old version first.
        old: version to begin with.
        new: version to change to.
        records: to write before each step, and after it.
        generator: of every choice.

    Yields:
        What each step cost, once all its records are answered.
    """
    world.produce(records, generator)
    world.wait_answered()  # all have joined
    for version in (old, new, old):
        for process in world.fleet:
            is_killed = process is world.fleet[-1]
            yield _replace(
                world, process, version, records, generator, kill=is_killed, stands_at_the_end=version == new
            )


def _replace(
    world: World,
    process: Supervised,
    version: Version,
    records: int,
    generator: random.Random,
    *,
    kill: bool,
    stands_at_the_end: bool,
) -> Step:
    """Replace one process.

    Args:
        world: entered.
        process: the one.
        version: what it runs from now on.
        records: to write before and after.
        generator: of every choice.
        kill: in the middle of a transaction; else it is asked to stop.
        stands_at_the_end: whether a group of this version alone stands behind markers and aborted records.
    """
    world.reader.take_silence()
    world.reader.take_stall()
    world.produce(records, generator)
    before = process.pid
    process.version = version
    if kill:
        process.trap.set(KILLED_AT, signal.SIGKILL.name)
        _wait_for(world, generator, lambda: not process.trap.is_set)
    else:
        process.send(signal.SIGTERM)
    away_s = _wait_for(world, generator, lambda: process.pid != before and bool(process.serves()))
    world.produce(records, generator)
    feed(world, generator, LIVES_S)
    world.wait_answered()
    if stands_at_the_end and all(other.version == version for other in world.fleet):
        world.wait_no_lag()
    return Step(
        process.name,
        version.name,
        "SIGKILL " + KILLED_AT if kill else "SIGTERM",
        away_s,
        world.reader.take_silence(),
        world.reader.take_stall(),
    )


def _wait_for(world: World, generator: random.Random, condition: Callable[[], bool]) -> float:
    """Let records flow until something holds; how long that took, in seconds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() < started + START_S, f"waited {START_S:.0f} s in vain; {world}"
        feed(world, generator, LOOK_S)
    return time.monotonic() - started
