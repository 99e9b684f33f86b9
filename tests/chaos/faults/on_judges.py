"""Faults of the judges: one that raises, hangs, answers NaN, or is broken for good."""

from __future__ import annotations

import random
from typing import Final

from tests.chaos.faults.fault import Strike, feed, spring
from tests.chaos.inside.judges import JUDGING, Mischief
from tests.chaos.world.world import World

BROKEN_S: Final = 10.0
"""Long enough for the supervisor to start a process several times in vain."""


def misjudge(mischief: Mischief) -> Strike:
    """A judge does this once."""

    def strike(world: World, generator: random.Random) -> None:
        process = spring(world, generator, JUDGING, mischief)
        if mischief == "hang":  # any other one ends the process at once
            process.fall_sick()

    return strike


def break_judge(world: World, generator: random.Random) -> None:
    """The judge of one process raises every time, over restarts, until somebody mends it."""
    process = generator.choice(world.fleet)
    process.trap.set(JUDGING, "raise always")
    feed(world, generator, BROKEN_S)
    process.trap.clear()
