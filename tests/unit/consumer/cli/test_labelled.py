"""Battles that were chosen: known without their texts, which are read anew, and not of another file."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from prefstream.consumer.cli.labelled import ChosenBattles, RowFilter, read_chosen, warn_of_training_data
from prefstream.scoring.adapters.receipt import RECEIPT
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.config import DEMO_PANEL, PanelConfig, load_panel_config
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


def warnings_of(file: Path, config: PanelConfig) -> str:
    said = StringIO()
    warn_of_training_data(file, config, Console(file=said))
    return said.getvalue()


def panel_that_learnt_from(folder: Path, **data: object) -> PanelConfig:
    (folder / "adapter").mkdir()
    (folder / "adapter" / RECEIPT).write_text(json.dumps({"data": data}))
    panel = folder / "panel.yaml"
    panel.write_text(json.dumps({"judges": [{"name": "lexical", "kind": "features", "adapter": "adapter"}]}))
    return load_panel_config(panel)


def test_that_a_judge_learnt_from_the_very_file_is_told(tmp_path: Path, file: Path) -> None:
    config = panel_that_learnt_from(tmp_path, train={"sha256": hash_file(file)})
    assert "judged.jsonl is what lexical learnt from; take battles with other prompts" in warnings_of(file, config)


@pytest.mark.parametrize("data", [{"train": {"sha256": "0" * 64}}, {"train": None}, {}])
def test_of_a_file_that_no_judge_is_known_to_have_learnt_from_nothing_is_told(
    tmp_path: Path, file: Path, data: dict[str, object]
) -> None:
    assert not warnings_of(file, panel_that_learnt_from(tmp_path, **data))


def test_of_the_judges_that_ship_is_known_what_they_learnt_from(file: Path) -> None:
    assert not warnings_of(file, load_panel_config(DEMO_PANEL))
