"""Versions of the contract: what is recorded is read, what comes later is read too, and no door is closed again."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import jsonschema
import orjson
import pytest

from prefstream import schemas
from prefstream.schemas import SCHEMA_VERSION, ContractError, decode_preference, encode_preference
from tests.support.samples import a_preference

RECORDED: Final = Path(__file__).parent / "recorded"
"""Messages as versions wrote them, and the schema of 1.1 as it was committed. Never changed, only added to."""

MESSAGES: Final = [
    pytest.param(line, id=f"{path.stem}-{number}")
    for path in sorted(RECORDED.glob("*.jsonl"))
    for number, line in enumerate(path.read_bytes().splitlines(), 1)
]
FIRST: Final[dict[str, Any]] = orjson.loads((RECORDED / "preference-1.1.schema.json").read_bytes())
NOW: Final[dict[str, Any]] = orjson.loads((Path(schemas.__file__).parent / "preference.schema.json").read_bytes())

UNSEEN: Final = {"description", "title", "examples"}
"""Words for people: they may change."""


def validate(schema: dict[str, Any], message: Any) -> None:
    checker = jsonschema.Draft202012Validator.FORMAT_CHECKER
    jsonschema.Draft202012Validator(schema, format_checker=checker).validate(message)


def differences(then: Any, now: Any, at: str = "#") -> Iterator[str]:
    """All that is not the same in a later schema, but for optional properties, and definitions, that are new."""
    if not (isinstance(then, dict) and isinstance(now, dict)):
        if then != now:
            yield f"{at}: {then!r} became {now!r}"
        return
    for key in sorted({*then, *now} - UNSEEN):
        place = f"{at}/{key}"
        if key in {"properties", "$defs"}:
            yield from _missing_or_changed(then.get(key, {}), now.get(key, {}), place)
        elif key not in then or key not in now:
            yield f"{place}: {'new' if key not in then else 'gone'}"
        elif key in {"required", "enum"}:
            yield from differences(sorted(then[key]), sorted(now[key]), place)
        elif isinstance(then[key], list) and len(then[key]) == len(now[key]):
            for number, (one, other) in enumerate(zip(then[key], now[key], strict=True)):
                yield from differences(one, other, f"{place}/{number}")
        else:
            yield from differences(then[key], now[key], place)


def _missing_or_changed(then: dict[str, Any], now: dict[str, Any], at: str) -> Iterator[str]:
    for name, schema in then.items():
        if name not in now:
            yield f"{at}/{name}: gone"
        else:
            yield from differences(schema, now[name], f"{at}/{name}")


def test_of_each_way_to_write_a_message_one_is_recorded() -> None:
    names = {path.stem for path in RECORDED.glob("*.jsonl")}
    assert {"1.0-priors", "1.0-pointwise", "1.0-swap", "1.0-degraded", "1.0-stream"} <= names


@pytest.mark.parametrize("line", MESSAGES)
def test_a_recorded_message_is_read_and_loses_nothing(line: bytes) -> None:
    preference = decode_preference(line)
    assert preference.schema_version in {"1.0", "1.1"}
    assert orjson.loads(encode_preference(preference)) == orjson.loads(line)


@pytest.mark.parametrize("line", MESSAGES)
@pytest.mark.parametrize("schema", [FIRST, NOW], ids=["1.1", "now"])
def test_a_recorded_message_fits_the_schema_of_then_and_of_now(schema: dict[str, Any], line: bytes) -> None:
    validate(schema, orjson.loads(line))


def test_the_schema_of_today_only_adds_what_is_optional() -> None:
    assert list(differences(FIRST, NOW)) == []


def _with(path: str, change: Any) -> dict[str, Any]:
    """The schema of 1.1 with one place of it changed."""
    schema = copy.deepcopy(FIRST)
    node: Any = schema
    *way, last = path.split("/")
    for part in way:
        node = node[part]
    node[last] = change(node.get(last)) if callable(change) else change
    return schema


@pytest.mark.parametrize(
    "later",
    [
        _with("required", lambda names: [*names, "style"]),
        _with("required", lambda names: names[:-1]),
        _with("properties/preferred/enum", ["model_a", "model_b"]),
        _with("properties/preferred/enum", ["model_a", "model_b", "tie", "neither"]),
        _with("properties/schema_version/pattern", r"^1\.1$"),
        _with("properties/id/type", "integer"),
        _with("properties/disagreement/maximum", 2.0),
        _with("properties/judges/minItems", 0),
        _with("properties/model_a/maxLength", 10),
        _with("properties/source/anyOf", lambda choices: choices[:1]),
        _with("$defs/StyleCounts/additionalProperties", False),
        _with("$defs/Provenance/properties", {}),
        _with("properties/kind", {"type": "string"}) | {"required": []},
    ],
)
def test_a_schema_that_closes_a_door_is_found(later: dict[str, Any]) -> None:
    assert list(differences(FIRST, later))


@pytest.mark.parametrize(
    "later",
    [
        _with("properties/new", {"type": "string"}),
        _with("$defs/JudgeOpinion/properties/new", {"$ref": "#/$defs/Probabilities"}),
        _with("$defs/New", {"type": "object"}),
        _with("properties/id/description", "In other words."),
    ],
)
def test_a_schema_that_adds_what_is_optional_is_none(later: dict[str, Any]) -> None:
    assert list(differences(FIRST, later)) == []


def later_message() -> dict[str, Any]:
    """As 1.7 may write it: with fields and a kind of judge that nobody knows yet."""
    message: dict[str, Any] = orjson.loads(encode_preference(a_preference()))
    message |= {"schema_version": "1.7", "new": {"deep": [1]}}
    message["probabilities"]["neither"] = 0.1
    message["judges"][0] |= {"thoughts": 3}
    message["judges"][0]["provenance"] |= {"kind": "oracle", "server": "vllm", "quantization": "2bit"}
    return message


def test_a_later_message_is_read_without_what_is_new() -> None:
    later = later_message()
    preference = decode_preference(orjson.dumps(later))
    assert preference.schema_version == "1.7"
    provenance = preference.judges[0].provenance
    assert (provenance.kind, provenance.quantization) == ("oracle", "2bit")
    del later["new"], later["probabilities"]["neither"], later["judges"][0]["thoughts"]
    del later["judges"][0]["provenance"]["server"]
    assert orjson.loads(encode_preference(preference)) == later


@pytest.mark.parametrize("schema", [FIRST, NOW], ids=["1.1", "now"])
def test_a_later_message_fits_the_schema(schema: dict[str, Any]) -> None:
    validate(schema, later_message())


@pytest.mark.parametrize("version", ["2.0", "1", "1.x", "0.9", " 1.1", "1.1\n", 1.1])
def test_of_another_major_version_nothing_is_read(version: object) -> None:
    with pytest.raises(ContractError):
        decode_preference(orjson.dumps(later_message() | {"schema_version": version}))


def test_what_is_written_today_is_of_the_version_that_is_told() -> None:
    assert a_preference().schema_version == SCHEMA_VERSION == "1.1"
