"""Faults of the input topic and its load."""

from __future__ import annotations

import random
from typing import Final

from tests.chaos.fault import moment
from tests.chaos.world import World

MOST_PARTITIONS: Final = 12

BURST: Final = 10
"""So many times the records of a whole cycle come at once."""


def add_partition(world: World, _: random.Random) -> None:
    """One more partition of the input topic, while the group runs."""
    if world.partitions < MOST_PARTITIONS:
        world.add_partition()


def truncate(world: World, generator: random.Random) -> None:
    """What the group has committed is deleted from the input topic while it reads on, as by a short retention."""
    moment(world, generator)
    world.truncate()


def burst(world: World, generator: random.Random) -> None:
    """Ten times the load at once."""
    world.produce(BURST * world.load, generator)
    world.flush()
