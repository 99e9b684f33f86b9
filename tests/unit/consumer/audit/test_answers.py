"""What an answer says of itself: its place by its value, and every contradiction beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from prefstream.consumer.audit.answers import AuditedAnswer, Malformed, read_dead_letter, read_preference
from prefstream.consumer.stream.messages import Composer, Message, dead_letter
from prefstream.schemas import InvalidEventError, KafkaSource, Reason, encode_preference
from prefstream.schemas.preference import FileSource
from tests.support.samples import a_preference
from tests.support.streams import make_event

EVENT = make_event(partition=2, offset=7)
SAID = a_preference(source=KafkaSource(topic="battles", partition=2, offset=7))
PREFERENCE = Composer("g").preference(EVENT, SAID, datetime(2026, 11, 28, tzinfo=UTC))
LETTER = dead_letter(EVENT, Reason.NOT_JSON, InvalidEventError(Reason.NOT_JSON, "none"))


def as_record(message: Message, **changes: Any) -> Any:
    """As it stands on its topic; `drop` and `headers` change headers."""
    headers = dict(message.headers) | {"prefstream.group": b"g"} | changes.pop("headers", {})
    for name in changes.pop("drop", ()):
        del headers[name]
    record = {"topic": "out", "partition": 1, "offset": 3, "timestamp": 5, "key": message.key, "value": message.value}
    return SimpleNamespace(**{**record, "headers": list(headers.items()), **changes})


def test_an_answer_names_its_record() -> None:
    found = read_preference(as_record(PREFERENCE), "g")
    assert isinstance(found, AuditedAnswer)
    assert (found.topic, found.partition, found.offset, found.where) == ("battles", 2, 7, "out/1/3")
    assert (found.preference, found.contradicts) == (SAID, "")
    letter = read_dead_letter(as_record(LETTER), "g", "battles")
    assert isinstance(letter, AuditedAnswer)
    assert (letter.topic, letter.partition, letter.offset, letter.reason) == ("battles", 2, 7, "not_json")
    assert (letter.preference, letter.contradicts) == (None, "")


def test_answers_of_another_group_or_for_another_stream_are_none_of_ours() -> None:
    assert read_preference(as_record(PREFERENCE), "h") is None
    assert read_dead_letter(as_record(LETTER), "h", "battles") is None
    unnamed = as_record(LETTER, drop=["prefstream.group"])
    assert read_dead_letter(unnamed, "g", "others") is None
    assert read_dead_letter(unnamed, "g", "battles") is not None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"headers": {"ce_id": b"battles/2/8"}}, "ce_id is not its source"),
        ({"drop": ["ce_id"]}, "ce_id is not its source"),
        ({"drop": ["ce_source"]}, "ce_source is missing"),
        ({"key": b"other"}, "its key is not its id"),
        ({"key": None, "drop": ["ce_id"]}, "ce_id is not its source, its key is not its id"),
    ],
    ids=str,
)
def test_what_contradicts_a_preference_is_told_beside_the_place_that_its_value_names(
    changes: dict[str, Any], told: str
) -> None:
    found = read_preference(as_record(PREFERENCE, **changes), "g")
    assert isinstance(found, AuditedAnswer)
    assert (found.offset, found.contradicts) == (7, told)


@pytest.mark.parametrize("value", [None, b"", b"{}", b"\xff", b"[]"])
def test_what_is_no_preference_is_told_without_its_text(value: bytes | None) -> None:
    found = read_preference(as_record(PREFERENCE, value=value), "g")
    assert isinstance(found, Malformed)
    assert found.where == "out/1/3"


def test_an_answer_to_a_row_of_a_file_has_no_place_on_a_topic() -> None:
    of_a_file = SAID.model_copy(update={"source": FileSource(file="a.csv", line=2)})
    found = read_preference(as_record(PREFERENCE, value=encode_preference(of_a_file)), "g")
    assert found == Malformed("out/1/3", "is of a row of a file")


def test_a_dead_letter_without_a_place_or_a_known_reason_is_told() -> None:
    lost = read_dead_letter(as_record(LETTER, headers={"__streams.errors.offset": b"-1"}), "g", "battles")
    assert lost == Malformed("out/1/3", "names no record")
    odd = read_dead_letter(as_record(LETTER, headers={"prefstream.reason": b"made_up"}), "g", "battles")
    assert isinstance(odd, AuditedAnswer)
    assert (odd.reason, odd.contradicts) == ("unknown", "")
    silent = read_dead_letter(as_record(LETTER, drop=["prefstream.reason"]), "g", "battles")
    assert isinstance(silent, AuditedAnswer)
    assert silent.contradicts == "prefstream.reason is missing"
