"""The faults that operators meet. Each strikes, and has been mended when its function returns; recovery comes after."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.fleet import Supervised
from tests.chaos.points import POINTS
from tests.chaos.world import POLL_INTERVAL_MS, SESSION_MS, World
from tests.kafka.cluster import KafkaCluster

ZOMBIE_S: Final = max(SESSION_MS, POLL_INTERVAL_MS) / 1000 + 2.0
"""A process that is frozen for so long wakes up as nobody's member, with a transaction that others may have ended."""

MOST_PARTITIONS: Final = 12

REACHED_S: Final = 20.0
"""Longest wait until a process comes by the point where its trap is set: it may have no partition just now."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault.

    Attributes:
        name: for the report.
        strike: makes it happen, and mends it.
        weight: how often it is chosen, beside the others.
        brokers: how many brokers the cluster must have; 0 strikes no broker.
    """

    name: str
    strike: Callable[[World, random.Random], None]
    weight: int = 1
    brokers: int = 0


def kill(world: World, generator: random.Random) -> None:
    """SIGKILL, wherever the process happens to be."""
    _moment(world, generator)
    generator.choice(world.fleet).send(signal.SIGKILL)


def terminate(world: World, generator: random.Random) -> None:
    """SIGTERM: it drains, and is started again."""
    _moment(world, generator)
    generator.choice(world.fleet).send(signal.SIGTERM)


def kill_all(world: World, generator: random.Random) -> None:
    """SIGKILL of every process at once, as when a node is lost."""
    _moment(world, generator)
    for process in world.fleet:
        process.send(signal.SIGKILL)


def kill_at(point: str) -> Callable[[World, random.Random], None]:
    """SIGKILL exactly at a point of the exactly-once path."""

    def strike(world: World, generator: random.Random) -> None:
        _spring(world, generator, point, signal.SIGKILL)

    return strike


def freeze_at(point: str) -> Callable[[World, random.Random], None]:
    """SIGSTOP exactly at a point, for longer than the session and the poll interval: a zombie wakes up there."""

    def strike(world: World, generator: random.Random) -> None:
        process = _spring(world, generator, point, signal.SIGSTOP)
        world.pause(ZOMBIE_S)
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
    double = Supervised(original.name, world.arguments(original.name), _folder(world, "twin"))
    double.start()
    world.pause(generator.uniform(4.0, 8.0))
    double.kill()


def add_partition(world: World, _: random.Random) -> None:
    """One more partition of the input topic, while the group runs."""
    if world.partitions < MOST_PARTITIONS:
        world.add_partition()


def kill_broker(role: str) -> Callable[[World, random.Random], None]:
    """SIGKILL of the broker with a role, and its restart."""

    def strike(world: World, generator: random.Random) -> None:
        cluster = _cluster(world)
        _moment(world, generator)
        broker = cluster.brokers[_holder(world, role, generator)]
        broker.kill()
        world.pause(generator.uniform(0.5, 12.0))  # before and after a new leader is found
        broker.start()
        world.wait(cluster.is_ready, 60.0)

    return strike


def freeze_broker(world: World, generator: random.Random) -> None:
    """SIGSTOP of a broker: connections stay open, and nothing answers."""
    cluster = _cluster(world)
    broker = generator.choice(list(cluster.brokers.values()))
    broker.pause()
    try:
        world.pause(generator.uniform(2.0, 15.0))
    finally:
        broker.resume()
    world.wait(cluster.is_ready, 60.0)


def restart_broker(world: World, generator: random.Random) -> None:
    """A broker is stopped in order, as for an upgrade, and started again."""
    cluster = _cluster(world)
    broker = generator.choice(list(cluster.brokers.values()))
    broker.stop()
    world.pause(1.0)
    broker.start()
    world.wait(cluster.is_ready, 60.0)


FAULTS: Final = (
    Fault("SIGKILL at any moment", kill, weight=3),
    Fault("SIGTERM", terminate, weight=2),
    Fault("SIGKILL of all processes", kill_all),
    *(Fault(f"SIGKILL {point}", kill_at(point)) for point in POINTS),
    *(Fault(f"SIGSTOP {point}", freeze_at(point)) for point in POINTS),
    Fault("scaled down to one, and up", scale, weight=2),
    Fault("a twin with the same id", twin),
    Fault("one more partition", add_partition),
    Fault("a leader killed", kill_broker("leader"), weight=2, brokers=3),
    Fault("the group's coordinator killed", kill_broker("group"), weight=2, brokers=3),
    Fault("a transaction coordinator killed", kill_broker("transactions"), weight=2, brokers=3),
    Fault("a broker frozen", freeze_broker, brokers=3),
    Fault("a broker restarted in order", restart_broker, brokers=3),
)


def _moment(world: World, generator: random.Random) -> None:
    world.pause(generator.uniform(0.0, 1.5))


def _spring(world: World, generator: random.Random, point: str, number: signal.Signals) -> Supervised:
    """Set a trap in one process, and wait until it has sprung: records flow, so it comes by."""
    process = generator.choice(world.fleet)
    process.trap.set(point, number)
    for _ in range(int(REACHED_S / 0.5)):
        if not process.trap.is_set:
            return process
        world.produce(world.partitions, generator)
        world.pause(0.5)
    process.trap.clear()
    return process


def _folder(world: World, name: str) -> Path:
    folder = world.folder / name
    folder.mkdir(exist_ok=True)
    return folder


def _cluster(world: World) -> KafkaCluster:
    assert world.cluster is not None
    return world.cluster


def _holder(world: World, role: str, generator: random.Random) -> int:
    """Number of the broker that has a role now."""
    cluster = _cluster(world)
    if role == "group":
        return cluster.coordinator(group_id=world.config.group_id)
    if role == "transactions":
        process = generator.choice(world.fleet)
        return cluster.coordinator(transactional_id=f"{world.config.group_id}-{process.name}")
    return cluster.leader(world.config.battles_topic, generator.randrange(world.partitions))
