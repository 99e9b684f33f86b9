"""Bytes to models and back: the only place where prefstream parses or writes JSON of the contract."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from typing import Any, Final, Literal, TypeAlias

import orjson
from pydantic import ValidationError

from prefstream.schemas.battle import Battle, explain, parse_battle
from prefstream.schemas.cloud_event import CloudEventEnvelope, is_structured
from prefstream.schemas.dead_letter import Reason
from prefstream.schemas.errors import ContractError, InvalidEventError
from prefstream.schemas.panel_choice import PanelChoice
from prefstream.schemas.preference import Preference
from prefstream.schemas.vote import Vote

Framing: TypeAlias = Literal["none", "confluent"]
"""What may stand before a message's JSON on its topic: nothing, or Confluent's five bytes, a zero and the number of a
schema in its registry."""

MAX_VALUE_BYTES: Final = 4 * 1024 * 1024
"""Bound of a value: four times what a topic takes by default. As Python's objects JSON takes up to forty times its
size, so this is what keeps a hostile one below 170 MB."""

_FRAME_BYTES: Final = 5
_MAX_SCHEMA: Final = 1 << 24  # registries count from 1; a brace in UTF-16 would be a number of 2 thousand million
_NOT_FINITE = re.compile(r"(?<!\w)(NaN|nan|Infinity|infinity|inf)(?!\w)")


def decode_battle(value: bytes | None, *, framing: Framing = "none", content_type: str | None = None) -> Battle:
    """Read the value of a record on the battles topic.

    Args:
        value: the record's value, None for a tombstone.
        framing: `confluent` reads past the frame of a schema registry, where there is one.
        content_type: what the record's header of that name says; `application/cloudevents+json` is CloudEvents'
            structured mode, and the battle stands in an envelope's `data`.

    Raises:
        InvalidEventError: the value is no battle; its reason says why, its text holds nothing of the value.
    """
    if framing == "confluent" and value is not None and _is_framed(value):
        value = value[_FRAME_BYTES:]
    if not is_structured(content_type):
        return parse_battle(decode_object(value))
    envelope = CloudEventEnvelope.parse(decode_object(value))
    unpacked = envelope.unpacked()
    return parse_battle(envelope.complete(decode_object(unpacked) if isinstance(unpacked, bytes) else unpacked))


def envelope_trace(value: bytes, *, framing: Framing = "none") -> str | None:
    """The `traceparent` of an envelope, unchecked; None where it has none, or is no envelope.

    Args:
        value: of a record that `is_structured`.
        framing: as for `decode_battle`.
    """
    if framing == "confluent":
        value = value[len(frame_of(value)) :]
    try:
        return CloudEventEnvelope.parse(decode_object(value)).traceparent
    except InvalidEventError:
        return None


def decode_object(value: bytes | None, *, most_bytes: int = MAX_VALUE_BYTES) -> dict[str, Any]:
    """Read a JSON object: the fields of a battle, and whatever else it holds. A byte-order mark is read past.

    Args:
        value: as for `decode_battle`.
        most_bytes: its bound; rows of a file have another one.

    Raises:
        InvalidEventError: the value is no JSON object, or larger.
    """
    if value is None:
        raise InvalidEventError(Reason.NULL_VALUE, "the record has no value")
    if len(value) > most_bytes:
        told = f"the value has {len(value)} bytes, more than the {most_bytes} that are read"
        raise InvalidEventError(Reason.FIELD_TOO_LARGE, told)
    try:
        try:
            fields = orjson.loads(value)
        except orjson.JSONDecodeError:
            if not value.startswith(BOM_UTF8):
                raise
            value = value.removeprefix(BOM_UTF8)
            fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _explain_bad_json(value, error) from None
    if not isinstance(fields, dict):
        raise InvalidEventError(Reason.NOT_AN_OBJECT, f"the value is a JSON {_json_type(fields)}, not an object")
    return fields


def _is_framed(value: bytes) -> bool:
    """Whether the value begins with a frame: no JSON begins with a zero byte."""
    return value[:1] == b"\0" and len(value) >= _FRAME_BYTES


def frame(schema_id: int) -> bytes:
    """What Confluent's serializers put before JSON.

    Args:
        schema_id: of the schema, as its registry numbers it; from 0 to 2**31 - 1.
    """
    return b"\0" + schema_id.to_bytes(_FRAME_BYTES - 1, "big")


def frame_of(value: bytes) -> bytes:
    """The frame that a value begins with; empty where it has none."""
    return value[:_FRAME_BYTES] if _is_framed(value) else b""


def encode_battle(battle: Battle) -> bytes:
    """Write a battle as the value of a record."""
    return battle.model_dump_json(exclude_none=True).encode()


def encode_preference(preference: Preference) -> bytes:
    """Write a preference as the value of a record; fields that are not known are left out."""
    return preference.__pydantic_serializer__.to_json(preference, exclude_none=True)


def decode_preference(value: bytes | None) -> Preference:
    """Read the value of a record on the preferences topic; a frame of a schema registry is read past.

    Args:
        value: the record's value, None for a tombstone.

    Raises:
        ContractError: the value breaks the contract.
    """
    if value is None:
        raise ContractError("no preference: the record has no value")
    try:
        return Preference.model_validate_json(value[len(frame_of(value)) :])
    except ValidationError as error:
        raise ContractError.of("preference", error) from None


def decode_vote(value: bytes | None) -> Vote:
    """Read the value of a record on the votes topic.

    Raises:
        InvalidEventError: the value is no vote; its reason says why, its text holds nothing of the value.
    """
    fields = decode_object(value)
    try:
        return Vote.model_validate(fields)
    except ValidationError as error:
        raise explain(error) from None


def encode_vote(vote: Vote) -> bytes:
    """Write a vote as the value of a record."""
    return vote.model_dump_json(exclude_none=True).encode()


def decode_panel_choice(value: bytes | None) -> PanelChoice:
    """Read the value of a record on the panels topic.

    Raises:
        InvalidEventError: the value is no choice of a panel.
    """
    fields = decode_object(value)
    try:
        return PanelChoice.model_validate(fields)
    except ValidationError as error:
        raise explain(error) from None


def encode_panel_choice(choice: PanelChoice) -> bytes:
    """Write a choice of a panel as the value of a record."""
    return choice.model_dump_json(exclude_none=True).encode()


def _explain_bad_json(value: bytes, error: orjson.JSONDecodeError) -> InvalidEventError:
    schema = int.from_bytes(value[1:_FRAME_BYTES], "big")
    if _is_framed(value) and schema < _MAX_SCHEMA:
        return InvalidEventError(Reason.NOT_JSON, f"the frame of a schema registry (schema {schema}), {_behind(value)}")
    try:
        text = value.decode()
    except UnicodeDecodeError as unicode_error:
        return InvalidEventError(Reason.NOT_UTF8, f"byte {unicode_error.start} is not UTF-8")
    if "depth limit" in error.msg or "recursion limit" in error.msg:  # orjson 3.13, and before
        return InvalidEventError(Reason.TOO_DEEP, "objects or lists are nested too deeply")
    place = f"line {error.lineno} column {error.colno}"
    if "surrogate" in error.msg:
        return InvalidEventError(Reason.NOT_UTF8, f"a lone surrogate, which is no text, at {place}")
    # orjson points at or just behind the first character that it could not take.
    token = _NOT_FINITE.search(text, max(0, error.pos - 2), error.pos + len("Infinity") + 1)
    if "infinity" in error.msg or (token is not None and token.start() <= error.pos):
        return InvalidEventError(Reason.NOT_FINITE, f"NaN or Infinity at {place}; JSON has no such numbers")
    return InvalidEventError(Reason.NOT_JSON, f"not JSON at {place}" if value else "the value is empty")


def _behind(framed: bytes) -> str:
    if framed[_FRAME_BYTES:].lstrip()[:1] == b"{":
        return "and JSON behind it: battles_framing: confluent reads past the frame"
    return "and no JSON behind it; Avro and Protobuf are not read: send JSON"


def _json_type(value: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names[type(value)]
