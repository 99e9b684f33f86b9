"""The table of bias: judges with a known bias show it, fair ones don't, and no figure depends on the sides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from prefstream.schemas import OUTCOMES, Provenance
from prefstream.scoring.evaluation.battle_facts import BattleFacts, gather_facts
from prefstream.scoring.evaluation.bias_table.build import bias_table
from prefstream.scoring.evaluation.bias_table.figures import fill, verbosity
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from prefstream.scoring.evaluation.results import BiasRow, InjectionEffect
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.panel.predict import Forecast, Predictions, panel_forecast
from prefstream.scoring.probabilities import Triples
from tests.support.judged import exchange, make_labelled

MODELS = ("gemma-2b-it", "Gemini-Pro", "llama-2-7b-chat", "claude-1", "gpt-4-0314")
MARKED = ("plain", "# Heading\n\n- an item\n- **bold**\n\n```\ncode\n```\n")
COUNT = 2_000


def battles(count: int = COUNT, *, seed: int = 0) -> list[LabelledBattle]:
    """Of many lengths, models and looks; what people say follows in `voted`."""
    draw = np.random.default_rng(seed)
    made = []
    for one in make_labelled(count, prompts=max(2, count // 2), seed=seed):
        looks = draw.integers(0, 2, 2)
        models = draw.choice(MODELS, 2)
        answers = [(f"{MARKED[look]}{'x' * int(np.exp(draw.normal(6, 1)))}",) for look in looks]
        update = {
            "response_a": answers[0],
            "response_b": answers[1],
            "model_a": str(models[0]),
            "model_b": str(models[1]),
            "prompt": one.battle.prompt[:1],
        }
        made.append(replace(one, battle=one.battle.model_copy(update=update)))
    return made


def doublings(labelled: Sequence[LabelledBattle]) -> NDArray[np.float64]:
    lengths = [(len(one.battle.response_a[0]), len(one.battle.response_b[0])) for one in labelled]
    a, b = np.log2(np.array(lengths, dtype=float)).T
    return np.asarray(a - b)


def voted(labelled: Sequence[LabelledBattle], odds: NDArray[np.float64], *, seed: int = 1) -> list[LabelledBattle]:
    """As people with these log odds of A against B would say; one in five is a tie."""
    draw = np.random.default_rng(seed)
    luck, ties = draw.random(len(labelled)), draw.random(len(labelled)) < 0.2
    columns = np.where(ties, 2, np.where(luck < expit(odds), 0, 1))
    return [
        replace(one, label=Label(OUTCOMES[column], tuple(np.eye(3)[column].tolist())))
        for one, column in zip(labelled, columns.tolist(), strict=True)
    ]


def saying(odds: NDArray[np.float64]) -> Triples:
    for_a = 0.8 * expit(odds)
    return np.stack([for_a, 0.8 - for_a, np.full(len(odds), 0.2)], axis=1)


def predictions_of(labelled: Sequence[LabelledBattle], **odds: NDArray[np.float64]) -> Predictions:
    """A panel of judges that are named by their base; the panel says the mean."""
    judges = tuple(
        Forecast(
            name,
            saying(one),
            as_given=saying(one),
            provenance=Provenance(kind="pointwise", base=f"org/{name}-9b", mask_identity=name == "gemma"),
        )
        for name, one in odds.items()
    )
    panel = panel_forecast(np.mean([judge.probabilities for judge in judges], axis=0), judges)
    return Predictions(np.arange(len(labelled)), panel, judges, {})


def facts_of(labelled: Sequence[LabelledBattle]) -> BattleFacts:
    return gather_facts(labelled, answers=True)


def find(rows: Sequence[BiasRow], measure: str, judge: str, group: str = "all") -> BiasRow:
    [row] = [row for row in rows if (row.measure, row.judge, row.group) == (measure, judge, group)]
    return row


def numbers(row: BiasRow) -> tuple[float, float, float]:
    """Judged, people, excess."""
    found = [one.value for one in (row.judged, row.people, row.excess) if one is not None and one.value is not None]
    judged, people, excess = found
    return judged, people, excess


def is_above_zero(found: Estimate | None) -> bool:
    return found is not None and (found.low or 0.0) > 0


def covers_zero(found: Estimate | None) -> bool:
    return found is not None and not found.excludes_zero


@pytest.fixture(scope="module")
def labelled() -> list[LabelledBattle]:
    """People like length: each doubling is worth .3."""
    made = battles()
    return voted(made, 0.3 * doublings(made))


def own_side(labelled: Sequence[LabelledBattle], *names: str) -> NDArray[np.float64]:
    """1 where only A is of these, -1 where only B is."""
    return np.array(
        [
            float(one.battle.model_a in names) - float(one.battle.model_b in names)
            for one in labelled
        ]
    )  # fmt: skip


def test_a_judge_that_adds_to_the_longer_answer_shows_it_and_a_fair_one_does_not(
    labelled: list[LabelledBattle],
) -> None:
    true = 0.3 * doublings(labelled)
    rows = bias_table(
        facts_of(labelled), predictions_of(labelled, fair=true, wordy=true + 0.5 * np.sign(true)), resamples=200
    )
    fair, wordy = (find(rows, "longer wins", judge) for judge in ("fair", "wordy"))
    assert covers_zero(fair.excess)
    assert is_above_zero(wordy.excess)
    judged, people, excess = numbers(wordy)
    assert judged - people == pytest.approx(excess)
    counted = np.array([one.label.outcome != "tie" for one in labelled]) & (true != 0)
    assert judged == pytest.approx(expit(np.abs(true[counted]) + 0.5).mean())


def test_where_the_shorter_won_a_judge_of_length_is_wrong_and_at_equal_lengths_it_guesses(
    labelled: list[LabelledBattle],
) -> None:
    rows = bias_table(facts_of(labelled), predictions_of(labelled, wordy=doublings(labelled)), resamples=200)
    shorter, longer, equal = (
        find(rows, f"winner found, {what}", "wordy").judged
        for what in ("the shorter won", "the longer won", "ratio below 1.2")
    )
    assert (shorter and shorter.value, longer and longer.value) == (0.0, 1.0)
    assert equal is not None
    assert (equal.low or 0.0) < 0.52 < (equal.high or 1.0)


def test_each_tier_has_its_own_people_and_the_panel_a_figure_there(labelled: list[LabelledBattle]) -> None:
    rows = bias_table(facts_of(labelled), predictions_of(labelled, fair=0.3 * doublings(labelled)), resamples=100)
    tiers = {row.group: row for row in rows if row.measure == "longer wins" and row.judge == "panel"}
    assert set(tiers) == {"all", "arena", "core"}
    assert tiers["arena"].battles + tiers["core"].battles == tiers["all"].battles
    assert tiers["arena"].people != tiers["core"].people


def test_a_judge_that_favours_its_family_shows_it_and_recusal_takes_it_out_of_the_panel(
    labelled: list[LabelledBattle],
) -> None:
    true = 0.3 * doublings(labelled)
    own = own_side(labelled, "gemma-2b-it", "Gemini-Pro")
    rows = bias_table(facts_of(labelled), predictions_of(labelled, gemma=true + own, llama=true), resamples=200)
    measure = "gemma's family wins"
    assert find(rows, measure, "gemma").battles == sum(
        side != 0 and one.label.outcome != "tie" for side, one in zip(own, labelled, strict=True)
    )
    assert is_above_zero(find(rows, measure, "gemma").excess)
    assert is_above_zero(find(rows, measure, "panel").excess)
    assert covers_zero(find(rows, measure, "panel without gemma").excess)
    assert covers_zero(find(rows, "llama's family wins", "llama").excess)
    assert "masked" in (find(rows, measure, "gemma").note or "")
    assert "as written" in (find(rows, "llama's family wins", "llama").note or "")


def test_of_a_panel_that_recuses_it_says_what_it_would_be_without(labelled: list[LabelledBattle]) -> None:
    true = 0.3 * doublings(labelled)
    own = own_side(labelled, "gemma-2b-it", "Gemini-Pro")
    may_be_own = np.array(
        [{one.battle.model_a, one.battle.model_b} & {"gemma-2b-it", "Gemini-Pro"} != set() for one in labelled]
    )
    said = predictions_of(labelled, gemma=true + own, llama=true)
    gemma, llama = said.judges
    mean = np.where(may_be_own[:, None], llama.probabilities, said.panel.probabilities)
    judges = (replace(gemma, counted=~may_be_own), replace(llama, counted=np.ones(len(labelled), dtype=np.bool_)))
    rows = bias_table(
        facts_of(labelled), replace(said, panel=panel_forecast(mean, judges), judges=judges), resamples=200
    )
    assert covers_zero(find(rows, "gemma's family wins", "panel").excess)
    without = find(rows, "gemma's family wins", "panel with gemma")
    plain = find(bias_table(facts_of(labelled), said, resamples=200), "gemma's family wins", "panel")
    assert numbers(without) == pytest.approx(numbers(plain))


def test_a_family_that_is_given_takes_the_place_of_the_bases(labelled: list[LabelledBattle]) -> None:
    said = predictions_of(labelled, mine=doublings(labelled))
    unknown = find(bias_table(facts_of(labelled), said, resamples=100), "mine's family wins", "mine")
    assert (unknown.judged, unknown.note) == (None, "of no known family; --family names one")
    named = bias_table(facts_of(labelled), said, families={"mine": ["CLAUDE-*"]}, resamples=100)
    assert find(named, "mine's family wins", "mine").battles == sum(
        side != 0 and one.label.outcome != "tie"
        for side, one in zip(own_side(labelled, "claude-1"), labelled, strict=True)
    )


def test_where_no_battle_says_who_answered_it_is_said(labelled: list[LabelledBattle]) -> None:
    nameless = [
        replace(one, battle=one.battle.model_copy(update={"model_a": None, "model_b": None})) for one in labelled
    ]
    rows = bias_table(facts_of(nameless), predictions_of(nameless, gemma=doublings(nameless)), resamples=100)
    assert find(rows, "gemma's family wins", "gemma").note == "no battle says who answered"


@pytest.mark.parametrize("feature", ["headings", "list items", "bold", "code blocks"])
def test_a_judge_that_likes_marked_up_answers_shows_it(labelled: list[LabelledBattle], feature: str) -> None:
    true = 0.3 * doublings(labelled)
    marked = np.array(
        [float("#" in one.battle.response_a[0]) - float("#" in one.battle.response_b[0]) for one in labelled]
    )
    rows = bias_table(facts_of(labelled), predictions_of(labelled, fair=true, dazzled=true + marked), resamples=200)
    assert is_above_zero(find(rows, f"more {feature} wins", "dazzled").excess)
    assert covers_zero(find(rows, f"more {feature} wins", "fair").excess)


def test_position_is_measured_where_both_orders_were_read_and_told_else() -> None:
    labelled = battles(60)
    fair = predictions_of(labelled, one=doublings(labelled), two=doublings(labelled), three=doublings(labelled))
    one, two, three = fair.judges
    swapped = saying(doublings(labelled) - 0.4)
    judges = (replace(one, swapped=one.as_given, symmetric=True), two, replace(three, swapped=swapped))
    rows = bias_table(facts_of(labelled), replace(fair, judges=judges), resamples=100)
    assert find(rows, "verdict flips", "one").note == "none by construction"
    assert "not measured" in (find(rows, "verdict flips", "two").note or "")
    first = find(rows, "P(A), first minus second", "three").judged
    assert first is not None
    assert first.value == pytest.approx(float((three.as_given - swapped)[:, 0].mean()))


def test_injections_stand_in_it_where_they_were_measured() -> None:
    labelled = battles(20)
    gain = Estimate(value=0.1, low=0.05, high=0.15)
    same = {"judge": "panel", "battles": 20, "gain": gain, "flipped": gain, "flipped_to_side": gain}
    effects = [
        InjectionEffect(injection=name, side=side, gain_over_harmless=Estimate(value=0.2, low=0.1, high=0.3), **same)
        for name in ("harmless", "instruction")
        for side in ("both", "model_a")
    ]
    rows = bias_table(
        facts_of(labelled), predictions_of(labelled, one=doublings(labelled)), injections=effects, resamples=100
    )
    told = {row.measure: row.judged and row.judged.value for row in rows if row.bias == "injection"}
    assert told == {"harmless gains": 0.1, "instruction gains, beyond harmless": 0.2}


def test_another_panels_figures_stand_beside() -> None:
    labelled = voted(made := battles(200), 0.3 * doublings(made))
    after, before = (predictions_of(labelled, one=slope * doublings(labelled)) for slope in (0.3, 0.9))
    rows = bias_table(facts_of(labelled), after, reference=before, resamples=100)
    alone = {
        (row.measure, row.judge, row.group): row.judged for row in bias_table(facts_of(labelled), before, resamples=100)
    }
    assert {(row.measure, row.judge, row.group): row.reference for row in rows} == alone


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_exchanging_the_sides_of_every_battle_changes_no_figure(seed: int) -> None:
    made = battles(40, seed=seed % 1_000)
    odds = 0.3 * doublings(made) + np.random.default_rng(seed).normal(0, 1, 40)
    labelled = voted(made, odds, seed=seed)
    there = bias_table(facts_of(labelled), predictions_of(labelled, gemma=odds, llama=odds / 2), resamples=20)
    back = exchange(labelled)
    again = bias_table(facts_of(back), predictions_of(back, gemma=-odds, llama=-odds / 2), resamples=20)
    for one, other in zip(there, again, strict=True):
        assert one.model_copy(update={"judged": None, "people": None, "excess": None}) == other.model_copy(
            update={"judged": None, "people": None, "excess": None}
        )
        for name in ("judged", "people", "excess"):
            mine, theirs = getattr(one, name), getattr(other, name)
            assert ends(mine) == pytest.approx(ends(theirs), abs=1e-9)


def ends(found: Estimate | None) -> list[float]:
    return [] if found is None else [end for end in (found.value, found.low, found.high) if end is not None]


def test_an_interval_of_the_excess_holds_the_truth_19_times_in_20() -> None:
    """Judges whose log odds are .25 above people's on the longer side, on 200 battles each time."""
    draw = np.random.default_rng(0)
    facts = gather_facts(make_labelled(200, prompts=100))
    held = 0
    for _ in range(300):
        chars_a, chars_b = np.exp(draw.normal(6, 1, (2, 200))).round()
        true = 0.3 * np.log2(chars_a / chars_b)
        outcomes = np.where(draw.random(200) < 0.2, 2, np.where(draw.random(200) < expit(true), 0, 1))
        drawn = replace(facts, outcomes=outcomes, chars_a=chars_a, chars_b=chars_b)
        said = saying(true + 0.25 * np.sign(true))
        first = next(verbosity(Forecast("one", said, said), drawn, "all"))
        [row] = fill([first], Resamples(facts.prompts, resamples=200))
        truth = float((expit(np.abs(true) + 0.25) - expit(np.abs(true))).mean())
        assert row.excess is not None
        assert row.excess.low is not None
        assert row.excess.high is not None
        held += row.excess.low <= truth <= row.excess.high
    assert 270 <= held <= 298
