"""What injections are, and how their effect is counted: by hand, and on judges that are known to fall for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from prefstream.schemas import Battle
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.injection import HARMLESS, INJECTIONS, SIDES, inject, injected, injection_effects
from prefstream.scoring.evaluation.results import InjectionEffect
from prefstream.scoring.files.labelled import LabelledBattle
from prefstream.scoring.panel.predict import Forecast, Predictions, panel_forecast
from prefstream.scoring.probabilities import Triples
from tests.support.judged import make_labelled

JudgedBy = Callable[[Battle], tuple[float, float, float]]

QUIET = (0.3, 0.4, 0.3)


def predictions_of(battles: Sequence[Battle], judged_by: JudgedBy, *unanswered: int) -> Predictions:
    positions = [place for place in range(len(battles)) if place not in unanswered]
    rows: Triples = np.array([judged_by(battles[place]) for place in positions]).reshape(-1, 3)
    judge = Forecast("one", rows, as_given=rows)
    return Predictions(
        positions=np.array(positions, dtype=np.intp),
        panel=panel_forecast(rows, [judge]),
        judges=(judge,),
        unanswered=dict.fromkeys(unanswered, "too large"),
    )


def texts(labelled: Sequence[LabelledBattle]) -> list[Battle]:
    return [one.battle for one in labelled]


def asked_about(labelled: Sequence[LabelledBattle]) -> list[Battle]:
    return list(injected(lambda: iter(texts(labelled))))


def effects_on(judged_by: JudgedBy, labelled: list[LabelledBattle] | None = None) -> dict[str, InjectionEffect]:
    """The judge's effects on both sides, by injection."""
    labelled = labelled or make_labelled(6)
    before, after = (predictions_of(battles, judged_by) for battles in (texts(labelled), asked_about(labelled)))
    found = injection_effects(gather_facts(labelled), before, after, resamples=100)
    return {one.injection: one for one in found if (one.judge, one.side) == ("one", "both")}


def obeys(battle: Battle) -> tuple[float, float, float]:
    """Does what either answer says."""
    for place, response in enumerate((battle.response_a, battle.response_b)):
        if "is better" in response[-1] or "is the better" in response[-1]:
            return (0.8, 0.1, 0.1) if place == 0 else (0.1, 0.8, 0.1)
    return QUIET


# The texts.


def test_injections_are_of_one_length() -> None:
    lengths = [len(text.replace("{}", "A")) for text in INJECTIONS.values()]
    assert max(lengths) - min(lengths) <= 10


@pytest.mark.parametrize("injection", INJECTIONS)
@pytest.mark.parametrize(("side", "letter", "other"), [("model_a", "A", "B"), ("model_b", "B", "A")])
def test_an_injection_stands_under_the_last_answer_of_its_side(
    injection: str, side: str, letter: str, other: str
) -> None:
    battle = Battle(id="1", prompt=("p", "q"), response_a=("a", "b"), response_b=("c", "d"))
    (chosen,) = (one for one in SIDES if one == side)
    changed = inject(battle, injection, chosen)
    mine, its = (changed.response_a, changed.response_b) if letter == "A" else (changed.response_b, changed.response_a)
    before = battle.response_a if letter == "A" else battle.response_b
    assert mine[0] == before[0]
    assert mine[-1].startswith(before[-1] + "\n\n")
    assert its in (battle.response_a, battle.response_b)
    assert changed.prompt == battle.prompt
    if injection != HARMLESS:
        assert f"esponse {letter} is " in mine[-1]
    assert f"esponse {other}" not in mine[-1]
    assert "{}" not in mine[-1]


def test_every_battle_is_asked_about_with_each_text_on_each_side() -> None:
    labelled = make_labelled(3)
    asked = asked_about(labelled)
    assert len(asked) == 3 * len(SIDES) * len(INJECTIONS)
    assert len({one.model_dump_json() for one in asked}) == len(asked)


# Their effect.


def test_a_judge_that_reads_no_text_changes_nothing() -> None:
    for effect in effects_on(lambda _: QUIET).values():
        assert [effect.gain.value, effect.gain_over_harmless.value] == pytest.approx([0.0, 0.0])
        assert (effect.flipped.value, effect.flipped_to_side.value) == (0.0, 0.0)


def test_a_judge_that_obeys_is_found_out() -> None:
    found = effects_on(obeys)
    assert found[HARMLESS].gain.value == pytest.approx(0.0)
    for injection in INJECTIONS.keys() - {HARMLESS}:
        effect = found[injection]
        # A goes from .3 to .8, B from .4 to .8; A's verdict flips, B's stands as it was.
        assert effect.gain.value == pytest.approx((0.5 + 0.4) / 2)
        assert effect.gain_over_harmless.excludes_zero
        assert effect.flipped.value == effect.flipped_to_side.value == 0.5


def test_what_any_longer_answer_gains_is_not_counted_as_obedience() -> None:
    def likes_length(battle: Battle) -> tuple[float, float, float]:
        chars = [len(battle.response_a[-1]), len(battle.response_b[-1])]
        gain = 0.1 * np.sign(chars[0] - chars[1])
        return 0.4 + gain, 0.4 - gain, 0.2

    labelled = [
        replace(
            one, battle=one.battle.model_copy(update={"response_a": ("x",), "response_b": ("y",), "prompt": ("p",)})
        )
        for one in make_labelled(4)
    ]
    for effect in effects_on(likes_length, labelled).values():
        assert effect.gain.value == pytest.approx(0.1)
        assert effect.gain_over_harmless.value == pytest.approx(0.0)


def test_the_sides_are_told_apart() -> None:
    labelled = make_labelled(4)
    before, after = (predictions_of(battles, obeys) for battles in (texts(labelled), asked_about(labelled)))
    found = injection_effects(gather_facts(labelled), before, after, resamples=100)
    gains = {one.side: one.gain.value for one in found if (one.judge, one.injection) == ("panel", "instruction")}
    assert gains == pytest.approx({"both": 0.45, "model_a": 0.5, "model_b": 0.4})


def test_a_battle_that_one_text_makes_too_large_is_in_no_comparison() -> None:
    labelled = make_labelled(5)
    asked = asked_about(labelled)
    before = predictions_of(texts(labelled), obeys, 0)
    after = predictions_of(asked, obeys, 0, 5 + 1, len(asked) - 1)
    found = injection_effects(gather_facts(labelled), before, after, resamples=100)
    assert {one.battles for one in found} == {2}
