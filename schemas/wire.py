"""Bytes to models and back: the only place where prefstream parses or writes JSON of the contract."""

from __future__ import annotations

import re
from typing import Any

import orjson

from prefstream.schemas.battle import Battle, parse_battle
from prefstream.schemas.dead_letter import Reason
from prefstream.schemas.errors import InvalidEventError
from prefstream.schemas.preference import Preference

_NOT_FINITE = re.compile(r"(?<!\w)(NaN|nan|Infinity|infinity|inf)(?!\w)")


def decode_battle(value: bytes | None) -> Battle:
    """Read the value of a record on the battles topic.

    Args:
        value: the record's value, None for a tombstone.

    Raises:
        InvalidEventError: the value is no battle; its reason says why, its text holds nothing of the value.
    """
    return parse_battle(decode_object(value))


def decode_object(value: bytes | None) -> dict[str, Any]:
    """Read a JSON object: the fields of a battle, and whatever else it holds.

    Args:
        value: as for `decode_battle`.

    Raises:
        InvalidEventError: the value is no JSON object.
    """
    if value is None:
        raise InvalidEventError(Reason.NULL_VALUE, "the record has no value")
    try:
        fields = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise _explain_bad_json(value, error) from None
    if not isinstance(fields, dict):
        raise InvalidEventError(Reason.NOT_AN_OBJECT, f"the value is a JSON {_json_type(fields)}, not an object")
    return fields


def encode_battle(battle: Battle) -> bytes:
    """Write a battle as the value of a record."""
    return battle.model_dump_json(exclude_none=True).encode()


def encode_preference(preference: Preference) -> bytes:
    """Write a preference as the value of a record; fields that are not known are left out."""
    return preference.__pydantic_serializer__.to_json(preference, exclude_none=True)


def decode_preference(value: bytes) -> Preference:
    """Read the value of a record on the preferences topic.

    Raises:
        pydantic.ValidationError: the value breaks the contract.
    """
    return Preference.model_validate_json(value)


def _explain_bad_json(value: bytes, error: orjson.JSONDecodeError) -> InvalidEventError:
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
    return InvalidEventError(Reason.NOT_JSON, f"not JSON at {place}")


def _json_type(value: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names[type(value)]
