"""Faults of the brokers of a cluster: killed, frozen, restarted, all gone."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Literal

from tests.chaos.faults.fault import Strike, feed, moment
from tests.chaos.world.world import World
from tests.support.kafka.cluster import KafkaBroker, KafkaCluster

READY_S: Final = 60.0
"""Longest wait until a cluster is whole again: brokers that were killed look through their logs first."""


def kill_broker(role: Literal["leader", "group", "transactions"]) -> Strike:
    """SIGKILL of the broker with a role, and its restart."""

    def strike(world: World, generator: random.Random) -> None:
        cluster = cluster_of(world)
        moment(world, generator)
        broker = cluster.brokers[_holder(world, role, generator)]
        with _struck(world):
            broker.kill()
            feed(world, generator, generator.uniform(0.5, 12.0))  # before and after a new leader is found
            broker.start()

    return strike


def kill_all_brokers(shortest_s: float, longest_s: float) -> Strike:
    """SIGKILL of all brokers at once; they are gone for a while, and come back together."""

    def strike(world: World, generator: random.Random) -> None:
        cluster = cluster_of(world)
        moment(world, generator)
        with _struck(world):
            for broker in cluster.brokers.values():
                broker.kill()
            feed(world, generator, generator.uniform(shortest_s, longest_s))
            for broker in cluster.brokers.values():
                broker.start()

    return strike


def freeze_broker(world: World, generator: random.Random) -> None:
    """SIGSTOP of a broker: connections stay open, and nothing answers."""
    broker = _any_broker(world, generator)
    with _struck(world):
        broker.pause()
        try:
            feed(world, generator, generator.uniform(2.0, 15.0))
        finally:
            broker.resume()


def restart_broker(world: World, generator: random.Random) -> None:
    """A broker is stopped in order, as for an upgrade, and started again."""
    broker = _any_broker(world, generator)
    with _struck(world):
        broker.stop()
        feed(world, generator, 1.0)
        broker.start()


def terminate_meanwhile(world: World, generator: random.Random) -> None:
    """SIGTERM of a process while a broker is away."""
    broker = _any_broker(world, generator)
    with _struck(world):
        broker.kill()
        feed(world, generator, generator.uniform(0.0, 3.0))
        generator.choice(world.fleet).send(signal.SIGTERM)
        feed(world, generator, generator.uniform(1.0, 8.0))
        broker.start()


def cluster_of(world: World) -> KafkaCluster:
    """The brokers' processes."""
    assert world.cluster is not None
    return world.cluster


@contextmanager
def _struck(world: World) -> Iterator[None]:
    """A broker is struck within the block, and mended at its end; the cluster is whole afterwards."""
    with world.struck():
        yield
        world.wait(cluster_of(world).is_ready, READY_S)


def _any_broker(world: World, generator: random.Random) -> KafkaBroker:
    return generator.choice(list(cluster_of(world).brokers.values()))


def _holder(world: World, role: str, generator: random.Random) -> int:
    """Number of the broker that has a role now."""
    cluster = cluster_of(world)
    if role == "group":
        return cluster.coordinator(group_id=world.config.group_id)
    if role == "transactions":
        return cluster.coordinator(transactional_id=world.transactional_id(generator.choice(world.fleet)))
    return cluster.leader(world.config.battles_topic, generator.randrange(world.partitions))
