"""The figures that a panel was shipped with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.evaluate import evaluate
from prefstream.scoring.trust.shipped import independent_difference, read_shipped
from tests.support.judged import EVALUATED, make_labelled, make_predictions, make_probabilities


def test_it_is_what_evaluate_writes(tmp_path: Path) -> None:
    labelled = make_labelled(60)
    said = make_predictions(labelled, make_probabilities(60))
    evaluation = evaluate(gather_facts(labelled), said, EVALUATED, resamples=50)
    path = tmp_path / "evaluate.json"
    path.write_text(evaluation.model_dump_json())
    shipped = read_shipped(path)
    assert shipped.log_loss == evaluation.panel.log_loss
    assert shipped.longer_excess == evaluation.length[0].excess_mass
    assert (shipped.file, shipped.battles) == ("judged.jsonl", 60)


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "Invalid JSON"), ("[]", "the file"), ('{"format": 1}', "evaluated: Field required"), (None, "No such file")],
)
def test_what_is_something_else_is_refused_with_what_it_should_be(
    tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "shipped.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(FileError, match="prefstream evaluate --json") as refused:
        read_shipped(path)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_interval_of_a_difference_holds_the_truth_19_times_in_20() -> None:
    draw = np.random.default_rng(0)
    held = 0
    for _ in range(1_000):
        means = []
        for size in (80, 200):
            sample = draw.exponential(1.0, size)
            half = 1.96 * sample.std(ddof=1) / np.sqrt(size)
            means.append(Estimate(value=sample.mean(), low=sample.mean() - half, high=sample.mean() + half))
        found = independent_difference(*means)
        held += (found.low or 0.0) <= 0.0 <= (found.high or 0.0)
    assert 925 <= held <= 975


estimates = st.tuples(*[st.floats(-10, 10)] * 3).map(
    lambda ends: Estimate(value=sorted(ends)[1], low=min(ends), high=max(ends))
)


@given(estimates, estimates)
def test_a_difference_turned_round_has_its_interval_turned_round(one: Estimate, other: Estimate) -> None:
    there, back = independent_difference(one, other), independent_difference(other, one)
    assert there.low is not None
    assert there.high is not None
    assert (there.low, there.high) == (-(back.high or 0.0), -(back.low or 0.0))
    assert there.low <= (there.value or 0.0) <= there.high


def test_without_an_interval_there_is_none_of_the_difference() -> None:
    one, point = Estimate(value=1.0, low=0.5, high=1.5), Estimate(value=0.25, low=None, high=None)
    assert independent_difference(one, point) == Estimate(value=0.75, low=None, high=None)
    nothing = Estimate(value=None, low=None, high=None)
    assert independent_difference(one, nothing) == nothing
