"""Faults one after the other, chosen by a seed, while records flow; at the end verifier and audit have the word."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.faults.fault import Fault
from tests.chaos.report import Cycle, Report
from tests.chaos.world.world import World


def plan(
    seed: int, cycles: int, *, brokers: int, embedded: bool = False, first: int = 0, only: str = ""
) -> list[Fault]:
    """The faults of a run: a function of seed and number alone, so a run can go on where another one ended.

    Args:
        seed: of the choice.
        cycles: how many.
        brokers: how many may be struck.
        embedded: whether the embedded broker runs in this process, and answers as it is told.
        first: number of the first cycle.
        only: part of the names of faults to choose from.

    Raises:
        ValueError: no fault is left to choose from.
    """
    possible = [
        fault for fault in FAULTS if fault.can_strike(brokers=brokers, embedded=embedded) and only in fault.name
    ]
    if not possible:
        raise ValueError(f"no fault that {brokers} brokers can have is called {only!r}")
    weights = [fault.weight for fault in possible]
    return [_generator(seed, number).choices(possible, weights)[0] for number in range(first, first + cycles)]


def run_chaos(
    world: World,
    faults: Sequence[Fault],
    *,
    seed: int,
    battles: int,
    first: int = 0,
    on_cycle: Callable[[Report], None] = lambda _: None,
) -> Report:
    """Strike with one fault after the other, half of each cycle's records before it, half after.

    Args:
        world: started.
        faults: as planned.
        seed: as planned with.
        battles: records to write over all cycles, at least.
        first: number of the first cycle.
        on_cycle: called after each with what was found until then.
    """
    report = Report(seed)
    half = max(1, battles // (2 * len(faults)))
    world.load = 2 * half
    world.produce(half, _generator(seed, -1))
    world.wait_answered()  # all processes have joined
    world.wait_no_lag()
    for number, fault in enumerate(faults, first):
        report.cycles.append(_cycle(world, fault, number, half, random.Random(f"{seed}/{number}/strike")))
        on_cycle(report)
    report.verdict = world.verify()
    report.sight = world.look_back()
    report.audit = world.audit()
    for process in world.fleet:
        for code, count in process.exits.items():
            report.exits[code] = report.exits.get(code, 0) + count
        report.leaks += process.leaks()
    report.retry_exits = dict(sorted(world.retries.exits.items()))
    report.leaks += world.retries.leaks()
    return report


def _cycle(world: World, fault: Fault, number: int, half: int, generator: random.Random) -> Cycle:
    world.reader.take_silence()
    world.reader.take_stall()
    world.produce(half, generator)
    started = time.monotonic()
    fault.strike(world, generator)
    struck = time.monotonic()
    world.produce(half, generator)
    recovery_s = world.wait_answered()
    world.wait_no_lag()
    return Cycle(
        number,
        fault.name,
        strike_s=round(struck - started, 3),
        recovery_s=round(recovery_s, 3),
        silence_s=round(world.reader.take_silence(), 3),
        stall_s=round(world.reader.take_stall(), 3),
        twice=world.reader.twice,
    )


def _generator(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}/{number}")
