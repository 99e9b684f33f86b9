"""Two programs that take turns on one machine, and the one meaning that a *ratio* of theirs has."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Rates of our program and of another one; runs at the same place were neighbours in time.

    Attributes:
        ours_per_s: what our program did in a second, a number for each of its runs.
        theirs_per_s: the same of the other program.
    """

    ours_per_s: tuple[float, ...]
    theirs_per_s: tuple[float, ...]

    @classmethod
    def of_seconds(cls, work: int, ours_s: Sequence[float], theirs_s: Sequence[float]) -> Self:
        """From the seconds that each run took for the same work."""
        return cls(tuple(work / seconds for seconds in ours_s), tuple(work / seconds for seconds in theirs_s))

    @property
    def ratios(self) -> tuple[float, ...]:
        """Ours by theirs, for each pair of neighbours: a machine that slows down slows both, and it cancels out."""
        return tuple(ours / theirs for ours, theirs in zip(self.ours_per_s, self.theirs_per_s, strict=True))

    @property
    def ratio(self) -> float:
        """How many times as fast ours is: the median over the pairs of neighbours."""
        return statistics.median(self.ratios)

    def to_fields(self) -> dict[str, Any]:
        """For a JSON file: the ratio with its lowest and highest, and the rates that it comes from."""
        return {
            "ratio": self.ratio,
            "ratio_lowest": min(self.ratios),
            "ratio_highest": max(self.ratios),
            "ours_per_s": self.ours_per_s,
            "theirs_per_s": self.theirs_per_s,
        }


@dataclass(frozen=True, slots=True)
class TimedRun:
    """What every run of a program tells of itself.

    Attributes:
        seconds: that the work took.
        cpu_seconds: that the process computed in this time, over all cores. Where they are far fewer than seconds times
            cores, other programs were running, and the ratio is not to be trusted.
        tokens: that were read, padding excluded.
        padded_tokens: with padding.
        settings: what decides its speed: device, dtype, attention, threads, malloc.
        peak_memory_bytes: most memory that the process held.
    """

    seconds: float
    cpu_seconds: float
    tokens: int
    padded_tokens: int
    settings: Mapping[str, str]
    peak_memory_bytes: int


Run = TypeVar("Run", bound=TimedRun)


def take_turns(
    ours: str, theirs: str, run: Callable[[str], Run], repetitions: int, *, say: Callable[[str], None]
) -> tuple[list[Run], list[Run]]:
    """Run both sides in turn; which one goes first changes from one repetition to the next.

    Args:
        ours: name of our side.
        theirs: name of the other side.
        run: runs one side once.
        repetitions: runs of each side.
        say: told what is being run, a line at a time.

    Returns:
        The runs of ours and of theirs; those at the same place are neighbours in time.
    """
    runs = all_take_turns((ours, theirs), run, repetitions, say=say)
    return runs[ours], runs[theirs]


def all_take_turns(
    arms: Sequence[str], run: Callable[[str], Run], repetitions: int, *, say: Callable[[str], None]
) -> dict[str, list[Run]]:
    """Run any number of sides in turn, from the last to the first, and in the next repetition back again.

    Args:
        arms: their names.
        run: runs one side once.
        repetitions: runs of each side.
        say: told what is being run, a line at a time.

    Returns:
        The runs of each.
    """
    runs: dict[str, list[Run]] = {arm: [] for arm in arms}
    for repetition in range(repetitions):
        for arm in arms[::-1] if repetition % 2 == 0 else arms:
            say(f"run {repetition + 1} of {repetitions}: {arm}")
            done = run(arm)
            say(f"run {repetition + 1} of {repetitions}: {arm} took {done.seconds:.1f} s")
            runs[arm].append(done)
    return runs
