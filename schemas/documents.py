"""The contract as documents: JSON Schema of each message, and AsyncAPI of the topics, made from the models.

The copies beside this module are committed, for those who read or generate code from them; a test fails when they
differ from the models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, models_json_schema

from prefstream.schemas.battle import Battle
from prefstream.schemas.dead_letter import HEADER_RETRIES, DeadLetterHeaders
from prefstream.schemas.panel_choice import PanelChoice
from prefstream.schemas.preference import SCHEMA_VERSION, Preference
from prefstream.schemas.vote import Vote

BATTLE_SCHEMA: Final = "battle.schema.json"
PREFERENCE_SCHEMA: Final = "preference.schema.json"
VOTE_SCHEMA: Final = "vote.schema.json"
DEAD_LETTER_SCHEMA: Final = "dead-letter.schema.json"
PANEL_CHOICE_SCHEMA: Final = "panel-choice.schema.json"
ASYNCAPI: Final = "asyncapi.yaml"

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_KAFKA_BINDING: Final = "0.5.0"
_YAML_WIDTH: Final = 110

_Json: TypeAlias = dict[str, Any]


class BattleHeaders(BaseModel):
    """Headers of a battle that prefstream knows; all others go to its dead letter alone."""

    model_config = ConfigDict(populate_by_name=True, extra="allow")

    traceparent: Annotated[
        str | None,
        Field(
            description="W3C trace context. A valid one is passed on to the preference, unless the battle is traced, "
            "which names its own span there; to a dead letter it goes as it came, as all headers do."
        ),
    ] = None
    retries: Annotated[
        str | None,
        Field(
            alias=HEADER_RETRIES,
            description="Only on a battle that `prefstream dead-letters retry` sent back: how many times, a decimal "
            "number. Such a battle is a new record at a new offset, with the id that it had.",
        ),
    ] = None


class VoteHeaders(BaseModel):
    """Headers of a vote that prefstream knows; all others go to its dead letter alone."""

    model_config = ConfigDict(populate_by_name=True, extra="allow")

    retries: Annotated[
        str | None,
        Field(
            alias=HEADER_RETRIES,
            description="Only on a vote that `prefstream dead-letters retry` sent back: how many times, a decimal "
            "number.",
        ),
    ] = None


class PanelChoiceHeaders(BaseModel):
    """Headers of a choice of a panel: none that prefstream reads."""

    model_config = ConfigDict(extra="allow")


class PreferenceHeaders(BaseModel):
    """Headers of a preference: CloudEvents in binary mode. Values are UTF-8 text."""

    model_config = ConfigDict(populate_by_name=True, extra="allow")

    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]
    ce_specversion: Literal["1.0"]
    ce_id: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9._-]+/\d+/\d+$",
            description="topic/partition/offset of the battle: the same for a preference that is sent again.",
        ),
    ]
    ce_type: Literal["prefstream.preference.v1"]
    ce_source: Annotated[str, Field(pattern="^/prefstream/", description="/prefstream/ and the consumer group.")]
    ce_time: Annotated[AwareDatetime, Field(description="When the battle was scored.")]
    traceparent: Annotated[
        str | None,
        Field(
            pattern="^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
            description="W3C trace context: of the span of the stream that answered, where that traces the battle; "
            "else the battle's, where it had a valid one, and one alone.",
        ),
    ] = None


def documents() -> dict[str, bytes]:
    """Every document, by the name of its file."""
    return {
        BATTLE_SCHEMA: _to_json(_json_schema(Battle, "validation", "battle")),
        PREFERENCE_SCHEMA: _to_json(_json_schema(Preference, "serialization", "preference")),
        VOTE_SCHEMA: _to_json(_json_schema(Vote, "validation", "vote")),
        DEAD_LETTER_SCHEMA: _to_json(_json_schema(DeadLetterHeaders, "serialization", "dead-letter")),
        PANEL_CHOICE_SCHEMA: _to_json(_json_schema(PanelChoice, "validation", "panel-choice")),
        ASYNCAPI: _to_yaml(_asyncapi()),
    }


def write_documents(folder: Path) -> None:
    """Write every document into `folder`, which is made if it does not exist."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in documents().items():
        (folder / name).write_bytes(content)


def stale_documents(folder: Path) -> list[str]:
    """Names of the documents whose copies in `folder` are missing or differ from the models."""
    return [
        name
        for name, content in documents().items()
        if not (folder / name).is_file() or (folder / name).read_bytes() != content
    ]


class _Generator(GenerateJsonSchema):
    """Without a title for every field: it only repeats the name."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        return False

    def get_title_from_name(self, name: str) -> str:
        return name


def _json_schema(model: type[BaseModel], mode: JsonSchemaMode, name: str) -> _Json:
    schema = model.model_json_schema(mode=mode, schema_generator=_Generator)
    if mode == "serialization":
        _never_null(schema)
        for defined in schema.get("$defs", {}).values():
            _never_null(defined)
    major = SCHEMA_VERSION.partition(".")[0]
    return {"$schema": _DIALECT, "$id": f"urn:prefstream:{name}:{major}", **schema}


def _never_null(schema: _Json) -> None:
    """Say of an object that prefstream writes what is true of it: a field that is not known is left out, never null."""
    for field in schema.get("properties", {}).values():
        choices = field.get("anyOf", [])
        if {"type": "null"} not in choices:
            continue
        choices.remove({"type": "null"})
        if field.get("default", ...) is None:
            del field["default"]
        if len(choices) == 1:
            del field["anyOf"]
            # The field's own description is about this use of the type; it goes before the type's.
            field.update({**choices[0], **field})
    version = schema.get("properties", {}).get("schema_version")
    if version is not None:
        schema["required"] = ["schema_version", *schema["required"]]


def _asyncapi() -> _Json:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (Battle, "validation"),
        (BattleHeaders, "serialization"),
        (Preference, "serialization"),
        (PreferenceHeaders, "serialization"),
        (Vote, "validation"),
        (VoteHeaders, "serialization"),
        (DeadLetterHeaders, "serialization"),
        (PanelChoice, "validation"),
        (PanelChoiceHeaders, "serialization"),
    ]
    _, generated = models_json_schema(models, ref_template="#/components/schemas/{model}", schema_generator=_Generator)
    schemas: _Json = generated["$defs"]
    for name, schema in schemas.items():
        if name not in {"Battle", "Canary", "PanelChoice", "PanelVersion", "Vote"}:
            _never_null(schema)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "prefstream",
            "version": SCHEMA_VERSION,
            "description": "Battles in, preferences and dead letters out, exactly once for readers with "
            "isolation.level=read_committed; votes in, for the board. Names of topics are the defaults, and for "
            "battles.review, which has none, the usual one.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "battles": _channel("battles", "Battle", "Battles to be scored; written by others."),
            "preferences": _channel("preferences", "Preference", "One preference per battle that could be scored."),
            "deadLetters": _channel(
                "battles.dead-letters", "DeadLetter", "Records that could not be scored, as they came, and why."
            ),
            "review": _channel(
                "battles.review",
                "Preference",
                "The preferences whose `review` says chosen, once more: battles that a person should look at.",
            ),
            "shadow": _channel(
                "preferences.shadow",
                "Preference",
                "What a shadow says of the same battles, or of a share of them: another panel, which serves nobody.",
            ),
            "votes": _channel("votes", "Vote", "What people said of battles, later; written by others."),
            "votesDeadLetters": _channel(
                "votes.dead-letters", "VoteDeadLetter", "Records that are no votes, as they came, and why."
            ),
            "panels": _channel(
                "panels", "PanelChoice", "Which panel is to answer for each group: compacted, the last one counts."
            ),
        },
        "operations": {
            "receiveBattles": _operation("receive", "battles", "Read battles, committed ones only."),
            "sendPreferences": _operation(
                "send", "preferences", "Write preferences in the transaction that commits their battles' offsets."
            ),
            "sendDeadLetters": _operation(
                "send", "deadLetters", "Write dead letters in the transaction that commits their records' offsets."
            ),
            "sendForReview": _operation(
                "send", "review", "Write what was chosen in the transaction that writes its preference."
            ),
            "receiveBattlesAsShadow": _operation(
                "receive", "battles", "A shadow reads the same battles, in its own group."
            ),
            "sendAsShadow": _operation(
                "send", "shadow", "A shadow writes in the transaction that commits its battles' offsets."
            ),
            "receiveFromShadow": _operation(
                "receive", "shadow", "The board shows how a shadow's answers differ; only with --shadow."
            ),
            "receiveDeadLetters": _operation("receive", "deadLetters", "The board counts dead letters by reason."),
            "receivePreferences": _operation("receive", "preferences", "The board reads preferences, committed ones."),
            "receivePanelChoices": _operation(
                "receive", "panels", "A process with --panels takes over what is chosen for its group."
            ),
            "receivePanelChoicesToChoose": _operation(
                "receive", "panels", "`prefstream panels` reads what is chosen, before it chooses and to list it."
            ),
            "sendPanelChoices": _operation("send", "panels", "`prefstream panels use` and `roll-back` choose."),
            "receivePreferencesToCalibrate": _operation(
                "receive", "preferences", "Live calibration reads what judges said, committed records only."
            ),
            "receiveVotesToCalibrate": _operation(
                "receive", "votes", "Live calibration reads votes, committed ones only."
            ),
            "receivePanelChoicesToCalibrate": _operation(
                "receive", "panels", "Live calibration reads what serves, and whether it is pinned."
            ),
            "sendCalibrations": _operation(
                "send", "panels", "Live calibration chooses the same judges, calibrated anew; never what is pinned."
            ),
            "receiveVotes": _operation("receive", "votes", "The board reads votes, committed ones only."),
            "sendVotesDeadLetters": _operation("send", "votesDeadLetters", "The board writes what is no vote."),
            "sendTriedBattles": _operation(
                "send", "battles", "The board writes battles that people try out; only with --allow-battles."
            ),
            "receiveTexts": _operation(
                "receive", "battles", "The board reads a battle whose texts somebody asks for; only with --show-texts."
            ),
        },
        "components": {
            "messages": {
                "Battle": _message(
                    "Battle", "A prompt and two responses to it.", "Any key; ignored.", payload=_reference("Battle")
                ),
                "Preference": _message(
                    "Preference",
                    "How probable it is that a person prefers A, prefers B, or calls it a tie.",
                    "The battle's id.",
                    payload=_reference("Preference"),
                ),
                "DeadLetter": _dead_letter("DeadLetter", "A record of the battles topic that could not be scored."),
                "Vote": _message(
                    "Vote",
                    "One person's verdict on one battle; a later one of the same voter takes its place.",
                    "The battle's id, by custom; the vote's own is what counts.",
                    payload=_reference("Vote"),
                ),
                "VoteDeadLetter": _dead_letter("VoteDeadLetter", "A record of the votes topic that is no vote."),
                "PanelChoice": _message(
                    "PanelChoice", "Which panel is to answer.", "The group.", payload=_reference("PanelChoice")
                ),
            },
            "schemas": {name: _wrap_references(schema) for name, schema in sorted(schemas.items())},
        },
    }


def _channel(address: str, message: str, description: str) -> _Json:
    return {
        "address": address,
        "description": description,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": address, "bindingVersion": _KAFKA_BINDING}},
    }


def _operation(action: Literal["send", "receive"], channel: str, summary: str) -> _Json:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _message(name: str, summary: str, key: str, *, payload: _Json, content_type: str = "application/json") -> _Json:
    return {
        "name": name,
        "summary": summary,
        "contentType": content_type,
        "headers": _reference(f"{name}Headers"),
        "payload": payload,
        "bindings": {"kafka": {"key": {"type": "string", "description": key}, "bindingVersion": _KAFKA_BINDING}},
    }


def _dead_letter(name: str, what: str) -> _Json:
    message = _message(
        name,
        f"{what} Key, value and headers are the original's; the headers listed here are added, and an original's of "
        "such a name gets another.",
        "The original key.",
        payload={"description": "The original value: any bytes. Empty where it was too large to copy."},
        content_type="application/octet-stream",
    )
    return message | {"headers": _reference("DeadLetterHeaders")}


def _reference(schema: str) -> _Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _wrap_references(schema: Any) -> Any:
    """AsyncAPI ignores what stands beside a `$ref`: keep a description by putting the reference into `allOf`."""
    if isinstance(schema, list):
        return [_wrap_references(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    wrapped = {key: _wrap_references(entry) for key, entry in schema.items()}
    if "$ref" in wrapped and len(wrapped) > 1:
        reference = wrapped.pop("$ref")
        wrapped = {"allOf": [{"$ref": reference}], **wrapped}
    return wrapped


def _to_json(document: _Json) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _to_yaml(document: _Json) -> bytes:
    plain = orjson.loads(orjson.dumps(document))  # shared parts become copies: YAML would write anchors for them
    text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=_YAML_WIDTH)
    return f"# Generated from the models: prefstream schema --write schemas\n{text}".encode()
