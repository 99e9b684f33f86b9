"""The benchmark of latency: what it measures goes the whole way, and is told beside a pass and a commit."""

from __future__ import annotations

import pytest

from prefstream.consumer.bench import latency as bench
from prefstream.consumer.bench.latency import LatencyRun, Load
from prefstream.consumer.errors import StreamError


@pytest.mark.long
@pytest.mark.timeout(900)  # two services: a minute on a machine with twenty times the work
def test_a_battle_is_waited_for_longer_than_its_judge_takes() -> None:
    runs = list(bench.latency(1.0, loads=[Load("half", 0.03, 0.5, 200)]))
    assert [(run.load, run.linger_ms) for run in runs] == [("half", 50), ("half", 0)]
    for run in runs:
        assert 0.03 <= run.pass_s < run.p50_s <= run.p95_s <= run.p99_s
        assert 0 < run.commit_s < run.p99_s
        assert run.battles_per_s > 1


def test_what_came_first_took_a_time_that_nobody_knows() -> None:
    assert bench.rate_per_s([2.0, 2.0, 2.0, 2.5, 3.0, 3.0]) == pytest.approx(3.0)
    with pytest.raises(StreamError, match="at once"):
        bench.rate_per_s([2.0, 2.0])


def test_percentiles_are_told_in_passes_with_commits() -> None:
    run = LatencyRun("lone", 0, 2.5, p50_s=0.3, p95_s=0.4, p99_s=0.5, pass_s=0.15, commit_s=0.05)
    assert run.to_fields()["of_pass_and_commit"] == pytest.approx({"p50": 1.5, "p95": 2.0, "p99": 2.5})


def test_battles_come_at_the_same_random_moments_each_time_or_evenly() -> None:
    gaps = list(bench._gaps(0.01, 50.0, random_gaps=True))
    assert gaps == list(bench._gaps(0.01, 50.0, random_gaps=True))
    assert len(gaps) == pytest.approx(5_000, rel=0.1)
    assert max(gaps) > 0.03
    assert set(bench._gaps(0.4, 4.0, random_gaps=False)) == {0.4}
