"""What the stream writes keeps to the documents that `prefstream schema` prints."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import jsonschema
import orjson
import pytest
import yaml

from prefstream.consumer.stream.messages import Composer, Message, dead_letter, shrink
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.schemas import ERROR_HEADERS, InvalidEventError, Preference, Reason, decode_battle
from prefstream.schemas.documents import ASYNCAPI, documents
from tests.support.samples import a_preference

TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")


def event(value: bytes | None = b"{", headers: list[tuple[str, bytes]] | None = None) -> Event:
    record = SimpleNamespace(
        topic="battles",
        partition=3,
        offset=7,
        timestamp=int(time.time() * 1000),
        key=b"b1",
        value=value,
        headers=headers or [],
    )
    return Event.of(record, epoch=1)


def validate(name: str, content: Any) -> None:
    document = yaml.safe_load(documents()[ASYNCAPI])
    schema = document | {"$ref": f"#/components/schemas/{name}"}
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(content)


def headers_of(message: Message) -> dict[str, str]:
    return {name: value.decode() for name, value in message.headers}


@pytest.mark.parametrize("headers", [[], [TRACE, ("tenant", b"blue")]])
def test_a_preference_and_its_headers(headers: list[tuple[str, bytes]]) -> None:
    preference: Preference = a_preference()
    message = Composer("prefstream").preference(event(headers=headers), preference, datetime.now(UTC))
    assert message.value is not None
    validate("Preference", orjson.loads(message.value))
    validate("PreferenceHeaders", headers_of(message))
    assert message.key == preference.id.encode()
    assert ("traceparent" in headers_of(message)) == bool(headers)


def a_dead_letter(value: bytes) -> Message:
    with pytest.raises(InvalidEventError) as caught:
        decode_battle(value)
    return dead_letter(event(value, [TRACE]), caught.value.reason, caught.value)


def test_a_dead_letters_headers() -> None:
    message = a_dead_letter(b"{")
    validate("DeadLetterHeaders", headers_of(message))
    assert headers_of(message).keys() - {"traceparent"} <= ERROR_HEADERS
    assert headers_of(message)["prefstream.reason"] == Reason.NOT_JSON


def test_a_dead_letter_without_its_value() -> None:
    message = shrink(a_dead_letter(b"{" * 100))
    assert message is not None
    validate("DeadLetterHeaders", headers_of(message))
    assert headers_of(message)["prefstream.value.size"] == "100"
