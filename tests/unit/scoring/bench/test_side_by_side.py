"""Two programs that take turns: what their ratio means, and in which order they run."""

from __future__ import annotations

import pytest

from prefstream.scoring.bench.side_by_side import SideBySide, TimedRun, take_turns


def run(seconds: float) -> TimedRun:
    return TimedRun(seconds, seconds, tokens=1, padded_tokens=1, settings={}, peak_memory_bytes=1)


def test_the_ratio_is_the_median_of_ours_by_theirs_over_neighbours() -> None:
    """The machine slows down fivefold after the first pair; the ratio of the medians would be 1.25."""
    measured = SideBySide(ours_per_s=(10.0, 2.0, 2.5), theirs_per_s=(5.0, 1.0, 2.0))
    assert measured.ratio == 2.0
    fields = measured.to_fields()
    assert (fields["ratio"], fields["ratio_lowest"], fields["ratio_highest"]) == (2.0, 1.25, 2.0)


def test_rates_come_from_seconds_for_the_same_work() -> None:
    measured = SideBySide.of_seconds(12, ours_s=[2.0, 4.0], theirs_s=[4.0, 4.0])
    assert measured == SideBySide((6.0, 3.0), (3.0, 3.0))
    assert measured.ratio == 1.5


def test_runs_without_a_neighbour_are_no_measurement() -> None:
    with pytest.raises(ValueError, match="shorter"):
        _ = SideBySide((1.0, 2.0), (1.0,)).ratio


def test_both_take_turns_and_none_always_begins() -> None:
    order: list[str] = []
    told: list[str] = []

    def measure(arm: str) -> TimedRun:
        order.append(arm)
        return run(float(len(order)))

    ours, theirs = take_turns("ours", "theirs", measure, 3, say=told.append)
    assert order == ["theirs", "ours", "ours", "theirs", "theirs", "ours"]
    assert [one.seconds for one in ours] == [2.0, 3.0, 6.0]
    assert [one.seconds for one in theirs] == [1.0, 4.0, 5.0]
    assert told[:2] == ["run 1 of 3: theirs", "run 1 of 3: theirs took 1.0 s"]
