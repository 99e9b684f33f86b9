"""Battles as LMArena publishes them: two conversations, each a list of messages of the user and of an assistant.

question_id         the id, where there is no `id`
conversation_a, _b  messages with `role` and `content`; the user's are the same in both
content             a text, or a list of parts of which each is a text
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from prefstream.schemas import InvalidEventError, Reason

CONVERSATIONS: Final = ("conversation_a", "conversation_b")
QUESTION_ID: Final = "question_id"

_ROLES: Final = ("user", "assistant")


class _Conversation(NamedTuple):
    asked: list[str]
    answered: list[str]


def contract_fields(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields of a row as the contract names them; those of a row that is spelled so already, as they are.

    Args:
        fields: a row; of CSV, a conversation is JSON in a string.

    Raises:
        InvalidEventError: the conversations are no list of messages in turn, hold more than text, or ask different
            things.
    """
    if "id" not in fields and QUESTION_ID in fields:
        fields = {**fields, "id": fields[QUESTION_ID]}
    if "prompt" in fields or not all(name in fields for name in CONVERSATIONS):
        return fields
    one, other = (_conversation(name, fields[name]) for name in CONVERSATIONS)
    if one.asked != other.asked:
        raise InvalidEventError(
            Reason.TURNS_DIFFER, "conversation_a and conversation_b differ in what the user says; they must be the same"
        )
    return {**fields, "prompt": one.asked, "response_a": one.answered, "response_b": other.answered}


def _conversation(name: str, messages: object) -> _Conversation:
    if isinstance(messages, str):
        messages = _decoded(name, messages)
    if not isinstance(messages, list) or not messages:
        raise InvalidEventError(Reason.WRONG_TYPE, f"field {name} is no list of messages")
    sides = _Conversation([], [])
    for place, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") != _ROLES[place % 2]:
            raise InvalidEventError(
                Reason.WRONG_TYPE,
                f"field {name}: message {place + 1} is not of the {_ROLES[place % 2]}; user and assistant take turns",
            )
        sides[place % 2].append(_text(f"field {name}: message {place + 1}", message.get("content")))
    if len(sides.asked) != len(sides.answered):
        raise InvalidEventError(Reason.TURNS_DIFFER, f"field {name} ends with the user; each message needs an answer")
    return sides


def _decoded(name: str, text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise InvalidEventError(
            Reason.NOT_JSON,
            f"field {name} is not JSON; where it is Python's spelling of a list, save the data as JSONL or Parquet",
        ) from None


def _text(place: str, content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidEventError(Reason.WRONG_TYPE, f"{place} has no text")
    return "\n".join(_part(place, part) for part in content)


def _part(place: str, part: object) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else None
    if not isinstance(text, str):
        raise InvalidEventError(Reason.WRONG_TYPE, f"{place} holds more than text, which no judge can read")
    return text
