"""Tables as CSV: read back they are what they were, and no spreadsheet runs what others wrote."""

from __future__ import annotations

import csv
import io

from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.board.report.payloads import ModelLine, StrengthTable, WinRates
from prefstream.consumer.board.report.tables import models_csv, pairs_csv, to_csv

texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)


def read(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


def line(model: str, **changes: object) -> ModelLine:
    fields: dict[str, object] = {
        "place": 1,
        "model": model,
        "rating": 1010.5,
        "lower": None,
        "upper": None,
        "rank_low": None,
        "rank_high": None,
        "battles": 3,
        "votes": 3.0,
        "why_no_interval": "one battle",
    }
    return ModelLine.model_validate(fields | changes)


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_a_reader_of_csv_gets_every_text_back(rows: list[tuple[str, str]]) -> None:
    head, *read_rows = read(to_csv(("one", "two"), rows))
    assert head == ["one", "two"]
    for row, found in zip(rows, read_rows, strict=True):
        for text, cell in zip(row, found, strict=True):
            assert cell in {text, f"'{text}"}


@given(texts)
def test_no_text_begins_like_a_formula(text: str) -> None:
    [_, [cell, _]] = read(to_csv(("a", "b"), [(text, "x")]))
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"))


def test_numbers_below_zero_stay_numbers() -> None:
    [_, row] = read(to_csv(("a", "b", "c"), [(-1.5, None, True)]))
    assert row == ["-1.5", "", "true"]


def test_lines_end_as_the_rfc_has_it() -> None:
    assert to_csv(("a",), [("x",)]) == "a\r\nx\r\n"


def test_a_model_is_a_line_and_what_is_unknown_is_empty() -> None:
    table = StrengthTable(
        method="votes",
        label="what people say",
        style_control=False,
        models=(line('gpt, "four"'), line("=HYPERLINK(1)", place=2, rating=None)),
        votes=3,
        preferences=0,
    )  # fmt: skip
    head, first, second = read(models_csv(table))
    assert head[:4] == ["place", "model", "rating", "lower"]
    assert first[:4] == ["1", 'gpt, "four"', "1010.5", ""]
    assert second[:3] == ["2", "'=HYPERLINK(1)", ""]


def test_every_pair_stands_in_both_directions() -> None:
    rates = WinRates(
        models=("x", "y"),
        expected=((None, 0.75), (0.25, None)),
        observed=((None, 1.0), (0.0, None)),
        meetings=((0.0, 2.0), (2.0, 0.0)),
    )
    assert read(pairs_csv(rates))[1:] == [["x", "y", "0.75", "1.0", "2.0"], ["y", "x", "0.25", "0.0", "2.0"]]
