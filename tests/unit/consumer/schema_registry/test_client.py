"""The schema registry is asked once, and every refusal is one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.schema_registry import check_schema_registry
from prefstream.consumer.errors import SchemaRegistryError, UsageError
from prefstream.consumer.schema_registry.client import preference_frame
from prefstream.schemas import ContractError, decode_preference, encode_preference
from prefstream.schemas.documents import PREFERENCE_SCHEMA, documents
from tests.support.samples import a_preference
from tests.support.schema_registry import SchemaRegistry, schema_registry

SUBJECT = "preferences-value"


@pytest.fixture
def registry() -> Iterator[SchemaRegistry]:
    """A registry without schemas."""
    with schema_registry() as registry:
        yield registry


def config(registry: SchemaRegistry | str, **settings: Any) -> StreamConfig:
    url = registry if isinstance(registry, str) else registry.url
    return StreamConfig.load(preferences_framing="confluent", schema_registry_url=url, **settings)


def test_without_framing_nobody_is_asked(registry: SchemaRegistry) -> None:
    assert preference_frame(StreamConfig.load(schema_registry_url=registry.url), "preferences") == b""
    assert registry.asked == []


def test_the_schema_is_registered_once_and_has_its_number_from_then_on(registry: SchemaRegistry) -> None:
    first = preference_frame(config(registry), "preferences")
    assert preference_frame(config(f"{registry.url}/"), "preferences") == first == b"\0" + (70_001).to_bytes(4, "big")
    assert registry.subjects == {SUBJECT: [70_001]}
    assert json.loads(registry.schemas[70_001]) == json.loads(documents()[PREFERENCE_SCHEMA])
    assert registry.asked == [("POST", f"/subjects/{SUBJECT}/versions")] * 2


def test_who_may_only_read_finds_what_another_has_registered(registry: SchemaRegistry) -> None:
    reading = config(registry, schema_registry_register=False)
    with pytest.raises(SchemaRegistryError, match=f"HTTP 404.*subject {SUBJECT} does not have the schema"):
        preference_frame(reading, "preferences")
    assert registry.schemas == {}
    assert preference_frame(config(registry), "preferences") == preference_frame(reading, "preferences")


def test_the_doctor_looks_and_registers_nothing(registry: SchemaRegistry) -> None:
    assert check_schema_registry(config(registry)).found.endswith(f"run registers subject {SUBJECT}")
    assert registry.schemas == {}
    preference_frame(config(registry), "preferences")
    assert check_schema_registry(config(registry)).found.endswith(f"has the schema of subject {SUBJECT} as 70001")


def test_a_registry_that_wants_a_login_gets_it(registry: SchemaRegistry) -> None:
    registry.login = ("stream", "correct:horse")
    login = {"schema_registry_username": "stream", "schema_registry_password": "correct:horse"}
    assert preference_frame(config(registry, **login), "preferences")
    with pytest.raises(SchemaRegistryError, match=r"HTTP 401.*check schema_registry_username") as caught:
        preference_frame(config(registry, **login | {"schema_registry_password": "wrong-horse"}), "preferences")
    assert "horse" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (403, "grant this user to write subject"),
        (409, "incompatible with an earlier version of subject preferences-value"),
        (422, "does it know JSON Schema"),
        (500, "look at its log"),
        (302, "look at its log"),
    ],
)
def test_a_refusal_is_told_in_one_line_without_the_registrys_words(
    registry: SchemaRegistry, status: int, told: str
) -> None:
    registry.answer = (status, b"zqsecret\nzqsecret")
    with pytest.raises(SchemaRegistryError, match=told) as caught:
        preference_frame(config(registry), "preferences")
    assert "zqsecret" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    "answer", [b"", b"<html>", b"[]", b'{"id": "7"}', b'{"id": -1}', b'{"id": 2147483648}', b'{"id": true}']
)
def test_what_is_no_number_is_refused(registry: SchemaRegistry, answer: bytes) -> None:
    registry.answer = (200, answer)
    with pytest.raises(SchemaRegistryError, match="something else than a number"):
        preference_frame(config(registry), "preferences")


def test_a_registry_that_is_not_there_is_told() -> None:
    with pytest.raises(SchemaRegistryError, match=r"127.0.0.1:1 can't be reached .*check schema_registry_url"):
        preference_frame(config("http://127.0.0.1:1"), "preferences")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"schema_registry_url": None}, "needs schema_registry_url"),
        ({"schema_registry_url": "registry:8081"}, "must be https://HOST"),
        ({"schema_registry_url": "http://me:secret@registry"}, "holds a login"),
        ({"schema_registry_username": "me"}, "give both or none"),
        (
            {"schema_registry_username": "me", "schema_registry_password": "s", "schema_registry_url": "http://far"},
            "must be https:// where a password is sent",
        ),
        ({"schema_registry_cafile": Path("/nowhere.pem")}, "/nowhere.pem is no file"),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(settings: dict[str, Any], told: str) -> None:
    given = {"preferences_framing": "confluent", "schema_registry_url": "https://registry"} | settings
    with pytest.raises(UsageError, match=told) as caught:
        StreamConfig.load(**given)
    assert "secret" not in str(caught.value)


def test_a_framed_preference_is_read_as_one_without_a_frame() -> None:
    preference = a_preference()
    framed = b"\0\0\0\0\7" + encode_preference(preference)
    assert decode_preference(framed) == decode_preference(encode_preference(preference)) == preference
    with pytest.raises(ContractError):
        decode_preference(b"\0\0\0\0\7")
