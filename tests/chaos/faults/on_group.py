"""Faults of the group: its offsets are deleted, or expire, while nobody is in it."""

from __future__ import annotations

import random
import signal
from typing import Final

from tests.chaos.faults.fault import Strike
from tests.chaos.world.world import SESSION_MS, World

EMPTY_S: Final = SESSION_MS / 1000 + 30.0
"""Longest wait until a group has no members: those that were killed are missed after a session."""

EXPIRED_S: Final = 150.0
"""Longest wait until offsets expire. Apache Kafka keeps them for a minute at least."""


def delete_group(number: signal.Signals) -> Strike:
    """All processes end, the group is deleted while records come in, and the processes start again."""

    def strike(world: World, generator: random.Random) -> None:
        _end_all(world, number)
        world.produce(world.load // 4, generator)
        world.flush()
        world.admin.delete_group(EMPTY_S)
        _start_all(world)

    return strike


def expire_offsets(world: World, generator: random.Random) -> None:
    """All processes are away for longer than the brokers keep a group's offsets, and records come in meanwhile."""
    _end_all(world, signal.SIGTERM)
    world.produce(world.load // 4, generator)
    world.flush()
    assert world.wait(lambda: all(at.offset < 0 for at in world.admin.committed(world.partitions)), EXPIRED_S), (
        "the group's offsets do not expire"
    )
    _start_all(world)


def _end_all(world: World, number: signal.Signals) -> None:
    for process in world.fleet:
        if number is signal.SIGKILL:
            process.kill()
        else:
            process.stop()


def _start_all(world: World) -> None:
    for process in world.fleet:
        process.start()
