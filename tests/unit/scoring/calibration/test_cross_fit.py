"""Cross-fitting: no answer is measured by parameters that saw its prompt, and what is written is what was fitted."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.schemas import OUTCOMES, Battle, Outcome, Provenance
from prefstream.scoring.calibration.cross_fit import (
    CalibrationResult,
    balanced_weights,
    calibrate_panel,
    check_battles,
    deal_prompts,
)
from prefstream.scoring.calibration.plot import plot_calibration
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.panel.length import length_odds, take_length_out
from prefstream.scoring.panel.predict import Forecast, Predictions
from prefstream.scoring.probabilities import Triples, exchange
from prefstream.scoring.trust.length import LengthVotes, fit_slopes
from tests.support.judged import exchange as exchange_labelled

RESAMPLES = 100


def labelled_battle(prompt: str, outcome: Outcome, **rest: Any) -> LabelledBattle:
    battle = Battle(id=f"{prompt} {outcome}", prompt=(prompt,), response_a=("a",), response_b=("b",))
    target = (float(outcome == "model_a"), float(outcome == "model_b"), float(outcome == "tie"))
    label = Label(outcome, target, rest.pop("weight", 1.0), rest.pop("ties_possible", True))
    return LabelledBattle(battle, label, 1, rest.get("source"), rest.get("tier"))


def predictions_of(judges: dict[str, Triples], *, swapped: bool = False) -> Predictions:
    """As of a panel without calibration; with `swapped`, each judge says the same in both orders."""
    count = len(next(iter(judges.values())))
    forecasts = tuple(
        Forecast(
            name,
            answers,
            answers,
            swapped=answers if swapped else None,
            provenance=Provenance(kind="prior" if name == "prior" else "pairwise"),
        )
        for name, answers in judges.items()
    )
    mean = np.mean(list(judges.values()), axis=0)
    return Predictions(np.arange(count), Forecast("panel", mean, mean), forecasts, {})


def simulate(
    count: int = 300, *, prompts: int = 60, seed: int = 0, judges: Sequence[str] = ("good", "noisy")
) -> tuple[list[LabelledBattle], dict[str, Triples]]:
    """Battles of which the first judge knows the probabilities, though it is too sure of itself; others know less."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 3))
    truth = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    answers = {}
    for number, name in enumerate(judges):
        said = np.exp(3 * logits + number * rng.normal(size=(count, 3)) * 4)
        answers[name] = said / said.sum(axis=1, keepdims=True)
    outcomes = (rng.random(count)[:, None] > np.cumsum(truth, axis=1)[:, :2]).sum(axis=1)
    battles = [labelled_battle(f"prompt {row % prompts}", OUTCOMES[outcome]) for row, outcome in enumerate(outcomes)]
    return battles, answers


def calibrated(battles: Sequence[LabelledBattle], answers: dict[str, Triples], **how: Any) -> CalibrationResult:
    return calibrate_panel(gather_facts(battles), predictions_of(answers), resamples=RESAMPLES, **how)


def test_judges_that_are_too_sure_are_toned_down_and_the_better_one_weighs_more() -> None:
    result = calibrated(*simulate())
    assert result.file.judges["good"].temperature > 2
    assert result.file.weights["good"] > result.file.weights["noisy"]
    assert sum(result.file.weights.values()) == pytest.approx(1)
    for system in (result.panel, *result.judges):
        assert system.log_loss_change.high is not None
        assert system.log_loss_change.high < 0
        assert system.figures_after.calibration_error.value < system.figures_before.calibration_error.value  # type: ignore[operator]


def test_no_answer_is_measured_by_parameters_that_saw_its_prompt() -> None:
    """Other verdicts on one prompt change how every other prompt is answered, and not at all how this one is."""
    battles, answers = simulate()
    own = np.array([one.battle.prompt == ("prompt 7",) for one in battles])
    flipped = [
        dataclasses.replace(one, label=labelled_battle("", "model_a" if one.label.outcome == "tie" else "tie").label)
        if of_prompt
        else one
        for one, of_prompt in zip(battles, own, strict=True)
    ]
    before, after = calibrated(battles, answers), calibrated(flipped, answers)
    assert before.file != after.file
    for one, other in zip((before.panel, *before.judges), (after.panel, *after.judges), strict=True):
        assert one.after[own].tolist() == other.after[own].tolist()
        assert (one.after[~own] != other.after[~own]).any()
        assert one.before.tolist() == other.before.tolist()


@settings(max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 12), min_size=2, max_size=40),
    folds=st.integers(2, 6),
    seed=st.integers(0, 2**32 - 1),
)
def test_prompts_are_dealt_whole_and_about_evenly_whatever_their_order(sizes: list[int], folds: int, seed: int) -> None:
    prompts = [f"prompt {number}" for number, size in enumerate(sizes) for _ in range(size)]
    dealt = deal_prompts(prompts, folds, seed)
    fold_of = dict(zip(prompts, dealt.tolist(), strict=True))
    assert [fold_of[prompt] for prompt in prompts] == dealt.tolist()
    totals = np.bincount(dealt, minlength=folds)
    assert totals.max() - totals.min() <= max(sizes)
    if len(sizes) >= folds:
        assert totals.min() > 0
    assert deal_prompts(prompts[::-1], folds, seed).tolist() == dealt[::-1].tolist()


def test_seeds_deal_differently() -> None:
    prompts = [f"prompt {number}" for number in range(50)]
    assert deal_prompts(prompts, 5, 0).tolist() != deal_prompts(prompts, 5, 1).tolist()
    assert deal_prompts(prompts, 5, 0).tolist() == deal_prompts(prompts, 5, 0).tolist()


def test_the_same_battles_and_seed_give_the_same_result() -> None:
    one, other = calibrated(*simulate()), calibrated(*simulate())
    assert one.file == other.file
    assert one.panel.figures_after == other.panel.figures_after


@pytest.mark.parametrize("balance", ["tier", "source"])
def test_balanced_groups_count_equally_and_all_together_as_much_as_before(balance: Any) -> None:
    names = ["large"] * 8 + ["small"] * 2 + [None] * 5
    battles = [labelled_battle("p", "tie", weight=2.0, **{balance: name}) for name in names]
    weights = balanced_weights(gather_facts(battles), balance)
    assert weights.sum() == pytest.approx(30)
    assert [weights[:8].sum(), weights[8:10].sum(), weights[10:].sum()] == pytest.approx([10, 10, 10])
    assert balanced_weights(gather_facts(battles), "none").tolist() == [2.0] * 15


def test_balance_decides_between_groups_that_disagree_about_ties() -> None:
    rng = np.random.default_rng(0)
    tied = np.arange(400) >= 360
    outcomes: list[Outcome] = ["tie" if tie else OUTCOMES[rng.integers(2)] for tie in tied]
    battles = [
        labelled_battle(f"{row}", outcome, tier="ties" if tie else "none")
        for row, (outcome, tie) in enumerate(zip(outcomes, tied, strict=True))
    ]
    answers = {"model": np.full((400, 3), 1 / 3)}
    by_battle, by_tier = calibrated(battles, answers), calibrated(battles, answers, balance="tier")
    assert by_battle.out_of_fold[:, 2].mean() == pytest.approx(0.1, abs=0.03)
    assert by_tier.out_of_fold[:, 2].mean() == pytest.approx(0.5, abs=0.04)


def test_divided_votes_are_fitted_to_where_asked() -> None:
    battles, answers = simulate()
    divided = [
        dataclasses.replace(one, label=Label(one.label.outcome, (0.4, 0.4, 0.2), 1.0, ties_possible=True))
        for one in battles
    ]
    assert calibrated(divided, answers).file == calibrated(battles, answers).file
    assert calibrated(divided, answers, labels="votes").file.judges["good"].temperature > 10


def test_battles_of_weight_zero_do_not_take_part() -> None:
    battles, answers = simulate()
    ignored = [
        dataclasses.replace(one, label=dataclasses.replace(one.label, weight=0.0)) if row < 100 else one
        for row, one in enumerate(battles)
    ]
    kept = calibrated(battles[100:], {name: answer[100:] for name, answer in answers.items()})
    assert calibrated(ignored, answers).file == kept.file
    assert len(kept.facts) == 200


def test_battles_without_an_answer_do_not_take_part() -> None:
    battles, answers = simulate()
    predictions = predictions_of({name: answer[1:] for name, answer in answers.items()})
    without_first = dataclasses.replace(predictions, positions=np.arange(1, 300), unanswered={0: "too large"})
    result = calibrate_panel(gather_facts(battles), without_first, resamples=RESAMPLES)
    assert result.facts.ids == tuple(one.battle.id for one in battles[1:])


def test_where_ties_were_impossible_only_the_sides_are_measured() -> None:
    battles, answers = simulate()
    decided = [
        dataclasses.replace(
            one, label=labelled_battle("", one.label.outcome if row % 3 else "model_a", ties_possible=False).label
        )
        for row, one in enumerate(battles)
        if one.label.outcome != "tie"
    ]
    rows = [row for row, one in enumerate(battles) if one.label.outcome != "tie"]
    result = calibrated(decided, {name: answer[rows] for name, answer in answers.items()})
    assert result.panel.after[:, 2].max() == 0
    assert result.out_of_fold[:, 2].min() > 0
    assert result.file.judges["good"].tie_bias == 0
    assert "Ties were impossible" in result.warnings[0]


def test_both_orders_of_a_swap_are_read() -> None:
    battles, answers = simulate()
    both = calibrate_panel(gather_facts(battles), predictions_of(answers, swapped=True), resamples=RESAMPLES)
    one = calibrated(battles, answers)
    assert both.file.judges["good"].temperature == pytest.approx(one.file.judges["good"].temperature, rel=1e-5)
    contrary = predictions_of(answers, swapped=True)
    judges = [dataclasses.replace(judge, swapped=judge.as_given[:, [1, 0, 2]]) for judge in contrary.judges]
    undecided = calibrate_panel(
        gather_facts(battles), dataclasses.replace(contrary, judges=tuple(judges)), resamples=RESAMPLES
    )
    assert undecided.out_of_fold[:, 0] == pytest.approx(undecided.out_of_fold[:, 1])


def test_a_prior_is_weighted_but_not_calibrated() -> None:
    battles, answers = simulate(judges=["model"])
    result = calibrated(battles, {**answers, "prior": np.tile([0.35, 0.35, 0.3], (300, 1))})
    assert result.fit.judges["prior"] == Calibration()
    assert set(result.file.judges) == {"model"}
    assert set(result.file.weights) == {"model", "prior"}


@pytest.mark.parametrize(
    ("outcomes", "prompts", "complaint"),
    [
        (["model_a", "model_b", "tie"] * 5, 5, "f.csv: 15 labelled battles count, too few"),
        (["model_a", "model_b", "tie"] * 20, 4, "f.csv: 4 different prompts can't be dealt into 5 folds"),
        (["model_a", "tie"] * 30, 60, "f.csv: model_b never won"),
        (["tie"] * 60, 60, "f.csv: model_a and model_b never won"),
    ],
)
def test_what_can_not_be_fitted_on_is_refused(outcomes: list[Outcome], prompts: int, complaint: str) -> None:
    battles = [labelled_battle(f"prompt {row % prompts}", outcome) for row, outcome in enumerate(outcomes)]
    with pytest.raises(FileError) as caught:
        check_battles(gather_facts(battles), folds=5, source="f.csv")
    assert str(caught.value).startswith(complaint)


def test_a_file_in_which_nothing_is_tied_is_warned_of() -> None:
    battles = [labelled_battle(f"prompt {row}", OUTCOMES[row % 2]) for row in range(60)]
    [warning] = check_battles(gather_facts(battles), folds=5, source="f.csv")
    assert "None of 60 battles ended in a tie" in warning
    assert check_battles(gather_facts([*battles, labelled_battle("p", "tie")]), folds=5, source="f.csv") == ()


def test_the_plot_is_a_png_and_leaves_no_figure_behind() -> None:
    from matplotlib import pyplot as plt

    drawn = plot_calibration(calibrated(*simulate(), balance="tier"))
    assert drawn.startswith(b"\x89PNG")
    assert plt.get_fignums() == []


def of_lengths(battles: Sequence[LabelledBattle], seed: int = 0) -> list[LabelledBattle]:
    """The battles with answers of different lengths; one answer is empty."""
    lengths = np.random.default_rng(seed).integers(1, 400, (len(battles), 2)).tolist()
    lengths[0] = [0, 5]
    return [
        dataclasses.replace(
            one, battle=one.battle.model_copy(update={"response_a": ("a" * long,), "response_b": ("b" * other,)})
        )
        for one, (long, other) in zip(battles, lengths, strict=True)
    ]


def leaning(battles: Sequence[LabelledBattle], answers: Triples, slope: float) -> Triples:
    """The answers with so much more of a liking for length."""
    return take_length_out(answers, length_odds([one.battle for one in battles], -slope))


def test_the_length_slope_that_is_written_is_the_panels_as_served() -> None:
    """With it taken out, what is left of the panel's answers has none."""
    battles, answers = simulate(judges=["good"])
    battles = of_lengths(battles)
    leant = calibrated(battles, {"good": leaning(battles, answers["good"], 1.5)})
    assert leant.length is not None
    plain = calibrated(battles, answers)
    assert leant.file.length_slope is not None
    assert plain.file.length_slope is not None
    assert leant.file.length_slope > plain.file.length_slope + 0.2
    for one in (leant.length.judges, leant.length.people, leant.length.excess):
        assert one.value is not None
        assert one.low is not None
        assert one.high is not None
        assert one.low < one.value < one.high
    assert leant.length.judges.value == pytest.approx(leant.file.length_slope, abs=0.05), "out of fold about the same"
    assert leant.length.people == plain.length.people  # type: ignore[union-attr]


def test_what_is_told_of_length_is_of_prompts_that_were_not_fitted_on() -> None:
    battles, answers = simulate()
    battles = of_lengths(battles)
    result = calibrated(battles, answers)
    facts = gather_facts(battles)
    told = fit_slopes(
        LengthVotes.between(
            outcomes=facts.outcomes,
            forecasts=result.out_of_fold,
            characters=(facts.chars_a, facts.chars_b),
            weights=np.ones(len(battles)),
            battles=np.unique(facts.prompts, return_inverse=True)[1],
        )
    )
    assert result.length == told


def test_answers_of_one_length_tell_no_slope() -> None:
    result = calibrated(*simulate())
    assert result.length is None
    assert result.file.length_slope is None


def test_exchanging_the_sides_changes_no_slope() -> None:
    battles, answers = simulate()
    battles = of_lengths(battles)
    other = calibrated(exchange_labelled(battles), {name: exchange(said) for name, said in answers.items()})
    assert calibrated(battles, answers).file.length_slope == pytest.approx(other.file.length_slope, abs=1e-5)


def test_a_recused_judge_leaves_the_panels_answer_to_the_others() -> None:
    battles, answers = simulate()
    predictions = predictions_of(answers)
    good, noisy = predictions.judges
    counted = np.arange(300) % 3 > 0
    judges = (dataclasses.replace(good, counted=counted), noisy)
    result = calibrate_panel(
        gather_facts(battles), dataclasses.replace(predictions, judges=judges), resamples=RESAMPLES
    )
    both = (answers["good"] + answers["noisy"]) / 2
    np.testing.assert_allclose(result.panel.before[~counted], answers["noisy"][~counted], rtol=1e-12)
    np.testing.assert_allclose(result.panel.before[counted], both[counted], rtol=1e-12)
