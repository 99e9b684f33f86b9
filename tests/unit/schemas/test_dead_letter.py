"""Header names and reason codes are promises to other programs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from prefstream import schemas
from prefstream.schemas import ERROR_HEADERS, DeadLetterHeaders, Reason
from prefstream.schemas import dead_letter as module
from prefstream.schemas.dead_letter import (
    HEADER_RETRIES,
    ORIGINAL_PREFIX,
    header,
    rename_original,
    restore_original,
    whole_number,
)

KAFKA_NAMES = {
    f"__streams.errors.{name}" for name in ("exception", "message", "stacktrace", "topic", "partition", "offset")
}

HEADERS = {
    "prefstream.reason": "not_json",
    "__streams.errors.exception": "prefstream.schemas.errors.InvalidEventError",
    "__streams.errors.message": "not_json: not JSON at line 1 column 1",
    "__streams.errors.stacktrace": "decode_battle (schemas/wire.py:30)",
    "__streams.errors.topic": "battles",
    "__streams.errors.partition": "0",
    "__streams.errors.offset": "12",
    "prefstream.original.timestamp": "1700000000000",
}


def test_kafkas_own_names_are_used() -> None:
    assert KAFKA_NAMES < ERROR_HEADERS


def test_every_header_name_is_listed_for_retry_to_take_off() -> None:
    constants = {value for name, value in vars(module).items() if name.startswith("HEADER_")}
    fields = {field.alias for field in DeadLetterHeaders.model_fields.values()}
    assert constants == fields == ERROR_HEADERS | {HEADER_RETRIES}  # which stays on the record


@pytest.mark.parametrize(
    "name", [name for ours in sorted(ERROR_HEADERS) for name in (ours, f"{ORIGINAL_PREFIX}{ours}")]
)
def test_a_header_of_the_original_is_never_taken_for_ours_and_gets_its_name_back(name: str) -> None:
    renamed = rename_original(name)
    assert renamed not in ERROR_HEADERS | {name}
    assert restore_original(renamed) == name


@pytest.mark.parametrize("name", ["traceparent", "prefstream.retries", "", "original", "prefstream.original.x"])
def test_any_other_header_keeps_its_name(name: str) -> None:
    assert rename_original(name) is restore_original(name) is name  # one that is no UTF-8 has bytes beside its text


def test_reason_codes_never_change() -> None:
    """Alerts and dashboards are built on them: add, but do not rename."""
    assert {
        "null_value",
        "not_utf8",
        "not_json",
        "not_finite",
        "too_deep",
        "not_an_object",
        "missing_field",
        "wrong_type",
        "turns_differ",
        "field_too_large",
        "too_large_for_judge",
        "preference_too_large",
    } <= {reason.value for reason in Reason}


def test_headers_are_read_by_their_names_beside_the_records_own() -> None:
    headers = DeadLetterHeaders.model_validate(HEADERS | {"tenant": "blue"})
    assert headers.reason is Reason.NOT_JSON
    assert headers.value_size is None
    assert headers.model_dump(by_alias=True, exclude_none=True, mode="json") == HEADERS | {"tenant": "blue"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prefstream.reason", "bad_luck"),
        ("__streams.errors.partition", "-1"),
        ("__streams.errors.offset", "twelve"),
        ("prefstream.original.timestamp", "yesterday"),
        ("prefstream.value.sha256", "abc"),
        ("prefstream.value.size", ""),
    ],
)
def test_headers_out_of_shape_are_refused(name: str, value: str) -> None:
    with pytest.raises(ValidationError):
        DeadLetterHeaders.model_validate(HEADERS | {name: value})


@dataclass
class SomeRecord:
    """What a client hands out."""

    headers: list[tuple[str, bytes | None]]


def test_reading_a_header_takes_the_last_of_its_name_that_has_a_value() -> None:
    record = SomeRecord([("h", b"1"), ("h", b"\xff2"), ("h", None), ("empty", b"")])
    assert header(record, "h") == "\ufffd2"
    assert header(record, "empty") == ""
    assert header(record, "other") is None


def test_the_guide_explains_every_reason() -> None:
    guide = (Path(schemas.__file__).parent / "README.md").read_text(encoding="utf-8")
    section = guide.partition("## Why a record is a dead letter\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \| .{10,}", section, re.MULTILINE) == [reason.value for reason in Reason]


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("42", 42), (str(2**63 - 1), 2**63 - 1), (str(2**63), None), ("9" * 5_000, None), ("", None)]
    + [(text, None) for text in ("-1", "1.0", " 1", "1\n", "\N{ARABIC-INDIC DIGIT THREE}", None)],
)
def test_a_header_is_a_whole_number_or_none(text: str | None, number: int | None) -> None:
    assert whole_number(text) == number
