"""What an answer says beside its probabilities: shares, uncertainty, what judges said before they were calibrated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream import Battle, Panel, PanelAnswer
from prefstream.schemas import FileSource, PanelIdentity, Provenance, encode_preference
from prefstream.schemas.preference import MAX_ENTROPY_BITS
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.combine import JudgeAnswers, combine
from prefstream.scoring.probabilities import Triples, normalise
from prefstream.scoring.style import style_of
from tests.support.samples import battles

IDENTITY = PanelIdentity(hash="0" * 64, version="1")
HERE = FileSource(file="battles.jsonl", line=1)

amounts = st.just(0.0) | st.floats(1e-6, 1.0)
rows = st.tuples(amounts, amounts, amounts).filter(any).map(lambda row: normalise(np.array([row])))
judges = st.lists(st.tuples(rows, st.floats(0.01, 100.0) | st.just(0.0)), min_size=1, max_size=4).filter(
    lambda given: any(weight for _, weight in given)
)
calibrations = st.builds(Calibration, temperature=st.floats(0.2, 5), tie_bias=st.floats(-3, 3))


def said(
    name: str, probabilities: Triples, *, weight: float = 1.0, uncalibrated: Triples | None = None
) -> JudgeAnswers:
    return JudgeAnswers(
        name=name,
        weight=weight,
        provenance=Provenance(kind="pairwise"),
        as_given=probabilities,
        swapped=None,
        truncations=(),
        uncalibrated=uncalibrated,
    )


def ask(given: Sequence[tuple[Triples, float]], calibration: Calibration = Calibration()) -> PanelAnswer:  # noqa: B008
    answers = [said(str(place), row, weight=weight) for place, (row, weight) in enumerate(given)]
    [answer] = combine(answers, calibration=calibration, identity=IDENTITY, left_out=(), too_large={})
    assert isinstance(answer, PanelAnswer)
    return answer


def bits(row: Sequence[float]) -> float:
    return -sum(one * math.log2(one) for one in row if one)


@given(judges)
def test_weights_are_shares_of_this_answer(given: list[tuple[Triples, float]]) -> None:
    opinions = ask(given).judges
    shares = [opinion.weight for opinion in opinions]
    assert all(share is not None for share in shares)
    assert sum(share or 0.0 for share in shares) == pytest.approx(1.0)
    mean = [
        sum((opinion.weight or 0.0) * getattr(opinion.probabilities, name) for opinion in opinions)
        for name in ("model_a", "model_b", "tie")
    ]
    answer = ask(given).probabilities
    np.testing.assert_allclose(mean, (answer.model_a, answer.model_b, answer.tie), atol=1e-12)


@given(judges, calibrations)
def test_uncertainty_is_within_its_bounds(given: list[tuple[Triples, float]], calibration: Calibration) -> None:
    answer = ask(given, calibration)
    assert answer.uncertainty is not None
    assert 0.0 <= answer.uncertainty.entropy <= MAX_ENTROPY_BITS
    chances = answer.probabilities
    assert answer.uncertainty.entropy == pytest.approx(bits((chances.model_a, chances.model_b, chances.tie)), abs=1e-9)
    uncalibrated = ask(given).uncertainty
    assert uncalibrated is not None
    assert 0.0 <= answer.uncertainty.between_judges <= uncalibrated.entropy + 1e-12
    assert answer.uncertainty.between_judges == uncalibrated.between_judges, "the panel's calibration is not in it"


@given(judges)
def test_the_judges_part_is_the_weighted_divergence(given: list[tuple[Triples, float]]) -> None:
    total = sum(weight for _, weight in given)
    mean = sum(weight / total * row[0] for row, weight in given)
    expected = bits(list(np.asarray(mean))) - sum(weight / total * bits(list(row[0])) for row, weight in given)
    uncertainty = ask(given).uncertainty
    assert uncertainty is not None
    assert uncertainty.between_judges == pytest.approx(max(expected, 0.0), abs=1e-9)


@given(judges, calibrations)
def test_exchanging_the_sides_changes_no_uncertainty(
    given: list[tuple[Triples, float]], calibration: Calibration
) -> None:
    exchanged = [(row[:, [1, 0, 2]], weight) for row, weight in given]
    assert ask(given, calibration).uncertainty == ask(exchanged, calibration).uncertainty


def test_a_lone_judge_and_equal_ones_disagree_about_nothing() -> None:
    row = np.array([[0.2, 0.3, 0.5]])
    for judged in ([(row, 1.0)], [(row, 1.0), (row, 1.0)]):
        uncertainty = ask(judged).uncertainty
        assert uncertainty is not None
        assert uncertainty.between_judges == pytest.approx(0.0, abs=1e-15)


def test_opposite_certainties_are_all_disagreement() -> None:
    uncertainty = ask([(np.array([[1.0, 0.0, 0.0]]), 1.0), (np.array([[0.0, 1.0, 0.0]]), 1.0)]).uncertainty
    assert uncertainty is not None
    assert (uncertainty.entropy, uncertainty.between_judges) == (1.0, 1.0)


class CalibratedJudge:
    """Reads whatever stands first as the better one, and has a calibration that makes ties likelier."""

    name = "one"
    weight = 3.0
    symmetric = False
    provenance = Provenance(kind="pairwise")
    calibration = Calibration(tie_bias=math.log(2))

    def __init__(self, *, symmetric: bool = False) -> None:
        self.symmetric = symmetric
        self.settings = {"calibration": self.calibration.model_dump()}

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        return JudgeBatch(len(battles), 1)

    def score(self, batch: JudgeBatch) -> Scores:
        raw = np.tile(np.array([[0.5, 0.25, 0.25]]), (batch.count, 1))
        return Scores(self.calibration.apply(raw), {}, raw)

    def close(self) -> None: ...


BATTLE = Battle(id="1", prompt="p", response_a="# a", response_b="b")


@pytest.mark.parametrize(
    ("swap", "symmetric", "expected"),
    [(False, False, (0.5, 0.25)), (True, False, (0.375, 0.375)), (True, True, (0.5, 0.25))],
)
def test_what_a_judge_said_before_its_calibration(
    *, swap: bool, symmetric: bool, expected: tuple[float, float]
) -> None:
    with Panel([CalibratedJudge(symmetric=symmetric)], swap=swap) as panel:
        [answer] = panel.score([BATTLE])
    assert isinstance(answer, PanelAnswer)
    [opinion] = answer.judges
    assert opinion.uncalibrated is not None
    assert (opinion.uncalibrated.model_a, opinion.uncalibrated.model_b) == expected
    assert opinion.probabilities != opinion.uncalibrated


def test_a_judge_without_a_calibration_says_nothing_uncalibrated() -> None:
    assert ask([(np.array([[0.5, 0.25, 0.25]]), 1.0)]).judges[0].uncalibrated is None


def test_equal_answers_share_their_parts() -> None:
    """Building objects is most of the cost where judges are cheap."""
    triples = np.tile(np.array([[0.5, 0.25, 0.25]]), (3, 1))
    answers = combine(
        [said("x", triples, uncalibrated=triples), said("y", triples)],
        calibration=Calibration(),
        identity=IDENTITY,
        left_out=(),
        too_large={},
    )
    first, *others = [one for one in answers if isinstance(one, PanelAnswer)]
    assert len(others) == 2
    for other in others:
        assert other.uncertainty is first.uncertainty
        assert other.probabilities is first.probabilities
        assert all(one is another for one, another in zip(other.judges, first.judges, strict=True))


@given(battles())
def test_a_preference_says_what_the_battle_says_of_itself_and_none_of_its_text(battle: Battle) -> None:
    battle = battle.model_copy(update={"response_id_a": "zqresponse", "prompt": ("zqprompt",) * len(battle.prompt)})
    preference = ask([(np.array([[0.5, 0.25, 0.25]]), 1.0)]).to_preference(battle, HERE)
    assert preference.id == battle.id
    assert (preference.model_a, preference.model_b) == (battle.model_a, battle.model_b)
    assert (preference.language, preference.occurred_at) == (battle.language, battle.occurred_at)
    assert preference.style == style_of(battle)
    assert preference.panel == IDENTITY
    assert b"zq" not in encode_preference(preference)


def test_names_of_models_are_left_out_where_they_are_not_to_be_published() -> None:
    battle = BATTLE.model_copy(
        update={
            "model_a": "zqone",
            "model_b": "zqtwo",
            "language": "de",
            "occurred_at": datetime(2026, 1, 2, tzinfo=UTC),
        }
    )
    answer = ask([(np.array([[0.5, 0.25, 0.25]]), 1.0)])
    hidden = answer.to_preference(battle, HERE, publish_models=False)
    assert hidden.model_a is None
    assert hidden.model_b is None
    assert b"zq" not in encode_preference(hidden)
    assert hidden == answer.to_preference(battle, HERE).model_copy(update={"model_a": None, "model_b": None})
