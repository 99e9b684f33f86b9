"""A battle: one prompt, two anonymous responses. Reads JSON events and rows of Kaggle's CSV tolerantly.

Turns arrive as a list, as a plain string (one turn), or as a JSON-encoded list in a string (Kaggle's CSV). A null
turn is an empty string. Anything else is refused with a reason, never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from prefstream.schemas.dead_letter import Reason
from prefstream.schemas.errors import InvalidEventError

Outcome: TypeAlias = Literal["model_a", "model_b", "tie"]
OUTCOMES: Final[tuple[Outcome, Outcome, Outcome]] = ("model_a", "model_b", "tie")
"""Order of every probability triple in prefstream, and of a pairwise judge's three labels."""

MAX_TEXT_CHARS: Final = 4_000_000
"""Bound per field: four times what a broker accepts by default, far beyond what any judge can read."""

MAX_TURNS: Final = 1_000
"""Bound per field: a conversation of more rounds is a program's, not a person's."""

MAX_ID_CHARS: Final = 1_024
"""Bound of the id: it becomes the record's key, and indexes downstream have limits of this order."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_DATE = re.compile(r"\d{4}-\d{2}-")


def _refuse_lone_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("lone_surrogate", "holds a lone surrogate, which is no text") from None


def _id_to_text(value: object) -> object:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, str):
        _refuse_lone_surrogates(value)
    return value


def _check_text(text: str) -> str:
    _refuse_lone_surrogates(text)
    return text


def _refuse_epoch(value: object) -> object:
    """A bare number could be seconds or milliseconds: pydantic would guess from its size."""
    if isinstance(value, int | float) or (isinstance(value, str) and not _DATE.match(value)):
        raise PydanticCustomError("datetime_spelling", "should be an ISO 8601 date and time with an offset")
    return value


def _split_turns(text: str) -> list[str | None]:
    """The list that `text` encodes if it is a JSON list of strings and nulls, else the text as its one turn."""
    if not text.lstrip().startswith("["):
        return [text]
    try:
        decoded = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            decoded = json.loads(text)  # takes the lone surrogates that orjson refuses
        except (ValueError, RecursionError):
            return [text]
    if isinstance(decoded, list) and all(turn is None or isinstance(turn, str) for turn in decoded):
        return decoded
    return [text]


def _to_turns(value: object) -> object:
    """Bring every accepted spelling of turns to a tuple of strings; leave the rest for pydantic to refuse."""
    if isinstance(value, str):
        value = _split_turns(value)
    if not isinstance(value, list | tuple):
        return value
    if len(value) > MAX_TURNS:
        raise PydanticCustomError("field_too_large", "more than {limit} turns", {"limit": MAX_TURNS})
    turns = tuple(["" if turn is None else turn for turn in value]) or ("",)
    text = "".join([turn for turn in turns if isinstance(turn, str)])
    if len(text) > MAX_TEXT_CHARS:
        raise PydanticCustomError("field_too_large", "more than {limit} characters", {"limit": MAX_TEXT_CHARS})
    _refuse_lone_surrogates(text)
    return turns


Turns: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(_to_turns, json_schema_input_type=Annotated[list[str | None], Field(max_length=MAX_TURNS)] | str),
]

Text: TypeAlias = Annotated[str, AfterValidator(_check_text)]


class Battle(BaseModel):
    """One prompt and two anonymous responses to it.

    `model_a` and `model_b` are kept for those who read preferences; no judge ever sees them.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    id: Annotated[
        str,
        Field(max_length=MAX_ID_CHARS, description="Unique name of the battle; an integer becomes a string."),
        BeforeValidator(_id_to_text, json_schema_input_type=Annotated[str, Field(max_length=MAX_ID_CHARS)] | int),
    ]
    prompt: Annotated[Turns, Field(description="The user's turns: a list, a string, or a JSON list in a string.")]
    response_a: Annotated[Turns, Field(description="Turns of response A, as many as the prompt has.")]
    response_b: Annotated[Turns, Field(description="Turns of response B, as many as the prompt has.")]
    model_a: Annotated[Text | None, Field(description="Who wrote response A; never shown to a judge.")] = None
    model_b: Annotated[Text | None, Field(description="Who wrote response B; never shown to a judge.")] = None
    language: Annotated[Text | None, Field(description="Language of the prompt, as the source names it.")] = None
    occurred_at: Annotated[
        Annotated[AwareDatetime, BeforeValidator(_refuse_epoch)] | None,
        Field(description="When the battle took place: ISO 8601 with an offset."),
    ] = None

    def swap(self) -> Battle:
        """The same battle with A and B exchanged."""
        return self.model_copy(
            update={
                "response_a": self.response_b,
                "response_b": self.response_a,
                "model_a": self.model_b,
                "model_b": self.model_a,
            }
        )


def parse_battle(fields: Mapping[str, Any]) -> Battle:
    """Read a battle from a decoded JSON object.

    Args:
        fields: the object; unknown fields are ignored.

    Raises:
        InvalidEventError: a field is missing, of the wrong type, too large, or the numbers of turns differ.
    """
    try:
        battle = Battle.model_validate(fields)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False, include_input=False)[0]) from None
    if not len(battle.prompt) == len(battle.response_a) == len(battle.response_b):
        raise InvalidEventError(
            Reason.TURNS_DIFFER,
            f"prompt has {len(battle.prompt)} turns, response_a {len(battle.response_a)}, "
            f"response_b {len(battle.response_b)}; each needs as many as the prompt",
        )
    return battle


def parse_row(row: Mapping[str, str | None]) -> Battle:
    """Read a battle from a row of Kaggle's CSV.

    The real file holds lone surrogates in its JSON escapes; each becomes U+FFFD, because no UTF-8 can carry it.

    Args:
        row: column name to text, as `csv.DictReader` gives it.

    Raises:
        InvalidEventError: as `parse_battle`.
    """
    fields: dict[str, Any] = {
        name: text for name, text in row.items() if text is not None and name in Battle.model_fields
    }
    for name in ("model_a", "model_b", "language", "occurred_at"):
        if fields.get(name) == "":
            del fields[name]  # an empty cell is how CSV says "not known"
    for name in ("prompt", "response_a", "response_b"):
        if name in fields:
            fields[name] = _replace_surrogates(fields[name])
    return parse_battle(fields)


def _replace_surrogates(text: str) -> list[str]:
    return [_LONE_SURROGATE.sub("\ufffd", turn or "") for turn in _split_turns(text)]


def _explain(error: ErrorDetails) -> InvalidEventError:
    """Turn pydantic's first error into ours: reason, field and rule, without the input."""
    field = ".".join(str(part) for part in error["loc"]) or "the event"
    kind = error["type"]
    if kind == "missing":
        return InvalidEventError(Reason.MISSING_FIELD, f"field {field} is missing")
    if kind == "lone_surrogate":
        return InvalidEventError(Reason.NOT_UTF8, f"field {field} {error['msg']}")
    if kind in {"field_too_large", "string_too_long"}:
        return InvalidEventError(Reason.FIELD_TOO_LARGE, f"field {field}: {error['msg']}")
    return InvalidEventError(Reason.WRONG_TYPE, f"field {field}: {error['msg']}")
