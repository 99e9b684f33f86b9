"""Predictions from files: what `score` writes comes back as the panel said it, and what does not fit is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from prefstream.schemas import Battle, FileSource, encode_preference
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.prediction_files import (
    BAD_PREDICTION,
    KnownAnswers,
    PredictionFile,
    read_predictions,
    read_probabilities,
)
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.predict import predict
from tests.support.growth import bytes_per_row
from tests.support.priors import prior_entry

BATTLES = [Battle(id=name, prompt=("p",), response_a=("a",), response_b=("b",)) for name in ("x", "y", "z")]
IDS = [battle.id for battle in BATTLES]
HEADER = "id,winner_model_a,winner_model_b,winner_tie\n"


def submission(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "submission.csv"
    path.write_text(HEADER + "".join(row + "\n" for row in rows))
    return path


def preferences(tmp_path: Path, panel: Panel, **changes: Any) -> Path:
    """What `score` writes; `changes` to the fields of the first one."""
    with panel:
        answers = panel.score(BATTLES)
    path = tmp_path / "preferences.jsonl"
    lines = []
    for line, (battle, answer) in enumerate(zip(BATTLES, answers, strict=True), start=1):
        assert isinstance(answer, PanelAnswer)
        fields = orjson.loads(encode_preference(answer.to_preference(battle, FileSource(file="f", line=line))))
        lines.append(orjson.dumps({**fields, **(changes if line == 1 else {})}))
    path.write_bytes(b"\n".join(lines))
    return path


def priors(*, swap: bool = True) -> Panel:
    judges = [prior_entry("one", (0.5, 0.25, 0.25)), prior_entry("two", (0.25, 0.25, 0.5))]
    return load_panel(PanelConfig.model_validate({"judges": judges, "swap": swap}))


def test_a_submission_is_matched_by_id_whatever_its_order(tmp_path: Path) -> None:
    read = read_predictions(submission(tmp_path, "z,0,0,1", "x,1,0,0", "y,0,1,0"), IDS)
    np.testing.assert_array_equal(read.predictions.panel.probabilities, np.eye(3))
    assert read.predictions.positions.tolist() == [0, 1, 2]
    assert read.predictions.judges == ()
    assert not read.predictions.panel.symmetric


def test_missing_unknown_and_repeated_ids_are_told(tmp_path: Path) -> None:
    read = read_predictions(submission(tmp_path, "x,1,0,0", "other,1,0,0", "x,0,0,1", "z,0,1,0"), IDS)
    assert read.predictions.positions.tolist() == [0, 2]
    assert list(read.predictions.unanswered) == [1]
    assert (read.unknown_ids, read.repeated_ids) == (1, 1)
    np.testing.assert_array_equal(read.predictions.panel.probabilities[0], [0, 0, 1])


@pytest.mark.parametrize("read", [read_predictions, read_probabilities])
def test_of_a_preference_only_numbers_stay(
    tmp_path: Path, read: Callable[[Path, Sequence[str]], PredictionFile | KnownAnswers]
) -> None:
    first = orjson.loads(preferences(tmp_path, priors()).read_bytes().splitlines()[0])

    def read_many(count: int) -> object:
        path, ids = tmp_path / "many.jsonl", [str(number) for number in range(count)]
        with path.open("wb") as file:
            file.writelines(orjson.dumps({**first, "id": name}) + b"\n" for name in ids)
        return read(path, ids)

    assert bytes_per_row(read_many) < 1_000


def test_the_last_of_repeated_preferences_counts_whoever_answered_before(tmp_path: Path) -> None:
    path = preferences(tmp_path, priors())
    lines = path.read_bytes().splitlines()
    fields = orjson.loads(lines[0])
    one, two = fields["judges"]
    other = {**fields, "judges": [{**two, "name": "three"}, {**one, "probabilities": two["probabilities"]}]}
    path.write_bytes(b"\n".join([orjson.dumps(other), *lines]))
    read = read_predictions(path, IDS)
    assert (read.repeated_ids, read.partial_judges, read.of_one_panel) == (1, (), True)
    again = read_predictions(preferences(tmp_path, priors()), IDS)
    for judge, expected in zip(read.predictions.judges, again.predictions.judges, strict=True):
        assert judge.name == expected.name
        np.testing.assert_array_equal(judge.probabilities, expected.probabilities)


def test_rounded_rows_are_divided_by_their_sum(tmp_path: Path) -> None:
    read = read_predictions(submission(tmp_path, "x,0.333,0.333,0.333"), IDS)
    np.testing.assert_allclose(read.predictions.panel.probabilities, 1 / 3)


@pytest.mark.parametrize("cells", ["x,1,1,0", "x,-0.5,1,0.5", "x,nan,0.5,0.5", "x,one,0,0", "x,0,0,0", "x,,,"])
def test_a_row_without_probabilities_is_a_fault_at_its_line(tmp_path: Path, cells: str) -> None:
    read = read_predictions(submission(tmp_path, "y,1,0,0", cells), IDS)
    assert {line: row.reason for line, row in read.rejected.items()} == {3: BAD_PREDICTION}


def test_preferences_come_back_as_the_panel_said_them(tmp_path: Path) -> None:
    with priors() as panel:
        expected = predict(panel, BATTLES)
    read = read_predictions(preferences(tmp_path, priors()), IDS)
    np.testing.assert_array_equal(read.predictions.panel.probabilities, expected.panel.probabilities)
    assert [judge.name for judge in read.predictions.judges] == ["one", "two"]
    for judge, other in zip(read.predictions.judges, expected.judges, strict=True):
        assert judge.swapped is not None
        assert other.swapped is not None
        np.testing.assert_array_equal(judge.as_given, other.as_given)
        np.testing.assert_array_equal(judge.swapped, other.swapped)
    assert read.predictions.panel.symmetric


def test_without_swap_nothing_is_known_of_the_other_order(tmp_path: Path) -> None:
    read = read_predictions(preferences(tmp_path, priors(swap=False)), IDS)
    assert [judge.swapped for judge in read.predictions.judges] == [None, None]
    assert not read.predictions.panel.symmetric


def test_a_judge_that_was_left_out_of_an_answer_is_not_evaluated(tmp_path: Path) -> None:
    whole = orjson.loads(preferences(tmp_path, priors()).read_bytes().splitlines()[0])
    read = read_predictions(preferences(tmp_path, priors(), judges=whole["judges"][:1], left_out=["two"]), IDS)
    assert [judge.name for judge in read.predictions.judges] == ["one"]
    assert read.partial_judges == ("two",)
    assert read.of_one_panel
    assert not read.predictions.panel.symmetric


def test_weights_are_those_of_answers_in_which_all_counted(tmp_path: Path) -> None:
    """Of a judge that was recused the other one has its share there."""
    one, two = orjson.loads(preferences(tmp_path, priors()).read_bytes().splitlines()[0])["judges"]
    recused = [one | {"weight": 0.0}, two | {"weight": 1.0}]
    read = read_predictions(preferences(tmp_path, priors(), judges=recused, recused=["one"]), IDS)
    assert [judge.weight for judge in read.predictions.judges] == [0.5, 0.5]
    assert [None if judge.counted is None else judge.counted.tolist() for judge in read.predictions.judges] == [
        [False, True, True],
        None,
    ]


@pytest.mark.parametrize("change", [{"name": "third"}, {"provenance": {"kind": "pairwise", "adapter_hash": "ab"}}])
def test_rows_of_other_judges_are_of_another_panel(tmp_path: Path, change: dict[str, Any]) -> None:
    one, two = orjson.loads(preferences(tmp_path, priors()).read_bytes().splitlines()[0])["judges"]
    assert read_predictions(preferences(tmp_path, priors()), IDS).of_one_panel
    assert not read_predictions(preferences(tmp_path, priors(), judges=[one, two | change]), IDS).of_one_panel


def test_a_row_that_is_no_preference_is_rejected_without_its_text(tmp_path: Path) -> None:
    read = read_predictions(preferences(tmp_path, priors(), probabilities="private words"), IDS)
    (row,) = read.rejected.values()
    assert row.reason == BAD_PREDICTION
    assert "private" not in row.detail
    assert "probabilities" in row.detail


def test_a_file_of_which_no_row_is_a_prediction_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text('[1, 2]\n"x"\n{"id": 1}\n')
    with pytest.raises(FileError, match="none of its rows holds a prediction; the first one, line 1: "):
        read_predictions(path, IDS)


def test_predictions_of_other_battles_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="none of its predictions is about a labelled battle"):
        read_predictions(submission(tmp_path, "other,1,0,0"), IDS)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.csv"
    path.write_text("id,score\nx,1\n")
    with pytest.raises(FileError, match="no column winner_model_a"):
        read_predictions(path, IDS)
