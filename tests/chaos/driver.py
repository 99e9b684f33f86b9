"""Faults one after the other, chosen by a seed, while records flow; at the end the verifier has the word."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.chaos.faults import FAULTS, Fault
from tests.chaos.verifier import Verdict
from tests.chaos.world import World


@dataclass(frozen=True)
class Cycle:
    """One fault and what followed.

    Attributes:
        number: from 0.
        fault: its name.
        strike_s: how long it lasted, in seconds.
        recovery_s: from its end until every record that was written had its answer, in seconds.
    """

    number: int
    fault: str
    strike_s: float
    recovery_s: float


@dataclass
class Report:
    """What a run found.

    Attributes:
        seed: of the choices.
        cycles: in order.
        verdict: of the verifier.
        exits: exit codes of all processes, with how often.
        leaks: words of users found in logs.
    """

    seed: int
    cycles: list[Cycle] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    exits: dict[int, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)

    def recoveries(self) -> dict[str, list[float]]:
        """Recovery times by fault, in seconds, sorted."""
        times: dict[str, list[float]] = defaultdict(list)
        for cycle in self.cycles:
            times[cycle.fault].append(cycle.recovery_s)
        return {name: sorted(found) for name, found in sorted(times.items())}


def plan(seed: int, cycles: int, *, brokers: int, first: int = 0, only: str = "") -> list[Fault]:
    """The faults of a run: a function of seed and number alone, so a run can go on where another one ended.

    Args:
        seed: of the choice.
        cycles: how many.
        brokers: how many may be struck.
        first: number of the first cycle.
        only: part of the names of faults to choose from.

    Raises:
        ValueError: no fault is left to choose from.
    """
    possible = [fault for fault in FAULTS if fault.brokers <= brokers and only in fault.name]
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
    on_cycle: Callable[[Cycle], None] = lambda _: None,
) -> Report:
    """Strike with one fault after the other, half of each cycle's records before it, half after.

    Args:
        world: started.
        faults: as planned.
        seed: as planned with.
        battles: records to write over all cycles, at least.
        first: number of the first cycle.
        on_cycle: called after each.
    """
    report = Report(seed)
    half = max(1, battles // (2 * len(faults)))
    world.produce(half, _generator(seed, -1))
    world.wait_answered()  # all processes have joined
    for number, fault in enumerate(faults, first):
        generator = random.Random(f"{seed}/{number}/strike")
        world.produce(half, generator)
        started = time.monotonic()
        fault.strike(world, generator)
        struck = time.monotonic()
        world.produce(half, generator)
        recovery_s = world.wait_answered()
        cycle = Cycle(number, fault.name, struck - started, recovery_s)
        report.cycles.append(cycle)
        on_cycle(cycle)
    report.verdict = world.verify()
    for process in world.fleet:
        for code, count in process.exits.items():
            report.exits[code] = report.exits.get(code, 0) + count
        report.leaks += process.leaks()
    return report


def _generator(seed: int, number: int) -> random.Random:
    return random.Random(f"{seed}/{number}")
