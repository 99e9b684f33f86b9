"""Faults of the processes: killed, stopped, frozen, doubled, with a wrong clock."""

from __future__ import annotations

import random
import signal
import threading
from typing import Final

from tests.chaos.faults.fault import Strike, moment, spring, subfolder
from tests.chaos.world.fleet import Supervised
from tests.chaos.world.world import POLL_INTERVAL_MS, SESSION_MS, TRANSACTION_MS, World

ZOMBIE_S: Final = max(SESSION_MS, POLL_INTERVAL_MS) / 1000 + 2.0
"""A process that is frozen for so long wakes up as nobody's member, with a transaction that others may have ended."""

TIMED_OUT_S: Final = TRANSACTION_MS / 1000 + 3.0
"""After so long the broker has ended an open transaction: it looks once a second."""

JUMP_S: Final = 3_600.0


def kill(world: World, generator: random.Random) -> None:
    """SIGKILL, wherever the process happens to be."""
    moment(world, generator)
    generator.choice(world.fleet).send(signal.SIGKILL)


def terminate(world: World, generator: random.Random) -> None:
    """SIGTERM: it drains, and is started again."""
    moment(world, generator)
    generator.choice(world.fleet).send(signal.SIGTERM)


def kill_all(world: World, generator: random.Random) -> None:
    """SIGKILL of every process at once, as when a node is lost."""
    moment(world, generator)
    for process in world.fleet:
        process.send(signal.SIGKILL)


def kill_at(point: str) -> Strike:
    """SIGKILL exactly at a point of the exactly-once path."""

    def strike(world: World, generator: random.Random) -> None:
        spring(world, generator, point, signal.SIGKILL)

    return strike


def freeze_at(point: str, seconds: float = ZOMBIE_S) -> Strike:
    """SIGSTOP exactly at a point, for longer than the session and the poll interval: a zombie wakes up there."""

    def strike(world: World, generator: random.Random) -> None:
        process = spring(world, generator, point, signal.SIGSTOP)
        world.pause(seconds)
        process.send(signal.SIGCONT)

    return strike


def scale(world: World, generator: random.Random) -> None:
    """Down to one process, and up again."""
    stays = generator.choice(world.fleet)
    others = [process for process in world.fleet if process is not stays]
    for process in others:
        process.stop()
    world.pause(generator.uniform(1.0, 4.0))
    for process in others:
        process.start()


def twin(world: World, generator: random.Random) -> None:
    """A second process with the instance id of one that lives: one of both is fenced."""
    original = generator.choice(world.fleet)
    double = Supervised(original.name, world.arguments(original.name), subfolder(world, "twin"))
    double.start()
    world.pause(generator.uniform(4.0, 8.0))
    double.kill()


def jump_clock(world: World, generator: random.Random) -> None:
    """The wall clock of one process jumps an hour ahead, an hour behind, and is put right again."""
    process = generator.choice(world.fleet)
    for ahead_s in (JUMP_S, -JUMP_S):
        process.clock.put(ahead_s)
        world.produce(4 * world.partitions, generator)
        world.pause(2.0)
    process.clock.put_right()


def with_sigterm(strike: Strike) -> Strike:
    """Another fault, and meanwhile or just after it SIGTERM for one of the processes."""

    def both(world: World, generator: random.Random) -> None:
        process = generator.choice(world.fleet)
        timer = threading.Timer(generator.uniform(0.2, 6.0), process.send, (signal.SIGTERM,))
        timer.start()
        try:
            strike(world, generator)
        finally:
            timer.join()

    return both
