"""What a fault is, and what all kinds of faults are made of."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from prefstream.consumer.broker import BrokerSettings
from tests.chaos.world.fleet import Supervised
from tests.chaos.world.world import World

Strike: TypeAlias = Callable[[World, random.Random], None]

FEED_EVERY_S: Final = 0.5
"""A record for each partition so often: little beside a cycle's own, and enough that every process has work."""

REACHED_S: Final = 20.0
"""Longest wait until a process comes by what waits for it: it may have no partition just now."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: for the report.
        strike: makes it happen, and has mended it when it returns; recovery comes after.
        weight: how often it is chosen, beside the others.
        brokers: how many brokers the cluster must have; 0 strikes no broker.
        embedded: whether it needs the embedded broker, which answers as it is told.
        short_retention: whether it needs brokers that look for what is too old all the time, not every five minutes.
    """

    name: str
    strike: Strike
    weight: int = 1
    brokers: int = 0
    embedded: bool = False
    short_retention: bool = False

    def can_strike(self, *, brokers: int, embedded: bool) -> bool:
        """Whether there is what it needs.

        Args:
            brokers: how many may be struck.
            embedded: whether the embedded broker runs in this process.
        """
        are_ours = embedded or brokers > 0  # and so have the settings below
        return self.brokers <= brokers and (embedded or not self.embedded) and (are_ours or not self.short_retention)


EMBEDDED_SETTINGS: Final = BrokerSettings(log_retention_check_interval_ms=500)

APACHE_SETTINGS: Final = {"log.retention.check.interval.ms": 500, "log.initial.task.delay.ms": 500}
"""Of brokers that are started for faults: what is too old is deleted at once."""


def moment(world: World, generator: random.Random) -> None:
    """Wait until records flow, for as long as chance says."""
    world.pause(generator.uniform(0.0, 1.5))


def feed(world: World, generator: random.Random, seconds: float) -> None:
    """Let time pass while records flow."""
    deadline = time.monotonic() + seconds
    while (left_s := deadline - time.monotonic()) > 0:
        world.produce(world.partitions, generator)
        world.pause(min(FEED_EVERY_S, left_s))


def feed_until(world: World, generator: random.Random, condition: Callable[[], bool]) -> bool:
    """Let records flow until something holds, for a while; whether it came to hold."""
    deadline = time.monotonic() + REACHED_S
    while not (holds := condition()) and time.monotonic() < deadline:
        world.produce(world.partitions, generator)
        world.wait(condition, FEED_EVERY_S)
    return holds


def spring(world: World, generator: random.Random, point: str, action: signal.Signals | str) -> Supervised:
    """Set a trap in one process, and wait until it has sprung: records flow, so it comes by."""
    process = generator.choice(world.fleet)
    process.trap.set(point, action.name if isinstance(action, signal.Signals) else action)
    if not feed_until(world, generator, lambda: not process.trap.is_set):
        process.trap.clear()
    return process


def one_of(*faults: Fault) -> Strike:
    """Any of these, by their weights."""

    def strike(world: World, generator: random.Random) -> None:
        (fault,) = generator.choices(faults, [fault.weight for fault in faults])
        fault.strike(world, generator)

    return strike


def subfolder(world: World, name: str) -> Path:
    """A folder for what a fault writes."""
    folder = world.folder / name
    folder.mkdir(exist_ok=True)
    return folder
