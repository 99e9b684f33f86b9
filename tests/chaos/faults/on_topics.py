"""Faults of the input topic and its load."""

from __future__ import annotations

import random
import signal
from typing import Final, Literal

from tests.chaos.faults.fault import Strike, feed, moment
from tests.chaos.world.world import World

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


def empty_behind(last: Literal["records", "commits", "aborted records"], *, restart: bool) -> Strike:
    """Every partition is emptied once all is answered; what the group stands behind is given.

    Args:
        last: what each partition ended with.
        restart: whether the processes are gone meanwhile, and begin again at emptied partitions; else those of one
            that is killed come to the others.
    """

    def strike(world: World, generator: random.Random) -> None:
        if last != "records":
            world.upstream.end_partitions(world.partitions, generator, commit=last == "commits")
        world.wait_answered()
        world.wait_no_lag()
        world.truncate()
        for process in world.fleet if restart else [generator.choice(world.fleet)]:
            process.send(signal.SIGTERM if restart else signal.SIGKILL)
        world.pause(generator.uniform(0.0, 3.0))

    return strike


def outlive_retention(world: World, generator: random.Random) -> None:
    """The brokers themselves delete all that is answered, because it is too old; then a process restarts."""
    world.upstream.end_partitions(world.partitions, generator, commit=generator.random() < 0.5)
    world.wait_answered()
    world.wait_no_lag()
    assert world.let_retention_work(), "the brokers delete nothing that is too old"
    generator.choice(world.fleet).send(signal.SIGTERM)


def hold_readers_up(world: World, generator: random.Random) -> None:
    """A producer dies in the middle of a transaction: nobody may read past it until the broker ends it."""
    world.upstream.leave_open(world.partitions, generator)
    feed(world, generator, generator.uniform(1.0, 8.0))


def burst(world: World, generator: random.Random) -> None:
    """Ten times the load at once."""
    world.produce(BURST * world.load, generator)
    world.flush()
