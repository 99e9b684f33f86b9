"""Faults of `dead-letters retry` while the stream runs: killed at each point, and beside other faults."""

from __future__ import annotations

import random
import signal
from typing import Final

from tests.chaos.faults.fault import Strike, feed, feed_until
from tests.chaos.world.world import World

ENDS_S: Final = 150.0
"""Longest run: a call that hangs is given up after 90 s."""

POINTS: Final = ("before begin", "between sends", "after send_offsets", "before commit", "after commit")
"""Those of the exactly-once path that a retry comes by."""


def retry(world: World, generator: random.Random) -> None:
    """Dead letters are sent back while records flow."""
    world.retries.start()
    feed(world, generator, 1.0)
    world.retries.finish(world.wait, ENDS_S)


def kill_retry(world: World, generator: random.Random) -> None:
    """SIGKILL wherever it is; then it is run again."""
    world.retries.start()
    feed(world, generator, generator.uniform(0.3, 3.0))
    world.retries.send(signal.SIGKILL)
    world.retries.finish(world.wait, ENDS_S)


def kill_retry_at(point: str) -> Strike:
    """SIGKILL exactly at a point; then it is run again."""

    def strike(world: World, generator: random.Random) -> None:
        world.retries.trap.set(point, signal.SIGKILL.name)
        world.retries.start()
        feed_until(world, generator, lambda: world.retries.has_ended)
        world.retries.trap.clear()
        world.retries.finish(world.wait, ENDS_S)

    return strike


def with_retry(strike: Strike) -> Strike:
    """Another fault, and dead letters are sent back meanwhile."""

    def both(world: World, generator: random.Random) -> None:
        world.retries.start()
        try:
            strike(world, generator)
        finally:
            world.retries.finish(world.wait, ENDS_S)

    return both
