"""CloudEvents in structured mode: an envelope is a battle, or a reason that names the place and no text."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.observe.traces.traceparent import TRACEPARENT, producer_trace
from prefstream.schemas import Battle, InvalidEventError, Reason, decode_battle, encode_battle
from prefstream.schemas.cloud_event import CONTENT_TYPE, STRUCTURED, is_structured
from tests.support.samples import battles, json_values

DATA: dict[str, Any] = {"id": "b1", "prompt": "zqprompt", "response_a": "zqanswera", "response_b": "zqanswerb"}
ENVELOPE: dict[str, Any] = {
    "specversion": "1.0",
    "id": "e1",
    "source": "/chats",
    "type": "org.example.battle",
    "datacontenttype": "application/json",
    "data": DATA,
}
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def envelope(**attributes: Any) -> bytes:
    """A valid envelope but for what is given; None leaves an attribute out."""
    return json.dumps({name: value for name, value in (ENVELOPE | attributes).items() if value is not None}).encode()


def decoded(value: bytes) -> Battle:
    return decode_battle(value, content_type=STRUCTURED)


@given(battle=battles(), in_bytes=st.booleans())
def test_a_battle_in_an_envelope_is_that_battle(battle: Battle, *, in_bytes: bool) -> None:
    wire = encode_battle(battle)
    data = {"data": None, "data_base64": base64.b64encode(wire).decode()} if in_bytes else {"data": orjson.loads(wire)}
    assert (
        decoded(orjson.dumps({name: value for name, value in (ENVELOPE | data).items() if value is not None})) == battle
    )


@given(
    changed=st.dictionaries(
        st.sampled_from([*ENVELOPE, "time", "subject", "dataschema", "data_base64", "traceparent", "zqother", "Zq-x"]),
        json_values,
        max_size=4,
    )
)
def test_any_envelope_gives_a_battle_or_a_reason(changed: dict[str, Any]) -> None:
    try:
        value = orjson.dumps(ENVELOPE | changed)
    except TypeError:  # JSON of others has integers of more than 64 bits
        value = json.dumps(ENVELOPE | changed).encode()
    try:
        assert isinstance(decoded(value), Battle)
    except InvalidEventError as error:
        assert "zq" not in error.detail  # noqa: PT017 - that there may be none is the point


@given(st.binary(max_size=60) | battles().map(encode_battle))
def test_what_is_no_envelope_is_none(value: bytes) -> None:
    """A battle that is called one is refused, not guessed."""
    with pytest.raises(InvalidEventError):
        decoded(value)


@pytest.mark.parametrize(
    ("changed", "reason", "told"),
    [
        ({"specversion": None}, "missing_field", "the CloudEvents envelope: field specversion is missing"),
        ({"specversion": "0.3"}, "wrong_type", "field specversion should be"),
        ({"id": ""}, "wrong_type", "field id should not be empty"),
        ({"source": 7}, "wrong_type", "field source should be a text"),
        ({"type": None}, "missing_field", "field type is missing"),
        ({"time": "yesterday"}, "wrong_type", "field time should be an ISO 8601"),
        ({"datacontenttype": "application/avro"}, "wrong_type", "field datacontenttype should be a media type of JSON"),
        ({"data": None}, "missing_field", "field data is missing"),
        ({"data": "zqprompt"}, "not_an_object", "field data should be an object"),
        ({"data_base64": "e30="}, "wrong_type", "has both data and data_base64"),
        ({"data": None, "data_base64": "zq prompt"}, "wrong_type", "field data_base64 should be base64"),
        ({"data": None, "data_base64": "e30"}, "wrong_type", "field data_base64 should be base64"),
        ({"data": None, "data_base64": "e3"}, "wrong_type", "field data_base64 should be base64"),
        ({"data": None, "data_base64": "e30="}, "missing_field", "field prompt is missing"),
        ({"zq-name": "x"}, "wrong_type", "attribute 7 is no extension"),
        ({"zqname": {"zq": 1}}, "wrong_type", "attribute 7 is no extension"),
        ({"zqname": 2**31}, "wrong_type", "attribute 7 is no extension"),
        ({"data": {"prompt": "zqprompt"}}, "missing_field", "field response_a is missing"),
    ],
)
def test_a_malformed_envelope_is_told_with_place_and_reason(changed: dict[str, Any], reason: str, told: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decoded(envelope(**changed))
    assert caught.value.reason == reason
    assert told in caught.value.detail
    assert "zq" not in caught.value.detail


def test_what_a_battle_does_not_say_of_itself_its_envelope_says() -> None:
    bare = {name: value for name, value in DATA.items() if name != "id"}
    battle = decoded(envelope(data=bare, time="2026-11-22T17:00:00+02:00"))
    assert (battle.id, battle.occurred_at) == ("e1", datetime(2026, 11, 22, 15, tzinfo=UTC))
    own = {**DATA, "occurred_at": "2020-01-01T00:00:00Z"}
    battle = decoded(envelope(data=own, time="2026-11-22T17:00:00Z"))
    assert (battle.id, battle.occurred_at) == ("b1", datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("content_type", "structured"),
    [
        (None, False),
        ("application/json", False),
        (STRUCTURED, True),
        ("Application/CloudEvents+JSON; charset=UTF-8", True),
        (f'{STRUCTURED}; charset="utf-8"', True),
    ],
)
def test_the_content_type_says_whether_there_is_an_envelope(content_type: str | None, *, structured: bool) -> None:
    assert is_structured(content_type) is structured


@pytest.mark.parametrize(
    "content_type",
    ["application/cloudevents-batch+json", "application/cloudevents+avro", f"{STRUCTURED}; charset=utf-16"],
)
def test_other_formats_of_envelopes_are_refused(content_type: str) -> None:
    with pytest.raises(InvalidEventError, match=STRUCTURED.replace("+", r"\+")) as caught:
        decode_battle(envelope(), content_type=content_type)
    assert caught.value.reason is Reason.WRONG_TYPE


def test_an_envelope_may_stand_behind_the_frame_of_a_schema_registry() -> None:
    assert decode_battle(b"\0\0\0\0\7" + envelope(), framing="confluent", content_type=STRUCTURED).id == "b1"


@pytest.mark.parametrize(
    ("headers", "told", "trace"),
    [
        ([], TRACE, TRACE),
        ([(TRACEPARENT, TRACE.replace("01", "00").encode())], TRACE, TRACE.replace("01", "00")),
        ([], "no trace", None),
        ([], None, None),
    ],
)
def test_a_trace_is_that_of_the_header_or_of_the_envelope(
    headers: list[tuple[str, bytes]], told: str | None, trace: str | None
) -> None:
    headers = [(CONTENT_TYPE, STRUCTURED.encode()), *headers]
    record: Any = SimpleNamespace(headers=headers, value=envelope(traceparent=told))
    found = producer_trace(record)
    assert (found and found.decode()) == trace


def test_an_envelope_without_its_content_type_has_no_trace_and_is_no_battle() -> None:
    record: Any = SimpleNamespace(headers=[("other", b"x")], value=envelope(traceparent=TRACE))
    assert producer_trace(record) is None
    with pytest.raises(InvalidEventError, match="prompt"):
        decode_battle(record.value)
