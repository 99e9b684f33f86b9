"""Recusal: who must not count where, what the others then say, and that no name goes further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import JudgeFaultError, MisuseError, Panel, PanelAnswer
from prefstream.schemas import Battle, FileSource, Provenance, encode_preference
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.combine import JudgeAnswers, combine
from prefstream.scoring.panel.recusal import Recusal, Recused, who_counts
from prefstream.scoring.probabilities import Triples, exchange, normalise
from tests.support.samples import battles

HERE = FileSource(file="battles.jsonl", line=1)
ANSWERS = {"gemma": (0.6, 0.2, 0.2), "llama": (0.2, 0.5, 0.3), "prior": (0.3, 0.3, 0.4)}
FAMILIES = {"gemma": ["gemma-*", "gemini-*"], "llama": ["llama-*", "meta-*"]}


class FixedJudge:
    """Says the same of every battle."""

    symmetric = True
    provenance = Provenance(kind="pairwise")

    def __init__(self, name: str, *, weight: float = 1.0, broken: bool = False) -> None:
        self.name = name
        self.weight = weight
        self.settings: dict[str, object] = {"says": ANSWERS[name]}
        self._broken = broken

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        return JudgeBatch(len(battles), 1)

    def score(self, batch: JudgeBatch) -> Scores:
        if self._broken:
            raise JudgeFaultError(self.name, "broke", transient=False)
        return Scores(np.tile(np.array([ANSWERS[self.name]]), (batch.count, 1)), {})

    def close(self) -> None: ...


def battle(model_a: str | None = None, model_b: str | None = None) -> Battle:
    return Battle(id="1", prompt="p", response_a="a", response_b="b", model_a=model_a, model_b=model_b)


def ask(judges: Sequence[FixedJudge], *given: Battle, **panel: Any) -> list[PanelAnswer]:
    with Panel(judges, **panel) as asked:
        answers = asked.score(given)
    assert all(isinstance(one, PanelAnswer) for one in answers)
    return [one for one in answers if isinstance(one, PanelAnswer)]


def recused_from(globs: Mapping[str, Sequence[str]], *given: Battle) -> list[list[bool]]:
    found = Recusal(list(globs), globs).of(given)
    return [[False] * len(globs)] * len(given) if found is None else found.tolist()


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("gemma-*", "gemma-2-9b-it"),
        ("gemma-*", "Gemma-2-9B-it"),
        ("GEMMA-*", "gemma-"),
        ("*gemma*", "google/gemma-2-9b-it"),
        ("gpt-4?", "gpt-4o"),
        ("gpt-[34]*", "gpt-3.5-turbo"),
        ("gpt-[!3]*", "gpt-4"),
        ("STRASSE-*", "straße-1"),
        ("a.b+c", "a.b+c"),
        ("model[[]1]", "model[1]"),
        ("*a*b*c*", "xaxbxc"),
        ("*", ""),
        ("line*", "line\nbreak"),
    ],
)
def test_a_pattern_fits_a_whole_name_in_whatever_case(glob: str, name: str) -> None:
    for named in (battle(model_a=name), battle(model_b=name), battle("other-1", name)):
        assert recused_from({"judge": ["none-*", "*n*o*ne*", glob]}, named) == [[True]]


@pytest.mark.parametrize(
    ("glob", "name"),
    [("gemma-*", "google/gemma-2"), ("gemma-*", "gemma"), ("gemma", "gemma-2"), ("a.b", "axb"), ("gpt-[34]", "gpt-5")],
)
def test_a_pattern_fits_no_part_of_a_name(glob: str, name: str) -> None:
    assert recused_from({"judge": [glob]}, battle(name, name)) == [[False]]


def test_each_judge_is_recused_from_its_own_battles() -> None:
    given = [
        battle(),
        battle("gemma-2"),
        battle("gpt-4", "meta-llama-3"),
        battle("gemini-1", "llama-2"),
        battle("gpt-4"),
    ]
    assert recused_from(FAMILIES, *given) == [
        [False, False],
        [True, False],
        [False, True],
        [True, True],
        [False, False],
    ]


@given(st.lists(battles(), max_size=5))
def test_without_names_and_without_patterns_nobody_is_recused(given: list[Battle]) -> None:
    nameless = [one.model_copy(update={"model_a": None, "model_b": None}) for one in given]
    assert Recusal(["judge"], {"judge": ["*"]}).of(nameless) is None
    assert Recusal(["judge"], {}).of(given) is None


def test_patterns_of_a_judge_that_is_not_there_are_refused() -> None:
    with pytest.raises(MisuseError, match=r"recuse: the panel has no judge gema; did you mean gemma\?"):
        Panel([FixedJudge("gemma")], recuse={"gema": ["x"]})


@pytest.mark.parametrize("patterns", ["gemma-*", (), []])
def test_one_text_in_place_of_patterns_and_no_patterns_are_refused(patterns: Sequence[str]) -> None:
    with pytest.raises(MisuseError, match="recuse: give gemma a list of at least one pattern"):
        Panel([FixedJudge("gemma")], recuse={"gemma": patterns})


def test_a_recused_judge_answers_and_does_not_count() -> None:
    judges = [FixedJudge("gemma"), FixedJudge("llama", weight=3.0), FixedJudge("prior")]
    own, other = ask(judges, battle("gemma-2", "gpt-4"), battle("gpt-4", "gpt-3"), recuse=FAMILIES)
    assert own.recused == ("gemma",)
    assert [opinion.name for opinion in own.judges] == ["gemma", "llama", "prior"]
    assert [opinion.weight for opinion in own.judges] == [0.0, 0.75, 0.25]
    assert own.judges[0].probabilities.model_a == 0.6
    assert other.recused == ()
    assert [opinion.weight for opinion in other.judges] == [0.2, 0.6, 0.2]


def test_where_all_are_recused_all_count_and_the_answer_says_so() -> None:
    judges = [FixedJudge("gemma"), FixedJudge("llama")]
    [answer] = ask(judges, battle("gemma-2", "llama-3"), recuse=FAMILIES)
    [unrecused] = ask(judges, battle("gemma-2", "llama-3"))
    assert answer.recused == ("gemma", "llama")
    assert [opinion.weight for opinion in answer.judges] == [0.5, 0.5]
    assert (answer.probabilities, answer.disagreement) == (unrecused.probabilities, unrecused.disagreement)


def test_where_only_a_judge_without_weight_is_left_the_recused_one_counts() -> None:
    [answer] = ask([FixedJudge("gemma"), FixedJudge("llama", weight=0.0)], battle("gemma-2"), recuse=FAMILIES)
    assert answer.recused == ("gemma",)
    assert [opinion.weight for opinion in answer.judges] == [1.0, 0.0]


def test_where_the_others_have_failed_the_recused_one_counts() -> None:
    """Better an answer that may be partial, and says so, than none."""
    judges = [FixedJudge("gemma"), FixedJudge("llama", broken=True)]
    [answer] = ask(judges, battle("gemma-2"), recuse=FAMILIES, on_judge_failure="degrade")
    assert (answer.left_out, answer.recused) == (("llama",), ("gemma",))
    assert [opinion.weight for opinion in answer.judges] == [1.0]


def test_a_judge_that_failed_is_left_out_and_not_recused() -> None:
    judges = [FixedJudge("gemma", broken=True), FixedJudge("llama"), FixedJudge("prior")]
    own, others = ask(judges, battle("gemma-2"), battle("llama-2"), recuse=FAMILIES, on_judge_failure="degrade")
    assert (own.left_out, own.recused) == (("gemma",), ())
    assert [opinion.weight for opinion in own.judges] == [0.5, 0.5]
    assert (others.left_out, others.recused) == (("gemma",), ("llama",))
    assert [opinion.weight for opinion in others.judges] == [0.0, 1.0]


def test_names_go_no_further_than_who_may_read_them() -> None:
    """Neither what judges get nor what is published without names has one."""
    given = battle("zq-gemma", "zq-gpt")
    with Panel([FixedJudge("gemma"), FixedJudge("llama")], recuse={"gemma": ["zq-gemma"]}) as panel:
        encoded = panel.encode([given])
        [answer] = panel.score_encoded(encoded)
    assert isinstance(answer, PanelAnswer)
    assert "zq" not in repr(encoded) + repr(answer)
    published = encode_preference(answer.to_preference(given, HERE, publish_models=False))
    assert b'"recused":["gemma"]' in published
    assert b"zq" not in published


def test_a_preference_of_a_battle_that_recuses_nobody_says_nothing_of_it() -> None:
    given = battle("gpt-4", "gpt-3")
    [answer] = ask([FixedJudge("gemma")], given, recuse={"gemma": ["gemma-*"]})
    assert b"recused" not in encode_preference(answer.to_preference(given, HERE))


amounts = st.just(0.0) | st.floats(1e-6, 1.0)
rows = st.tuples(amounts, amounts, amounts).filter(any).map(lambda row: normalise(np.array([row]))[0].tolist())
calibrations = st.builds(Calibration, temperature=st.floats(0.2, 5), tie_bias=st.floats(-3, 3))


@st.composite
def sittings(draw: st.DrawFn) -> tuple[list[JudgeAnswers], Recused]:
    """What one to four judges say of one to five battles, and who is recused where; equal rows are common."""
    judges, count = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    known = draw(st.lists(rows, min_size=1, max_size=3))
    weights = draw(st.lists(st.just(0.0) | st.floats(0.01, 100.0), min_size=judges, max_size=judges).filter(any))
    said = draw(st.lists(st.sampled_from(known), min_size=judges * count, max_size=judges * count))
    recused = draw(st.lists(st.booleans(), min_size=judges * count, max_size=judges * count))
    answers = [
        answers_of(str(judge), np.array(said[judge * count : (judge + 1) * count]), weight)
        for judge, weight in enumerate(weights)
    ]
    return answers, np.array(recused).reshape(count, judges)


def answers_of(name: str, probabilities: Triples, weight: float) -> JudgeAnswers:
    return JudgeAnswers(name, weight, Provenance(kind="prior"), probabilities, None, ())


def together(answers: Sequence[JudgeAnswers], recused: Recused | None, calibration: Calibration) -> list[PanelAnswer]:
    combined = combine(answers, calibration=calibration, left_out=(), too_large={}, recused=recused)
    return [one for one in combined if isinstance(one, PanelAnswer)]


@given(sittings(), calibrations)
def test_recusing_judges_is_a_panel_without_them(
    sitting: tuple[list[JudgeAnswers], Recused], calibration: Calibration
) -> None:
    answers, recused = sitting
    counts = who_counts(recused, [answer.weight for answer in answers])
    for row, whole in enumerate(together(answers, recused, calibration)):
        those = [answer for answer, counting in zip(answers, counts[row], strict=True) if counting]
        alone = together(those, None, calibration)[row]
        assert whole.probabilities == alone.probabilities
        assert whole.preferred == alone.preferred
        assert whole.uncertainty == alone.uncertainty
        assert whole.disagreement == pytest.approx(alone.disagreement, abs=1e-15)
        kept = [opinion for opinion, counting in zip(whole.judges, counts[row], strict=True) if counting]
        assert kept == list(alone.judges)
        assert whole.recused == tuple(answer.name for answer, out in zip(answers, recused[row], strict=True) if out)


@given(sittings())
def test_shares_of_those_that_count_sum_to_one(sitting: tuple[list[JudgeAnswers], Recused]) -> None:
    answers, recused = sitting
    counts = who_counts(recused, [answer.weight for answer in answers])
    for row, whole in enumerate(together(answers, recused, Calibration())):
        assert sum(opinion.weight or 0.0 for opinion in whole.judges) == pytest.approx(1.0)
        probabilities = whole.probabilities
        assert probabilities.model_a + probabilities.model_b + probabilities.tie == pytest.approx(1.0)
        for opinion, answer, counting in zip(whole.judges, answers, counts[row], strict=True):
            assert bool(opinion.weight) == bool(counting and answer.weight)


@given(sittings(), calibrations)
def test_exchanging_the_sides_exchanges_the_answer_to_the_bit(
    sitting: tuple[list[JudgeAnswers], Recused], calibration: Calibration
) -> None:
    answers, recused = sitting
    exchanged = [answers_of(one.name, exchange(one.as_given), one.weight) for one in answers]
    for one, other in zip(
        together(answers, recused, calibration), together(exchanged, recused, calibration), strict=True
    ):
        here, there = one.probabilities, other.probabilities
        assert (here.model_a, here.model_b, here.tie) == (there.model_b, there.model_a, there.tie)
        assert (one.uncertainty, one.disagreement, one.recused) == (
            other.uncertainty,
            other.disagreement,
            other.recused,
        )


def test_equal_answers_of_equal_quorums_share_their_parts() -> None:
    """Building objects is most of the cost where judges are cheap."""
    judges = [FixedJudge("gemma"), FixedJudge("llama")]
    first, second, third = ask(judges, battle("gemma-1"), battle("gemma-2"), battle("gpt-4"), recuse=FAMILIES)
    assert second.probabilities is first.probabilities
    assert all(one is other for one, other in zip(second.judges, first.judges, strict=True))
    assert third.judges[0] is not first.judges[0]
    assert third.judges[0].probabilities is first.judges[0].probabilities
