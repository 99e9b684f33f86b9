"""What leaves the stream for one event, header by header."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from prefstream.consumer.stream.messages import Composer, Message, dead_letter, shrink, unchoose, with_copies
from prefstream.schemas import (
    Battle,
    InvalidEventError,
    JudgeOpinion,
    KafkaSource,
    Preference,
    Provenance,
    Reason,
    decode_battle,
    decode_preference,
)
from prefstream.schemas.dead_letter import (
    ERROR_HEADERS,
    HEADER_GROUP,
    HEADER_KEY_SHA256,
    HEADER_OFFSET,
    HEADER_TOPIC,
    HEADER_VALUE_SHA256,
    HEADER_VALUE_SIZE,
    DeadLetterHeaders,
)
from prefstream.schemas.preference import Review
from prefstream.scoring.panel.combine import PanelAnswer
from tests.support.priors import PRIOR
from tests.support.streams import MALFORMED, MARKERS, make_event

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOW = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)


def refused(value: bytes | None) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as refusal:
        decode_battle(value)
    return refusal.value


def preference(battle_id: str = "b") -> Preference:
    opinion = JudgeOpinion(name="prior", probabilities=PRIOR, provenance=Provenance(kind="prior"))
    answer = PanelAnswer(PRIOR, "model_a", (opinion,), (), 0.0)
    battle = Battle(id=battle_id, prompt="p", response_a="a", response_b="b")
    return answer.to_preference(battle, KafkaSource(topic="battles", partition=3, offset=7))


def test_a_preference_is_keyed_by_its_battle_and_can_be_read_back() -> None:
    message = Composer("g").preference(make_event(partition=3, offset=7), preference("é"), NOW)
    assert message.reason is None
    assert message.key == "é".encode()
    assert message.value is not None
    assert decode_preference(message.value) == preference("é")
    headers = dict(message.headers)
    assert headers["ce_id"] == b"battles/3/7"
    assert datetime.fromisoformat(headers["ce_time"].decode()) == NOW.replace(microsecond=123_000)


def test_of_the_records_headers_a_preference_keeps_the_trace_alone() -> None:
    event = make_event(headers=[("traceparent", TRACE), ("zqheader", b"x"), ("ce_id", b"theirs")])
    names = [name for name, _ in Composer("g").preference(event, preference(), NOW).headers]
    assert names.count("ce_id") == 1
    assert "traceparent" in names
    assert "zqheader" not in names


@pytest.mark.parametrize("trace", [TRACE, b"cc" + TRACE[2:], b"cc" + TRACE[2:] + b"-what the future brings"])
def test_a_trace_is_passed_on_as_it_came(trace: bytes) -> None:
    event = make_event(headers=[("traceparent", trace)])
    assert dict(Composer("g").preference(event, preference(), NOW).headers)["traceparent"] == trace


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([None], id="null"),
        pytest.param([b"nonsense\xff"], id="nonsense"),
        pytest.param([b""], id="empty"),
        pytest.param([TRACE.upper()], id="capitals"),
        pytest.param([TRACE + b"\n"], id="newline"),
        pytest.param([TRACE + b"-more"], id="more than version 00 has"),
        pytest.param([b"ff" + TRACE[2:]], id="forbidden version"),
        pytest.param([b"cc" + TRACE[2:] + b"-\xff"], id="no text"),
        pytest.param([b"00-" + b"0" * 32 + TRACE[35:]], id="no trace id"),
        pytest.param([TRACE[:36] + b"0" * 16 + b"-01"], id="no parent id"),
        pytest.param([TRACE, TRACE], id="two"),
    ],
)
def test_what_is_no_trace_is_not_passed_on(values: list[bytes | None]) -> None:
    event = make_event(headers=[("traceparent", value) for value in values])
    assert "traceparent" not in dict(Composer("g").preference(event, preference(), NOW).headers)


@pytest.mark.parametrize("kind", MALFORMED)
def test_a_dead_letter_has_the_record_and_every_error_header(kind: str) -> None:
    value, reason = MALFORMED[kind]
    event = make_event(value, partition=2, offset=11, headers=[("zqheader", b"\xff")])
    message = dead_letter(event, reason, refused(value))
    assert (message.key, message.value, message.reason) == (b"zqkey", value, reason)
    assert message.headers[0] == ("zqheader", b"\xff")
    told = DeadLetterHeaders.model_validate({name: text.decode() for name, text in message.headers[1:]})
    assert (told.reason, told.topic, told.partition, told.offset) == (reason, "battles", "2", "11")
    assert told.original_timestamp == "1700000000000"
    assert not [marker for marker in MARKERS if marker in repr(message.headers[1:])]


def test_a_records_headers_of_our_names_are_told_apart_from_ours() -> None:
    """A reader may take the first or the last of a name: whatever a producer wrote, it reads what we wrote."""
    value, reason = MALFORMED["array"]
    claimed = [("prefstream.reason", b"theirs"), (HEADER_TOPIC, b"elsewhere"), (HEADER_GROUP, b"theirs")]
    message = dead_letter(make_event(value, headers=claimed), reason, refused(value))
    assert message.headers[:3] == [(f"prefstream.original.{name}", text) for name, text in claimed]
    names = [name for name, _ in message.headers]
    assert len(names) == len(set(names))
    assert HEADER_GROUP not in names  # the sink adds it


def test_a_dead_letter_that_came_back_as_it_was_and_failed_again_tells_both_failures() -> None:
    value, reason = MALFORMED["array"]
    once = dead_letter(make_event(value, offset=4), reason, refused(value))
    headers = dict(dead_letter(make_event(value, offset=9, headers=once.headers), reason, refused(value)).headers)
    assert (headers[HEADER_OFFSET], headers[f"prefstream.original.{HEADER_OFFSET}"]) == (b"9", b"4")


def test_a_header_without_value_can_be_sent_by_the_client() -> None:
    """kafka-python takes bytes alone."""
    message = dead_letter(make_event(headers=[("empty", None)]), Reason.WRONG_TYPE, ValueError())
    assert all(isinstance(text, bytes) for _, text in message.headers)


def test_a_record_without_key_and_value_can_be_sent_by_the_client() -> None:
    message = dead_letter(make_event(None, key=None), Reason.NULL_VALUE, refused(None))
    assert (message.key, message.value, message.reason) == (None, b"", Reason.NULL_VALUE)


def test_the_stacktrace_names_places_and_no_values() -> None:
    message = dead_letter(make_event(b"zqprompt"), Reason.NOT_JSON, refused(b"zqprompt"))
    trace = dict(message.headers)["__streams.errors.stacktrace"].decode()
    assert trace.splitlines()[-1].startswith("decode_object (")


def test_a_preference_that_is_too_large_becomes_a_dead_letter_of_its_record() -> None:
    event = make_event(b"the battle")
    smaller = shrink(Composer("g").preference(event, preference(), NOW))
    assert smaller is not None
    assert (smaller.value, smaller.reason) == (b"the battle", Reason.PREFERENCE_TOO_LARGE)


def reviewed(*, chosen: bool) -> Message:
    said = preference().model_copy(update={"review": Review(probability=0.5, chosen=chosen)})
    return Composer("g").preference(make_event(), said, NOW)


def test_what_was_chosen_goes_out_twice_the_very_same() -> None:
    letter = dead_letter(make_event(b"{"), Reason.NOT_JSON, refused(b"{"))
    one, other = reviewed(chosen=False), reviewed(chosen=True)
    *messages, copy = with_copies([one, other, letter])
    assert messages == [one, other, letter]
    assert copy.copy_of is other
    assert (copy.key, copy.value, copy.headers) == (other.key, other.value, other.headers)
    assert with_copies([one, letter]) == (one, letter)


def test_what_is_not_sent_for_review_does_not_say_that_it_was() -> None:
    chosen = reviewed(chosen=True)
    alone = unchoose(chosen)
    assert not alone.chosen
    assert decode_preference(alone.value or b"") == preference()
    assert (alone.key, alone.headers, alone.event) == (chosen.key, chosen.headers, chosen.event)


def test_a_preference_that_is_not_sent_for_review_keeps_its_frame() -> None:
    chosen = reviewed(chosen=True)
    framed = replace(chosen, value=b"\0\0\0\0\7" + (chosen.value or b""))
    assert unchoose(framed).value == b"\0\0\0\0\7" + (unchoose(chosen).value or b"")


def test_a_dead_letter_of_what_was_chosen_is_not_sent_for_review() -> None:
    smaller = shrink(reviewed(chosen=True))
    assert smaller is not None
    assert not smaller.chosen


def test_a_dead_letter_that_is_too_large_loses_its_value_and_tells_size_and_hash() -> None:
    value = b"zqprompt" * 100
    smaller = shrink(dead_letter(make_event(value), Reason.NOT_JSON, refused(value)))
    assert smaller is not None
    headers = dict(smaller.headers)
    assert (smaller.key, smaller.value, smaller.reason) == (b"zqkey", b"", Reason.NOT_JSON)
    assert headers[HEADER_VALUE_SIZE] == str(len(value)).encode()
    assert headers[HEADER_VALUE_SHA256] == sha256(value).hexdigest().encode()


def test_what_is_too_large_without_its_value_loses_key_and_headers_and_then_has_no_smaller_form() -> None:
    event = make_event(b"[", headers=[("h", b"x" * 9)])
    first = shrink(dead_letter(event, Reason.NOT_JSON, refused(b"[")))
    assert first is not None
    second = shrink(first)
    assert second is not None
    assert (second.key, second.value) == (None, b"")
    assert "h" not in dict(second.headers)
    assert dict(second.headers)[HEADER_KEY_SHA256] == sha256(event.record.key or b"").hexdigest().encode()
    assert shrink(second) is None


def test_every_header_that_is_added_is_one_that_retry_takes_off_again() -> None:
    message: Message | None = dead_letter(make_event(b"["), Reason.NOT_JSON, refused(b"["))
    added: set[str] = set()
    while message is not None:
        added |= {name for name, _ in message.headers}
        message = shrink(message)
    assert added | {HEADER_GROUP} == ERROR_HEADERS  # the sink adds the group
