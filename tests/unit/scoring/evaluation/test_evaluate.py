"""An evaluation as a whole: consistent, reproducible, the same for exchanged sides."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.baselines import CLASS_PRIOR, LENGTH_ONLY
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.evaluate import evaluate
from prefstream.scoring.evaluation.results import Evaluation
from prefstream.scoring.files.labelled import LabelledBattle
from prefstream.scoring.panel.predict import Forecast, Predictions
from tests.support.judged import EVALUATED, exchange, make_labelled, make_predictions, make_probabilities


def evaluation_of(labelled: list[LabelledBattle], predictions: Predictions, *, seed: int = 0) -> Evaluation:
    return evaluate(gather_facts(labelled), predictions, EVALUATED, resamples=200, seed=seed)


@pytest.fixture(scope="module")
def labelled() -> list[LabelledBattle]:
    return make_labelled(150, prompts=90)


@pytest.fixture(scope="module")
def predictions(labelled: list[LabelledBattle]) -> Predictions:
    return make_predictions(labelled, make_probabilities(150))


@pytest.fixture(scope="module")
def found(labelled: list[LabelledBattle], predictions: Predictions) -> Evaluation:
    return evaluation_of(labelled, predictions)


def test_panel_judges_and_baselines_are_all_there(found: Evaluation) -> None:
    assert [(one.name, one.kind) for one in found.systems] == [
        ("panel", "panel"),
        ("one", "judge"),
        (CLASS_PRIOR, "baseline"),
        (LENGTH_ONLY, "baseline"),
    ]
    assert found.battles == sum(found.outcomes) == 150
    assert found.prompts == 90


def test_differences_to_a_baseline_are_those_of_the_metrics(found: Evaluation) -> None:
    values = {one.name: one.log_loss.value or 0.0 for one in found.systems}
    for comparison in found.panel.comparisons:
        assert comparison.log_loss.value == pytest.approx(values["panel"] - values[comparison.baseline])
    assert [one.baseline for one in found.systems[2].comparisons] == [LENGTH_ONLY]


def test_slices_add_up_to_the_whole(found: Evaluation) -> None:
    for dimension in {one.dimension for one in found.slices}:
        parts = [one for one in found.slices if one.dimension == dimension]
        total = sum(one.battles * (one.log_loss.value or 0.0) for one in parts)
        assert total / found.battles == pytest.approx(found.panel.log_loss.value)


def test_outcomes_are_scikit_learns(found: Evaluation, labelled: list[LabelledBattle]) -> None:
    outcomes = [one.label.outcome for one in labelled]
    probabilities = make_probabilities(150)
    for column, one in enumerate(found.classes):
        happened = [outcome == one.outcome for outcome in outcomes]
        assert one.share == pytest.approx(np.mean(happened))
        assert one.area_under_roc == pytest.approx(sklearn_metrics.roc_auc_score(happened, probabilities[:, column]))
        assert one.recall == pytest.approx(
            sklearn_metrics.recall_score(happened, probabilities.argmax(axis=1) == column)
        )


def test_the_same_seed_gives_the_same_evaluation(
    found: Evaluation, labelled: list[LabelledBattle], predictions: Predictions
) -> None:
    assert evaluation_of(labelled, predictions) == found
    assert evaluation_of(labelled, predictions, seed=1).panel.log_loss.low != found.panel.log_loss.low


def test_exchanging_every_battle_and_its_label_changes_nothing(
    found: Evaluation, labelled: list[LabelledBattle]
) -> None:
    exchanged = evaluation_of(exchange(labelled), make_predictions(labelled, make_probabilities(150)[:, [1, 0, 2]]))
    for before, after in zip(found.systems, exchanged.systems, strict=True):
        for name in ("log_loss", "accuracy", "brier", "calibration_error", "decided_accuracy"):
            assert getattr(after, name).value == pytest.approx(getattr(before, name).value, abs=1e-4)
    assert exchanged.length[0].predicted_mass.value == pytest.approx(found.length[0].predicted_mass.value)


def test_it_comes_back_from_json(found: Evaluation) -> None:
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


def test_only_answered_battles_count(labelled: list[LabelledBattle]) -> None:
    kept = np.arange(0, 150, 2)
    answered = make_predictions([labelled[row] for row in kept], make_probabilities(75))
    found = evaluation_of(
        labelled, replace(answered, positions=kept, unanswered=dict.fromkeys(range(1, 150, 2), "too large"))
    )
    assert (found.battles, found.evaluated.rows_without_answer) == (75, 75)


def test_votes_are_scored_where_they_are_known(labelled: list[LabelledBattle], predictions: Predictions) -> None:
    voted = [replace(one, label=replace(one.label, target=(0.5, 0.3, 0.2), outcome="model_a")) for one in labelled]
    soft = evaluation_of(voted, predictions).panel.soft_log_loss
    expected = -(np.log(make_probabilities(150)) * [0.5, 0.3, 0.2]).sum(axis=1).mean()
    assert soft is not None
    assert soft.value == pytest.approx(expected)


def test_without_votes_no_score_of_votes_is_claimed(found: Evaluation) -> None:
    assert found.panel.soft_log_loss is None


def test_a_reference_is_compared_battle_by_battle(labelled: list[LabelledBattle], predictions: Predictions) -> None:
    said = make_probabilities(150, seed=1)
    before = Forecast("before", said, as_given=said)
    found = evaluate(gather_facts(labelled), predictions, EVALUATED, reference=before, resamples=200)
    assert (found.systems[-1].name, found.systems[-1].kind) == ("before", "reference")
    [gap] = [one for one in found.panel.comparisons if one.baseline == "before"]
    for name in ("log_loss", "accuracy", "decided_accuracy"):
        before, after = (getattr(system, name).value for system in (found.systems[-1], found.panel))
        assert getattr(gap, name).value == pytest.approx(after - before)
    assert {one.baseline for one in found.slices[0].comparisons} == {CLASS_PRIOR, LENGTH_ONLY, "before"}


def test_a_panel_held_against_itself_differs_by_nothing(
    labelled: list[LabelledBattle], predictions: Predictions
) -> None:
    same = replace(predictions.panel, name="itself")
    [gap] = [
        one
        for one in evaluate(
            gather_facts(labelled), predictions, EVALUATED, reference=same, resamples=200
        ).panel.comparisons
        if one.baseline == "itself"
    ]
    assert (gap.log_loss.value, gap.log_loss.low, gap.log_loss.high) == (0.0, 0.0, 0.0)


def test_a_calibration_error_is_within_chance_or_more(found: Evaluation, labelled: list[LabelledBattle]) -> None:
    assert found.panel.calibration_error_by_chance_95 is not None
    assert found.panel.calibration_error_by_chance < found.panel.calibration_error_by_chance_95
    prior = next(system for system in found.systems if system.name == CLASS_PRIOR)
    assert prior.calibrated_within_chance
    sure = np.tile([0.98, 0.01, 0.01], (150, 1))
    overconfident = evaluation_of(labelled, make_predictions(labelled, sure))
    assert overconfident.panel.calibrated_within_chance is False
    assert not any(cut.calibrated_within_chance for cut in overconfident.slices if cut.battles > 50)


def test_how_often_two_people_agree_is_told_where_several_voted(
    labelled: list[LabelledBattle], predictions: Predictions
) -> None:
    votes = [(3.0, 0.0, 0.0), (2.0, 1.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.0, 0.0), (0.6, 0.4, 2.0)]
    voted = [
        replace(one, label=replace(one.label, votes=said))
        for one, said in zip(labelled, votes * (len(labelled) // 5), strict=True)
    ]
    agree = evaluation_of(voted, predictions).people_agree
    assert agree is not None
    # Of three people 3 of 3 pairs, 1 of 3 and none; one voter is no pair, and parts of people are nobody.
    assert agree.battles == 90
    assert agree.share.value == pytest.approx((1 + 1 / 3 + 0) / 3)
    assert evaluation_of(labelled, predictions).people_agree is None


def test_one_prompt_gives_numbers_without_intervals(labelled: list[LabelledBattle]) -> None:
    few = [replace(one, battle=one.battle.model_copy(update={"prompt": ("same",)})) for one in labelled[:5]]
    found = evaluation_of(few, make_predictions(few, make_probabilities(5)))
    assert found.panel.log_loss.value is not None
    assert found.panel.log_loss.low is None
    assert found.panel.comparisons == ()


def test_nothing_answered_is_refused(labelled: list[LabelledBattle]) -> None:
    with pytest.raises(FileError, match="nothing to evaluate"):
        evaluation_of(labelled, make_predictions([], np.zeros((0, 3))))


def test_evaluating_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from prefstream.scoring.evaluation import evaluate, report, prediction_files\n"
        "print(*{'torch', 'transformers', 'kafka', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=True)
    assert done.stdout.split() == []
