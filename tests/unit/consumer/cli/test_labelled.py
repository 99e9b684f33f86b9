"""Battles that were chosen: known without their texts, which are read anew, and not of another file."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from prefstream.consumer.cli.labelled import ChosenBattles, RowFilter, read_chosen
from prefstream.scoring.errors import FileError
from tests.support.growth import bytes_per_row, write_long_battles
from tests.support.labelled_pairs import make_rows, read_rows, write_rows


def chosen_from(choice: RowFilter) -> ChosenBattles:
    return read_chosen(choice, Console(quiet=True))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "judged.jsonl", make_rows(30, prompts=10))


def test_a_row_adds_some_hundred_bytes_whatever_its_texts(tmp_path: Path) -> None:
    def read_twice(count: int) -> ChosenBattles:
        chosen = chosen_from(RowFilter(write_long_battles(tmp_path / "judged.jsonl", count)))
        assert sum(1 for _ in chosen.read()) == count
        return chosen

    assert bytes_per_row(read_twice) < 1_000


@pytest.mark.parametrize(
    "choice",
    [{}, {"tiers": ["core"]}, {"sources": ["one"], "tiers": ["arena"]}, {"limit": 4}, {"tiers": ["core"], "limit": 3}],
)
def test_the_second_reading_gives_the_battles_of_the_first(file: Path, choice: dict[str, object]) -> None:
    asked = RowFilter(file, **choice)  # type: ignore[arg-type]
    chosen = chosen_from(asked)
    expected = [one.battle for one in filter(asked.takes, read_rows(file))][: asked.limit]
    assert expected
    for _ in range(2):
        assert list(chosen.read()) == expected
    assert chosen.facts.ids == tuple(battle.id for battle in expected)


@pytest.mark.parametrize("rows", [make_rows(29, prompts=10), make_rows(30, prompts=10, seed=1), []])
def test_a_file_that_changed_meanwhile_is_refused(file: Path, rows: list[dict[str, object]]) -> None:
    chosen = chosen_from(RowFilter(file))
    write_rows(file, rows)
    with pytest.raises(FileError, match=r"judged.jsonl changed while it was read; start again once"):
        list(chosen.read())
