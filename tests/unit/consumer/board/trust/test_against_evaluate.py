"""What the board says of judges is what `prefstream evaluate` says of the same predictions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.trust.build import build_trust
from prefstream.schemas import decode_preference
from prefstream.schemas.vote import Vote
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.evaluate import evaluate
from prefstream.scoring.evaluation.prediction_files import read_predictions
from prefstream.scoring.evaluation.results import Evaluation
from prefstream.scoring.files.labelled import LabelledBattle
from prefstream.scoring.style import style_of
from prefstream.scoring.trust.results import TrustWindow
from tests.support.hash_judge import score_with_hashes
from tests.support.judged import EVALUATED, make_labelled

BATTLES = 240
BEGIN_MS = 1_790_000_000_000


def score(labelled: list[LabelledBattle], folder: Path) -> Path:
    """The predictions of a panel whose judge reads nothing, in a file of preferences."""
    source, out = folder / "battles.jsonl", folder / "preferences.jsonl"
    source.write_text("".join(one.battle.model_dump_json() + "\n" for one in labelled))
    score_with_hashes(source, out)
    return out


def put_on_board(labelled: list[LabelledBattle], predictions: Path) -> TrustWindow:
    """Every battle a preference, a second apart, and every label a vote a minute after its preference."""
    battles = {one.battle.id: one for one in labelled}
    preferences, votes = [], []
    for number, line in enumerate(predictions.read_bytes().splitlines()):
        said = decode_preference(line)
        one = battles[said.id]
        told = said.model_copy(update={"style": style_of(one.battle), "language": one.battle.language})
        preferences.append(PreferenceRecord(told, BEGIN_MS + 1_000 * number, 0, number))
        vote = Vote(id=said.id, winner=one.label.outcome)
        votes.append(VoteRecord(vote, BEGIN_MS + 1_000 * number + 60_000, 0, number))
    with Store() as store:
        store.apply(preferences, votes)
        now = datetime.fromtimestamp(votes[-1].at / 1_000, UTC)
        return build_trust(store.reader(), now).windows[0]


@pytest.fixture(scope="module", params=[BATTLES, 80], ids=["prompts all differ", "prompts are shared"])
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, TrustWindow]:
    labelled = make_labelled(BATTLES, prompts=request.param)
    predictions = score(labelled, tmp_path_factory.mktemp("scored"))
    facts = gather_facts(labelled)
    read = read_predictions(predictions, facts.ids)
    return evaluate(facts, read.predictions, EVALUATED), put_on_board(labelled, predictions)


def is_same(one: Estimate, other: Estimate, *, interval: bool) -> bool:
    """To the rounding of a sum in another order."""
    values = [(one.value, other.value), *([(one.low, other.low), (one.high, other.high)] if interval else [])]
    return all(a == pytest.approx(b, rel=1e-12, abs=1e-12) for a, b in values)


def test_log_loss_accuracy_and_calibration_are_those_of_evaluate(both: tuple[Evaluation, TrustWindow]) -> None:
    """Intervals, too, where prompts differ: battles of one prompt are drawn together there, and are not known here."""
    evaluation, window = both
    quality, differ = window.quality, evaluation.prompts == BATTLES
    assert quality is not None
    assert quality.votes == BATTLES
    assert is_same(quality.log_loss, evaluation.panel.log_loss, interval=differ)
    assert is_same(quality.accuracy, evaluation.panel.accuracy, interval=differ)
    assert is_same(quality.calibration_error, evaluation.panel.calibration_error, interval=differ)
    assert quality.calibration_error_by_chance == pytest.approx(evaluation.panel.calibration_error_by_chance, rel=1e-12)
    assert quality.calibration_error_by_chance_95 == pytest.approx(
        evaluation.panel.calibration_error_by_chance_95, rel=1e-12
    )


def test_the_reliability_diagram_is_that_of_evaluate(both: tuple[Evaluation, TrustWindow]) -> None:
    evaluation, window = both
    for mine, theirs in zip(window.reliability, evaluation.panel.reliability, strict=True):
        assert (mine.low, mine.battles) == (theirs.low, theirs.battles)
        assert mine.confidence == pytest.approx(theirs.confidence, rel=1e-12)
        assert is_same(mine.accuracy, theirs.accuracy, interval=evaluation.prompts == BATTLES)


def test_the_longer_wins_as_often_as_evaluate_says(both: tuple[Evaluation, TrustWindow]) -> None:
    evaluation, window = both
    assert window.longer_wins is not None
    bias = evaluation.length[0]
    assert window.longer_wins.votes == bias.battles
    for mine, theirs in (("people", "human"), ("judges", "predicted_mass"), ("excess", "excess_mass")):
        estimate = getattr(window.longer_wins, mine)
        assert is_same(estimate, getattr(bias, theirs), interval=evaluation.prompts == BATTLES)


def test_languages_are_slices_of_evaluate(both: tuple[Evaluation, TrustWindow]) -> None:
    evaluation, window = both
    slices = {cut.value: cut for cut in evaluation.slices if cut.dimension == "language"}
    assert [one.value for one in window.languages] == ["English"]
    assert is_same(window.languages[0].quality.log_loss, slices["English"].log_loss, interval=False)


def test_nothing_is_told_that_json_cannot_hold(both: tuple[Evaluation, TrustWindow]) -> None:
    _, window = both
    assert "NaN" not in json.dumps(window.model_dump(mode="json"), allow_nan=False)
