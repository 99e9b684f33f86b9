"""Parquet: a row is a JSON object with the columns that are read."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prefstream.schemas import Battle
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.battles import check_battles_file, read_battles
from prefstream.scoring.files.labelled import check_labelled_file, read_labelled

COLUMNS: dict[str, list[Any]] = {
    "id": [1, 2],
    "prompt": ["p", "[citation needed]"],
    "response_a": ["x", "[]"],
    "response_b": ["y", None],
    "winner": ["model_a", "both_bad"],
    "noise": [[{"deep": 1.5}], None],
}


def write(folder: Path, columns: Mapping[str, Any], *, rows_a_group: int = 1000) -> Path:
    path = folder / "battles.parquet"
    pq.write_table(pa.table(dict(columns)), path, row_group_size=rows_a_group)
    return path


def test_rows_are_read_with_the_number_of_their_row_as_line(tmp_path: Path) -> None:
    one, other = read_battles(write(tmp_path, COLUMNS))
    assert one.battle == Battle(id="1", prompt="p", response_a="x", response_b="y")
    assert (one.line, other.line) == (1, 2)
    assert other.rejected
    assert other.rejected.reason == "wrong_type"
    assert json.loads(other.raw) == {"id": 2, "prompt": "[citation needed]", "response_a": "[]", "response_b": None}


def test_what_stands_in_bytes_is_text_and_what_is_none_is_named(tmp_path: Path) -> None:
    """As Spark writes strings; a row that is not UTF-8 costs no other."""
    columns = {
        "id": [b"1", b"\xff", b"3"],
        **{name: [b"\xc3\xa9"] * 3 for name in ("prompt", "response_a", "response_b")},
    }
    records = list(read_battles(write(tmp_path, columns)))
    assert [record.rejected and record.rejected.reason for record in records] == [None, "not_utf8", None]
    assert records[0].battle == Battle(id="1", prompt="é", response_a="é", response_b="é")
    broken = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"x\xff"))
    texts = {"prompt": broken, "response_a": ["x"] * 2, "response_b": ["y"] * 2}
    records = list(read_battles(write(tmp_path, {"id": [1, 2], **texts})))
    assert [record.rejected and record.rejected.reason for record in records] == [None, "not_utf8"]


def test_moments_come_with_their_zone(tmp_path: Path) -> None:
    moment = datetime(2026, 11, 28, 12, tzinfo=UTC)
    columns = {name: values[:1] for name, values in COLUMNS.items()} | {"occurred_at": [moment]}
    [record] = read_battles(write(tmp_path, columns))
    assert record.battle
    assert record.battle.occurred_at == moment


def test_reading_can_begin_behind_any_row(tmp_path: Path) -> None:
    texts = {name: ["x" * number for number in range(300)] for name in ("prompt", "response_a", "response_b")}
    path = write(tmp_path, {"id": list(range(300)), **texts}, rows_a_group=70)
    records = list(read_battles(path))
    assert len(records) == 300
    assert list(read_battles(path, start=records[199].end)) == records[200:]
    assert records[-1].done_bytes == path.stat().st_size


def test_labels_are_read(tmp_path: Path) -> None:
    columns = {name: values[:1] for name, values in COLUMNS.items()} | {"winner": ["tie (bothbad)"]}
    [record] = read_labelled(write(tmp_path, columns))
    assert record.battle
    assert (record.battle.label.outcome, record.battle.label.both_bad) == ("tie", True)


@pytest.mark.parametrize(
    ("without", "told"), [(["id"], "no column id;"), (["prompt", "response_a"], "no column prompt, response_a;")]
)
def test_file_without_the_columns_is_refused(tmp_path: Path, without: Sequence[str], told: str) -> None:
    path = write(tmp_path, {name: values for name, values in COLUMNS.items() if name not in without})
    with pytest.raises(FileError, match=told):
        check_battles_file(path)


def test_file_without_labels_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, {name: values for name, values in COLUMNS.items() if name != "winner"})
    with pytest.raises(FileError, match="no column winner_model_a"):
        check_labelled_file(path)


@pytest.mark.parametrize("keep", [10, 300])
def test_damaged_file_is_refused(tmp_path: Path, keep: int) -> None:
    path = write(tmp_path, COLUMNS)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(FileError, match="is damaged"):
        check_battles_file(path)


def test_damage_inside_is_told_when_it_is_reached(tmp_path: Path) -> None:
    path = write(tmp_path, {name: [f"{name} {number}" for number in range(900)] for name in COLUMNS if name != "noise"})
    content = bytearray(path.read_bytes())
    content[40:400] = bytes(360)
    path.write_bytes(content)
    with pytest.raises(FileError, match="is damaged"):
        list(read_battles(path))


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, COLUMNS)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FileError, match=r"needs pyarrow: pip install 'prefstream\[parquet\]'"):
        check_battles_file(path)
