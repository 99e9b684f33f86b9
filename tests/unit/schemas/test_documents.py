"""The committed documents: fresh, valid, and true of what the code accepts and writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from prefstream import schemas
from prefstream.consumer.client.acl import (
    battle_operations,
    board_operations,
    calibrating_operations,
    choosing_operations,
    shadow_operations,
    topic_operations,
    watch_operations,
)
from prefstream.consumer.config import TOPIC_FIELDS, StreamConfig, TopicNames
from prefstream.schemas import ERROR_HEADERS, Battle, Reason, decode_battle, encode_battle, encode_preference
from prefstream.schemas.dead_letter import HEADER_RETRIES
from prefstream.schemas.documents import documents, stale_documents, write_documents
from prefstream.schemas.errors import InvalidEventError
from tests.support.samples import a_preference, battles, fields, json_values

COMMITTED = Path(schemas.__file__).parent
JSON_SCHEMAS = ("battle.schema.json", "preference.schema.json", "dead-letter.schema.json")

DEAD_LETTER_HEADERS = {
    "prefstream.reason": "not_json",
    "__streams.errors.exception": "prefstream.schemas.errors.InvalidEventError",
    "__streams.errors.message": "not_json: not JSON at line 1 column 1",
    "__streams.errors.stacktrace": "decode_battle (schemas/wire.py:30)",
    "__streams.errors.topic": "battles",
    "__streams.errors.partition": "0",
    "__streams.errors.offset": "12",
    "prefstream.original.timestamp": "-1",
}


def validator(name: str) -> jsonschema.Draft202012Validator:
    return jsonschema.Draft202012Validator(orjson.loads((COMMITTED / name).read_bytes()))


BATTLE = validator("battle.schema.json")
PREFERENCE = validator("preference.schema.json")
DEAD_LETTER = validator("dead-letter.schema.json")


@pytest.fixture(scope="module")
def asyncapi() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((COMMITTED / "asyncapi.yaml").read_text(encoding="utf-8"))
    return document


# --- copies --------------------------------------------------------------------------------------------------------


def test_committed_copies_are_fresh() -> None:
    assert stale_documents(COMMITTED) == [], "run: prefstream schema --write schemas"


def test_generating_twice_gives_the_same_bytes() -> None:
    assert documents() == documents()


def test_written_documents_are_fresh_until_one_is_changed_or_missing(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert stale_documents(folder) == list(documents())
    write_documents(folder)
    assert stale_documents(folder) == []
    (folder / "battle.schema.json").write_text("{}")
    (folder / "asyncapi.yaml").unlink()
    assert stale_documents(folder) == ["battle.schema.json", "asyncapi.yaml"]


@pytest.mark.parametrize("name", JSON_SCHEMAS)
def test_schemas_are_valid_2020_12(name: str) -> None:
    schema = orjson.loads((COMMITTED / name).read_bytes())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)


# --- battle --------------------------------------------------------------------------------------------------------


@given(battles())
def test_every_battle_that_is_written_fits_its_schema(battle: Battle) -> None:
    BATTLE.validate(json.loads(encode_battle(battle)))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": 7},
        {"id": -(2**63)},
        {"id": 2**64 - 1},
        {"prompt": "hi"},
        {"prompt": '["hi"]'},
        {"response_a": [None]},
        {"prompt": '["a", "b"]', "response_a": '["yes", null]', "response_b": '["no", null]'},
        {"model_a": None, "language": "de", "occurred_at": "2026-11-22T10:00:00Z"},
        {"unknown": {"deep": True}},
    ],
)
def test_every_accepted_spelling_fits_the_schema(changes: dict[str, object]) -> None:
    event = fields(**changes)
    decode_battle(orjson.dumps(event))
    BATTLE.validate(event)


@pytest.mark.parametrize(
    "event",
    [
        {},
        [],
        fields(id=True),
        fields(id=""),
        fields(id=" "),
        fields(id=1.5),
        fields(id="x" * 1025),
        fields(prompt=None),
        fields(prompt=[7]),
        fields(prompt=["x"] * 1001),
        fields(model_a=1),
        fields(occurred_at=1_700_000_000),
        {name: value for name, value in fields().items() if name != "response_b"},
    ],
)
def test_what_breaks_the_schema_is_refused_by_the_code_too(event: object) -> None:
    assert not BATTLE.is_valid(event)
    with pytest.raises(InvalidEventError):
        decode_battle(orjson.dumps(event))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_an_id_beyond_64_bits_breaks_the_schema_and_is_refused(number: int) -> None:
    event = fields(id=number)
    assert not BATTLE.is_valid(event)
    with pytest.raises(InvalidEventError, match="should be a text, or an integer from -9223372036854775808 to "):
        decode_battle(json.dumps(event).encode())


@given(st.dictionaries(st.sampled_from(list(Battle.model_fields)), json_values))
def test_what_the_code_accepts_fits_the_schema(event: dict[str, object]) -> None:
    try:
        value = orjson.dumps(fields() | event)
        decode_battle(value)
    except (InvalidEventError, orjson.JSONEncodeError):
        return
    BATTLE.validate(orjson.loads(value))


# --- preference and dead letter ------------------------------------------------------------------------------------


def test_a_written_preference_fits_its_schema() -> None:
    PREFERENCE.validate(orjson.loads(encode_preference(a_preference())))
    from_file = a_preference(source={"file": "battles.csv", "line": 2})
    PREFERENCE.validate(orjson.loads(encode_preference(from_file)))


@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": "2.0"},
        {"preferred": "model_c"},
        {"judges": []},
        {"disagreement": -0.1},
        {"timings": None},
        {"source": {"topic": "battles"}},
        {"probabilities": {"model_a": 1.5, "model_b": 0, "tie": 0}},
    ],
)
def test_a_bad_preference_does_not_fit(change: dict[str, object]) -> None:
    assert not PREFERENCE.is_valid(orjson.loads(encode_preference(a_preference())) | change)


def test_a_preference_without_its_version_does_not_fit() -> None:
    written = orjson.loads(encode_preference(a_preference()))
    del written["schema_version"]
    assert not PREFERENCE.is_valid(written)


def test_dead_letter_headers_fit_beside_the_records_own() -> None:
    DEAD_LETTER.validate(DEAD_LETTER_HEADERS | {"tenant": "blue"})


@pytest.mark.parametrize(
    "change", [{"prefstream.reason": "bad_luck"}, {"__streams.errors.offset": "-1"}, {"prefstream.value.size": "big"}]
)
def test_bad_dead_letter_headers_do_not_fit(change: dict[str, str]) -> None:
    assert not DEAD_LETTER.is_valid(DEAD_LETTER_HEADERS | change)


# --- AsyncAPI ------------------------------------------------------------------------------------------------------


def resolve(document: dict[str, Any], reference: str) -> Any:
    assert reference.startswith("#/")
    node: Any = document
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for entry in node for found in references(entry)]
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [found for entry in node.values() for found in references(entry)]
    return []


def test_every_reference_leads_somewhere(asyncapi: dict[str, Any]) -> None:
    found = references(asyncapi)
    assert len(found) > 20
    for reference in found:
        assert resolve(asyncapi, reference)


def test_nothing_stands_beside_a_reference(asyncapi: dict[str, Any]) -> None:
    """AsyncAPI ignores it: a description there would be lost."""

    def check(node: Any) -> None:
        if isinstance(node, dict):
            assert "$ref" not in node or len(node) == 1
            for entry in node.values():
                check(entry)
        elif isinstance(node, list):
            for entry in node:
                check(entry)

    check(asyncapi)


def test_topics_are_read_and_written_as_the_rights_say(asyncapi: dict[str, Any]) -> None:
    """The document and the table of rights are one list."""
    operations = [
        (resolve(asyncapi, operation["channel"]["$ref"])["address"], operation["action"])
        for operation in asyncapi["operations"].values()
    ]
    names = StreamConfig(review_topic="battles.review", panels=Path("panels"))
    actions = {"READ": "receive", "WRITE": "send"}
    of_page = battle_operations(names, writes=True, reads=True)
    stream = (
        topic_operations(names),
        topic_operations(StreamConfig(shadow=True)),
        *choosing_operations(names, publishes=True),
    )
    board = (board_operations(names), watch_operations(names), shadow_operations(names), *of_page)
    users = (*stream, *board, *calibrating_operations(names, publishes=True))
    rights = [right for operations in users for right in operations.items() if right[1] != "DESCRIBE"]
    assert sorted(operations) == sorted((topic, actions[operation]) for topic, operation in rights)


def test_every_channel_is_the_default_of_a_setting(asyncapi: dict[str, Any]) -> None:
    names = TopicNames(review_topic="battles.review")
    addresses = {channel["address"] for channel in asyncapi["channels"].values()}
    assert addresses == {getattr(names, field) for field in TOPIC_FIELDS}


def test_every_message_has_payload_headers_and_key(asyncapi: dict[str, Any]) -> None:
    for message in asyncapi["components"]["messages"].values():
        assert message["payload"]
        assert resolve(asyncapi, message["headers"]["$ref"])["type"] == "object"
        assert message["bindings"]["kafka"]["key"]["type"] == "string"


def test_preference_headers_are_cloudevents_in_binary_mode(asyncapi: dict[str, Any]) -> None:
    headers = asyncapi["components"]["schemas"]["PreferenceHeaders"]
    required = {"content-type", "ce_id", "ce_source", "ce_specversion", "ce_time", "ce_type"}
    assert set(headers["required"]) == required
    assert set(headers["properties"]) == required | {"traceparent"}


def test_what_is_preferred_of_equals_stands_in_the_schema() -> None:
    schema = orjson.loads((COMMITTED / "preference.schema.json").read_bytes())
    assert "the first in the order model_a, model_b, tie" in schema["properties"]["preferred"]["description"]


def test_a_battles_headers_name_what_a_retry_leaves_on_it(asyncapi: dict[str, Any]) -> None:
    assert set(asyncapi["components"]["schemas"]["BattleHeaders"]["properties"]) == {"traceparent", HEADER_RETRIES}


def test_dead_letter_headers_are_those_of_the_code(asyncapi: dict[str, Any]) -> None:
    assert set(asyncapi["components"]["schemas"]["DeadLetterHeaders"]["properties"]) == ERROR_HEADERS | {HEADER_RETRIES}
    assert asyncapi["components"]["schemas"]["Reason"]["enum"] == [reason.value for reason in Reason]


def test_its_schemas_judge_samples_as_the_json_schemas_do(asyncapi: dict[str, Any]) -> None:
    wanted = jsonschema.Draft202012Validator(asyncapi | {"$ref": "#/components/schemas/Preference"})
    written = orjson.loads(encode_preference(a_preference()))
    wanted.validate(written)
    assert not wanted.is_valid(written | {"judges": []})
