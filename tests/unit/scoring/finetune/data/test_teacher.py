"""A teacher's answers mixed into the labels: found by id, masked where ties are impossible, the label elsewhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prefstream.scoring.errors import FileError
from prefstream.scoring.files.submission import encode_submission
from prefstream.scoring.finetune.data.parts import DataPart, Fold, parts
from prefstream.scoring.finetune.data.teacher import Teacher, read_teacher, taught
from prefstream.scoring.probabilities import Triples
from tests.support.labelled_pairs import make_pairs, make_rows, write_rows


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", make_rows(6, prompts=3))


def write_predictions(path: Path, answers: dict[str, tuple[float, float, float]]) -> Path:
    path.write_bytes(encode_submission(answers, np.array(list(answers.values()))))
    return path


def teacher(**answers: tuple[float, float, float]) -> Teacher:
    return Teacher({name: np.array(answer) for name, answer in answers.items()}, ())


def one_hot(place: int) -> Triples:
    row: Triples = np.eye(3)[place]
    return row


def test_answers_are_found_by_id_and_rows_about_others_are_counted(train: Path, tmp_path: Path) -> None:
    said = {"battle-0-1": (0.5, 0.25, 0.25), "elsewhere": (1.0, 0.0, 0.0), "battle-0-4": (0.25, 0.5, 0.25)}
    found = read_teacher([write_predictions(tmp_path / "said.csv", said)], DataPart(train))
    assert found is not None
    assert {name: answer.tolist() for name, answer in found.answers.items()} == {
        name: list(said[name]) for name in ("battle-0-1", "battle-0-4")
    }
    [record] = found.files
    assert (record["file"], record["pairs"], record["other_rows"]) == ("said.csv", 2, 1)
    assert len(record["sha256"]) == 64


def test_of_several_files_about_one_pair_the_mean_counts(train: Path, tmp_path: Path) -> None:
    first = write_predictions(tmp_path / "1.csv", {"battle-0-1": (0.5, 0.25, 0.25), "battle-0-2": (1.0, 0.0, 0.0)})
    second = write_predictions(tmp_path / "2.csv", {"battle-0-1": (0.25, 0.5, 0.25)})
    found = read_teacher([first, second], DataPart(train))
    assert found is not None
    assert found.answers["battle-0-1"].tolist() == [0.375, 0.375, 0.25]
    assert found.answers["battle-0-2"].tolist() == [1, 0, 0]


def test_what_was_said_of_a_part_that_is_held_out_teaches_nothing(train: Path, tmp_path: Path) -> None:
    learnt, held_out = parts(train, None, Fold(1, 3))
    assert held_out is not None
    said = {one.battle.id: (0.5, 0.25, 0.25) for one in held_out.battles()}
    with pytest.raises(FileError, match=r"said\.csv: none of its predictions is about a labelled battle"):
        read_teacher([write_predictions(tmp_path / "said.csv", said)], learnt)


def test_without_a_file_there_is_no_teacher(train: Path) -> None:
    assert read_teacher([], DataPart(train)) is None


def test_the_target_is_a_mixture_and_a_pair_without_an_answer_keeps_its_label() -> None:
    pairs = make_pairs(3)
    mixed, known = taught(pairs, teacher(b0=(0.2, 0.2, 0.6), b2=(0.5, 0.5, 0.0)), share=0.25)
    assert known == 2
    expected = [
        0.75 * one_hot(0) + 0.25 * np.array([0.2, 0.2, 0.6]),
        one_hot(1),
        0.75 * one_hot(2) + np.array([0.125, 0.125, 0]),
    ]
    np.testing.assert_allclose(mixed.targets, expected, atol=1e-7)
    np.testing.assert_array_equal(mixed.outcomes, pairs.outcomes)
    np.testing.assert_array_equal(pairs.targets, np.eye(3))


def test_where_ties_are_impossible_the_teacher_says_nothing_of_them() -> None:
    """The loss has no tie there: what is left in the target for it would never be paid back."""
    pairs = replace(make_pairs(2, outcomes=[0, 1]), ties_possible=np.array([False, False]))
    mixed, _ = taught(pairs, teacher(b0=(0.3, 0.1, 0.6), b1=(0.0, 0.0, 1.0)), share=1.0)
    np.testing.assert_allclose(mixed.targets, [[0.75, 0.25, 0.0], [0.5, 0.5, 0.0]], atol=1e-7)


def test_a_teacher_of_none_of_the_pairs_changes_nothing() -> None:
    pairs = make_pairs(3)
    mixed, known = taught(pairs, teacher(other=(1.0, 0.0, 0.0)), share=0.5)
    assert known == 0
    np.testing.assert_array_equal(mixed.targets, pairs.targets)
