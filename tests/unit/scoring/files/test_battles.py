"""Reading files of battles: every row comes back once, whole or with what is wrong with it."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Battle
from prefstream.schemas.battle import MAX_TEXT_CHARS
from prefstream.schemas.wire import MAX_VALUE_BYTES
from prefstream.scoring.errors import FileError
from prefstream.scoring.files import csv_rows, lines, reading
from prefstream.scoring.files.battles import check_battles_file, read_battles
from prefstream.scoring.files.content import file_format
from prefstream.scoring.files.rows import FilePosition, FileRecord, RejectedRow

HEADER = b"id,prompt,response_a,response_b\n"


def write(folder: Path, content: bytes, name: str = "battles.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read(folder: Path, content: bytes, name: str = "battles.csv") -> list[FileRecord[Battle]]:
    return list(read_battles(write(folder, content, name)))


def rejections(records: list[FileRecord[Battle]]) -> list[tuple[int, str]]:
    return [(record.line, record.rejected.reason) for record in records if record.rejected]


def ids(records: list[FileRecord[Battle]]) -> list[str]:
    return [record.battle.id for record in records if record.battle]


def test_kaggle_row_is_read_with_its_oddities(tmp_path: Path) -> None:
    """Null turns become empty, lone surrogates U+FFFD, unknown columns are ignored, empty model names are unknown."""
    content = (
        b"id,model_a,model_b,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie\n"
        b'7,gpt-4,,"[""one"",""two""]","[null,""b \\ud83d""]","[""\xc3\xa9"",""d""]",1,0,0\n'
    )
    [record] = read(tmp_path, content)
    assert record.battle == Battle(
        id="7",
        prompt=("one", "two"),
        response_a=("", "b \ufffd"),
        response_b=("é", "d"),
        model_a="gpt-4",
    )
    assert record.line == 2


def test_line_is_where_a_row_starts_though_rows_span_lines(tmp_path: Path) -> None:
    records = read(tmp_path, HEADER + b'1,"a\nb\r\nc",x,y\n\n2,p,x,y\n3,p,x\n')
    assert [record.line for record in records] == [2, 6, 7]
    assert records[0].battle
    assert records[0].battle.prompt == ("a\nb\r\nc",)
    assert records[0].raw == b'1,"a\nb\r\nc",x,y'
    assert rejections(records) == [(7, "not_csv")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        pytest.param(b"2,p,x", "not_csv", id="too few cells"),
        pytest.param(b"2,p,x,y,z", "not_csv", id="too many cells"),
        pytest.param(b'2,"p"q,x,y', "not_csv", id="text behind a closing quote"),
        pytest.param(b'2,"p,x,y', "not_csv", id="quote never closed"),
        pytest.param(b"2,p\0,x,y", "not_csv", id="NUL byte"),
        pytest.param(b" ,p,x,y", "wrong_type", id="blank id"),
        pytest.param(b"2,p\xff,x,y", "not_utf8", id="not UTF-8"),
        pytest.param(b"2,p\xed\xa0\xbd,x,y", "not_utf8", id="surrogate written as bytes"),
        pytest.param(b'2,"[""p"",""q""]","[""x""]","[""y""]"', "turns_differ", id="rounds differ"),
    ],
)
def test_bad_csv_row_is_rejected_alone(tmp_path: Path, row: bytes, reason: str) -> None:
    """The rows before and behind it are read, and what it held is kept for the user."""
    records = read(tmp_path, HEADER + b'1,"p",x,y\n' + row + b'\n3,"p\n",x,y\n4,p,x,y\n')
    assert ids(records) == ["1", "3", "4"]
    assert rejections(records) == [(3, reason)]
    assert records[1].raw == row


def test_a_lone_surrogate_is_not_taken_for_a_text_of_windows(tmp_path: Path) -> None:
    row = '{"id":1,"prompt":"é \\ud83d","response_a":"x","response_b":"y"}'
    [record] = read(tmp_path, row.encode(), "b.jsonl")
    assert record.rejected
    assert record.rejected.reason == "not_utf8"
    assert "iconv" not in record.rejected.detail


@pytest.mark.parametrize(("byte", "told"), [(b"\xe9", True), (b"\x81", False)])
def test_bytes_that_windows_could_have_written_come_with_the_remedy(tmp_path: Path, byte: bytes, told: bool) -> None:
    [of_csv] = read(tmp_path, HEADER + b"1,p" + byte + b",x,y\n")
    [of_jsonl] = read(tmp_path, b'{"id":1,"prompt":"' + byte + b'","response_a":"x","response_b":"y"}', "b.jsonl")
    for record in (of_csv, of_jsonl):
        assert record.rejected
        assert record.rejected.reason == "not_utf8"
        assert ("iconv -f WINDOWS-1252 -t UTF-8" in record.rejected.detail) is told


def test_quote_that_is_never_closed_costs_one_row_of_many(tmp_path: Path) -> None:
    """Also where no other quote follows, so that only the end of the file shows it."""
    rows = [b"%d,p,x,y\n" % number for number in range(100)]
    rows[10] = b'10,"p,x,y\n'
    records = read(tmp_path, HEADER + b"".join(rows))
    assert ids(records) == [str(number) for number in range(100) if number != 10]
    assert rejections(records) == [(12, "not_csv")]


def test_quote_left_open_takes_no_row_with_it_though_another_one_closes_it(tmp_path: Path) -> None:
    """The rows then have too many cells together; reading goes on at the line behind the quote."""
    records = read(tmp_path, HEADER + b'1,q,"never closed\n2,he said 5",a,b\n3,q,a,b\n')
    assert ids(records) == ["2", "3"]
    assert rejections(records) == [(2, "not_csv")]
    assert records[0].rejected
    assert records[0].rejected.detail.endswith("it spans 2 lines: is a quote left open?")


def test_quote_that_only_the_end_of_the_file_shows_to_be_open_costs_its_row_alone(tmp_path: Path) -> None:
    records = read(tmp_path, HEADER + b'1,q,"never closed,x\n2,q,a,b\n3,q,"a\nb",c')
    assert ids(records) == ["2", "3"]
    assert rejections(records) == [(2, "not_csv")]


def test_carriage_return_that_ends_no_line_is_data(tmp_path: Path) -> None:
    """As pandas writes it, without quotes; elsewhere it stands within them, or before the line's own end."""
    records = read(tmp_path, HEADER + b'1,line one\rline two,a\r,b\n2,"p\r","x\r\ny","\r"\r\n3,p,x,y\r\r\n4,p,x,y\r')
    assert [record.battle and (record.battle.prompt, record.battle.response_a) for record in records] == [
        (("line one\rline two",), ("a\r",)),
        (("p\r",), ("x\r\ny",)),
        (("p",), ("x",)),
        (("p",), ("x",)),
    ]
    assert [record.battle and record.battle.response_b for record in records] == [("b",), ("\r",), ("y\r",), ("y",)]
    assert [record.line for record in records] == [2, 3, 5, 6]


@pytest.mark.parametrize(
    ("cells", "warned"),
    [
        ("\"['py', 'list']\",x,y", "prompt"),
        ('"[""unclosed",x,"[]"', "prompt, response_b"),
        ('"[""one""]",x,y', "prompt"),
        ('"[null, 1]",x,y', "prompt"),
        ('"[""one""]","[""x""]","[""y""]"', None),
        ("[INST] be brief,[1],[citation needed]", None),
        ('"[""p""]","[""x"", ""z""]","[""y""]"', None),
    ],
)
def test_cell_that_begins_like_a_list_of_turns_and_is_none_is_warned_of(
    tmp_path: Path, cells: str, warned: str | None
) -> None:
    [record] = read(tmp_path, HEADER + f"1,{cells}\n".encode())
    text = "read as text though it begins like a list of turns; where it is one, prompt and both responses must be "
    assert record.warnings == (() if warned is None else (f"{warned}: {text}JSON lists",))


@pytest.mark.parametrize(
    ("cells", "warned"),
    [
        ("p,x,", "response_b"),
        (',x,""', "prompt, response_b"),
        ('"[""p""]","[""x""]","[null]"', None),
        ("p,x, ", None),
    ],
)
def test_empty_cell_of_csv_is_an_empty_text_and_warned_of(tmp_path: Path, cells: str, warned: str | None) -> None:
    """CSV can't tell a missing answer from an empty one."""
    [record] = read(tmp_path, HEADER + f"1,{cells}\n".encode())
    assert record.battle
    assert record.warnings == (
        ()
        if warned is None
        else (f"{warned}: read as an empty text, though an empty cell may stand for one that is missing",)
    )


def test_empty_text_of_jsonl_is_meant_and_null_is_refused(tmp_path: Path) -> None:
    row = '{"id":1,"prompt":"p","response_a":"x","response_b":%s}\n'
    records = read(tmp_path, (row % '""' + row % "null").encode(), "battles.jsonl")
    assert (records[0].battle is not None, records[0].warnings) == (True, ())
    assert rejections(records) == [(2, "wrong_type")]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"id":"2"', "not_json"),
        (b"\xff", "not_utf8"),
        (b"[1]", "not_an_object"),
        (b'{"id":"2","prompt":"p","response_a":"x"}', "missing_field"),
        (b'{"id":"2","prompt":1,"response_a":"x","response_b":"y"}', "wrong_type"),
        (b'{"id":"2","prompt":NaN,"response_a":"x","response_b":"y"}', "not_finite"),
        (b'{"id":"2","prompt":["\\ud83d"],"response_a":"x","response_b":"y"}', "not_utf8"),
        (b'{"a":' * 2000 + b"1" + b"}" * 2000, "too_deep"),
        (b"\0", "not_json"),
    ],
)
def test_bad_jsonl_line_is_rejected_alone(tmp_path: Path, line: bytes, reason: str) -> None:
    good = b'{"id":%d,"prompt":"p","response_a":["x"],"response_b":"[\\"y\\"]"}\n'
    records = read(tmp_path, good % 1 + b" \n" + line + b"\n" + good % 3, "battles.jsonl")
    assert ids(records) == ["1", "3"]
    assert rejections(records) == [(3, reason)]
    assert records[1].raw == line


@pytest.mark.parametrize("name", ["battles.csv", "battles.jsonl"])
def test_row_above_the_bound_is_rejected_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of a line that does not end, only as much as the bound is ever held."""
    for module in (lines, csv_rows, reading):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 100)
    monkeypatch.setattr(lines, "_SKIP_BYTES", 64)
    if name.endswith("csv"):
        content = HEADER + b"1,p,x,y\n2," + b"p" * 500 + b',x,y\n3,"p,x,y\n' + b"4,p,x,y\n" * 50
        expected, bad = ["1", *["4"] * 50], [(3, "field_too_large"), (4, "field_too_large")]
    else:
        good = b'{"id":1,"prompt":"p","response_a":"x","response_b":"y"}\n'
        content = good + b'{"id":"' + b"i" * 500 + b'"}\n' + good
        expected, bad = ["1", "1"], [(2, "field_too_large")]
    records = read(tmp_path, content, name)
    assert ids(records) == expected
    assert rejections(records) == bad
    assert max(len(record.raw) for record in records) <= 101
    assert records[-1].end.offset == len(content)


def test_a_row_may_be_larger_than_a_value_on_a_topic(tmp_path: Path) -> None:
    long = "é" * (MAX_TEXT_CHARS - 1)
    line = orjson.dumps({"id": "1", "prompt": long, "response_a": long, "response_b": long})
    assert MAX_VALUE_BYTES < len(line) < lines.MAX_ROW_BYTES
    [record] = read(tmp_path, line + b"\n", "battles.jsonl")
    assert record.battle == Battle(id="1", prompt=long, response_a=long, response_b=long)


def test_cell_beyond_the_default_bound_of_csv_is_read(tmp_path: Path) -> None:
    [record] = read(tmp_path, HEADER + b"1," + b"p" * 300_000 + b",x,y\n")
    assert record.battle
    assert len(record.battle.prompt[0]) == 300_000


@pytest.mark.parametrize("name", ["battles.csv", "battles.jsonl"])
def test_byte_order_mark_and_missing_last_line_end_are_accepted(tmp_path: Path, name: str) -> None:
    row = b"1,p,x,y" if name.endswith("csv") else b'{"id":1,"prompt":"p","response_a":"x","response_b":"y"}'
    header = HEADER if name.endswith("csv") else b""
    assert ids(read(tmp_path, b"\xef\xbb\xbf" + header + row, name)) == ["1"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"id,prompt,response_a\n1,secret,x\n", "no column response_b"),
        (b"secret,2,3,4\n", "no column id, prompt, response_a, response_b"),
        (b"", "is empty; the first line must name the columns"),
        (b"id;prompt;response_a;response_b\n", "columns are separated by semicolons"),
        (b"id\tprompt\tresponse_a\tresponse_b\tsecret\n", "columns are separated by tabs"),
        (b"id,prompt,response_a,response_b\r1,secret,x,y\r", "a carriage return stands in its first line"),
        (b"id,prompt,prompt,response_a,response_b\n", "more than one column prompt"),
        (b'"id,secret', "no column id"),
        ("id,prompt,response_a,response_b\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_unusable_file_is_refused_without_quoting_it(tmp_path: Path, content: bytes, told: str) -> None:
    path = write(tmp_path, content)
    with pytest.raises(FileError, match=told) as caught:
        check_battles_file(path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    for name in ("none.csv", "none.jsonl", "none"):
        with pytest.raises(FileError, match="No such file"):
            check_battles_file(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.CSV", b"{", "csv"),
        ("a.ndjson", b"", "jsonl"),
        ("a.txt", b'\xef\xbb\xbf\n {"id"', "jsonl"),
        ("a", b"id,prompt", "csv"),
    ],
)
def test_format_is_told_by_ending_then_by_content(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    assert file_format(write(tmp_path, content, name)) == expected


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
GOOD_ROW = st.tuples(st.text("abc123", min_size=1, max_size=5), TEXT, TEXT, TEXT)


def as_csv_row(cells: tuple[str, ...]) -> bytes:
    line = io.StringIO()
    # Turns as JSON, as Kaggle has them: what the file holds can't then be mistaken for another spelling.
    csv.writer(line, lineterminator="\n").writerow(
        [cells[0], *(json.dumps([text], ensure_ascii=False) for text in cells[1:])]
    )
    return line.getvalue().encode()


def as_json_line(cells: tuple[str, ...]) -> bytes:
    names = ("id", "prompt", "response_a", "response_b")
    return (
        json.dumps({name: [text] if name != "id" else text for name, text in zip(names, cells, strict=True)}).encode()
        + b"\n"
    )


BAD_CSV = st.sampled_from([b"too,few\n", b'"a"b,c\n', b"\xff,p,x,y\n", b"0,p\0,x,y\n", b"1,2,3,4,5\n"])
BAD_JSON = st.sampled_from([b"{\n", b"\xff\n", b"[]\n", b'{"id":1}\n', b"null\n"])


@given(rows=st.lists(GOOD_ROW | BAD_CSV, max_size=12))
def test_every_csv_row_comes_back_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...] | bytes]
) -> None:
    """Good rows whole, bad ones as rejected, whatever stands beside what; and reading can begin behind any of them."""
    content = HEADER + b"".join(row if isinstance(row, bytes) else as_csv_row(row) for row in rows)
    check_round_trip(tmp_path_factory.mktemp("csv"), content, rows, "battles.csv")


@given(rows=st.lists(GOOD_ROW | BAD_JSON, max_size=12))
def test_every_jsonl_line_comes_back_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, ...] | bytes]
) -> None:
    """As for CSV."""
    content = b"".join(row if isinstance(row, bytes) else as_json_line(row) for row in rows)
    check_round_trip(tmp_path_factory.mktemp("jsonl"), content, rows, "battles.jsonl")


def check_round_trip(folder: Path, content: bytes, rows: list[tuple[str, ...] | bytes], name: str) -> None:
    path = write(folder, content, name)
    records = list(read_battles(path))
    assert [
        (
            record.battle.id,
            *(turns[0] for turns in (record.battle.prompt, record.battle.response_a, record.battle.response_b)),
        )
        if record.battle
        else record.raw + b"\n"
        for record in records
    ] == rows
    for place, record in enumerate(records):
        assert list(read_battles(path, start=record.end)) == records[place + 1 :]
        assert content.count(b"\n", 0, record.end.offset) == record.end.line - 1
    if records:
        assert records[-1].end == FilePosition(len(content), content.count(b"\n") + 1)


@given(
    damage=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([b'"', b"\n", b",", b"\xff", b"\0", b"\r"])), max_size=4)
)
def test_damage_to_a_csv_file_never_loses_a_byte(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[float, bytes]]
) -> None:
    """Whatever is inserted wherever: the rows cover the file without gap or overlap, and far rows stay whole."""
    rng = random.Random(1)
    rows = [as_csv_row((str(number), "p" * rng.randrange(30), "x\ny", 'a "quoted" word')) for number in range(40)]
    body = bytearray(b"".join(rows))
    for place, what in sorted(damage, reverse=True):
        body[int(place * len(body)) : int(place * len(body))] = what
    content = HEADER + bytes(body)
    records = list(read_battles(write(tmp_path_factory.mktemp("damaged"), content)))
    covered = b"".join(
        content[start.offset : record.end.offset]
        for start, record in zip([FilePosition(len(HEADER), 2), *[r.end for r in records]], records, strict=False)
    )
    assert covered.rstrip(b"\r\n") == bytes(body).rstrip(b"\r\n")
    assert len(set(ids(records))) >= 40 - 2 * len(damage)


def test_fault_reads_as_reason_and_detail() -> None:
    assert str(RejectedRow("not_csv", "too short")) == "not_csv: too short"
