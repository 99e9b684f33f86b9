"""What is learnt from and what is measured on: two files, or one whose prompts are dealt, each prompt to one part."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefstream.scoring.errors import FileError
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.finetune.data.parts import DataPart, Fold, parts
from tests.support.labelled_pairs import make_rows, write_rows


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = make_rows(40, prompts=10)
    return write_rows(tmp_path_factory.mktemp("data") / "train.jsonl", [*rows[:7], {"id": "no battle"}, *rows[7:]])


def ids(part: DataPart) -> list[str]:
    return [one.battle.id for one in part.battles()]


def prompts(part: DataPart) -> set[bytes]:
    return {prompt_key(one.battle) for one in part.battles()}


@pytest.mark.parametrize("of", [2, 3, 5])
def test_the_parts_hold_every_row_once_and_share_no_prompt(file: Path, of: int) -> None:
    held_out: list[str] = []
    for number in range(1, of + 1):
        train, dev = parts(file, None, Fold(number, of))
        assert dev is not None
        assert sorted(ids(train) + ids(dev)) == sorted(f"battle-0-{battle}" for battle in range(40))
        assert not prompts(train) & prompts(dev)
        assert len(prompts(dev)) in {10 // of, -(-10 // of)}
        held_out += ids(dev)
    assert len(held_out) == len(set(held_out)) == 40


def test_rows_that_cannot_be_used_stay_with_what_is_learnt_from(file: Path) -> None:
    train, dev = parts(file, None, Fold(1, 2))
    assert dev is not None
    assert [record.line for record in train.read() if not isinstance(record.content, LabelledBattle)] == [8]
    assert all(isinstance(record.content, LabelledBattle) for record in dev.read())


def test_a_part_is_the_same_whatever_the_order_of_the_rows(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "train.jsonl"
    other.write_text("".join(sorted(file.read_text().splitlines(keepends=True), reverse=True)))
    for path in (file, other):
        _, dev = parts(path, None, Fold(2, 3))
        assert dev is not None
        assert prompts(dev) == prompts(parts(file, None, Fold(2, 3))[1] or dev)


def test_two_files_are_read_whole(file: Path) -> None:
    train, dev = parts(file, file, None)
    assert dev is not None
    assert ids(train) == ids(dev)
    assert len(ids(train)) == 40
    assert (train.name, parts(file, None, None)[1]) == ("train.jsonl", None)


def test_a_part_is_named_for_people(file: Path) -> None:
    train, dev = parts(file, None, Fold(2, 5))
    assert dev is not None
    assert (train.name, dev.name) == ("train.jsonl without 2/5", "part 2/5 of train.jsonl")


def test_dev_pairs_of_both_kinds_are_refused(file: Path) -> None:
    with pytest.raises(FileError, match="that is held out: choose one"):
        parts(file, file, Fold(1, 5))


def test_more_parts_than_prompts_are_refused(file: Path) -> None:
    with pytest.raises(FileError, match="10 different prompts can't be dealt into 11 parts"):
        parts(file, None, Fold(1, 11))


def test_a_fold_reads_as_it_is_written() -> None:
    assert str(Fold.parse("3/10")) == "3/10"


@pytest.mark.parametrize("text", ["", "1", "1/1", "0/5", "6/5", "-1/5", "1/5/2", "a/b", " 1/5", "1.0/5", "1/٥"])
def test_a_part_that_cannot_be_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be K/N"):
        Fold.parse(text)
