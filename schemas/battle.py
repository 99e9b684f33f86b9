"""A battle: one prompt, two anonymous responses. Reads JSON events and rows of Kaggle's CSV tolerantly.

Turns arrive as a list, or as a plain string (one turn). Kaggle's CSV has them as JSON-encoded lists in strings: such a
string is a list only where prompt and both answers are lists of one length in strings. Otherwise it is text, as an
answer to "give me a JSON list" is. A null turn is an empty string. Anything else is refused with a reason, never
guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, NamedTuple, Self, TypeAlias, TypeGuard

import orjson
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from prefstream.schemas.dead_letter import Reason
from prefstream.schemas.errors import InvalidEventError
from prefstream.schemas.models import ContractModel
from prefstream.schemas.plain_words import plain_words

Outcome: TypeAlias = Literal["model_a", "model_b", "tie"]
OUTCOMES: Final[tuple[Outcome, Outcome, Outcome]] = ("model_a", "model_b", "tie")
"""Order of every probability triple in prefstream, and of a pairwise judge's three labels."""

MAX_TEXT_CHARS: Final = 4_000_000
"""Bound per field: four times what a broker accepts by default, far beyond what any judge can read."""

MAX_TURNS: Final = 1_000
"""Bound per field: a conversation of more rounds is a program's, not a person's."""

MAX_ID_CHARS: Final = 1_024
"""Bound of the id: it becomes the record's key, and indexes downstream have limits of this order."""

MIN_ID: Final = -(2**63)
MAX_ID: Final = 2**64 - 1
"""Integers of 64 bits, signed or not: readers of JSON round longer ones, and two battles would have one id."""

_REASONS: Final = {
    "missing": Reason.MISSING_FIELD,
    "lone_surrogate": Reason.NOT_UTF8,
    "field_too_large": Reason.FIELD_TOO_LARGE,
    "string_too_long": Reason.FIELD_TOO_LARGE,
}
"""By pydantic's type of error; what is not here is of a wrong type."""

_TURNS: Final = ("prompt", "response_a", "response_b")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_DATE = re.compile(r"\d{4}-\d{2}-")


def _refuse_lone_surrogates(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("lone_surrogate", "holds a lone surrogate, which is no text") from None


def _id_to_text(value: object) -> object:
    if isinstance(value, str):
        if not value or value.isspace():
            raise PydanticCustomError("empty_id", "names nothing: it is empty, or blank")
        _refuse_lone_surrogates(value)
        return value
    if isinstance(value, int) and not isinstance(value, bool) and MIN_ID <= value <= MAX_ID:
        return str(value)
    raise PydanticCustomError(
        "id_type",
        "should be a text, or an integer from {least} to {most} without fraction and exponent",
        {"least": MIN_ID, "most": MAX_ID},
    )


def _integer_to_text(value: object) -> object:
    """As of an id, of a name that may be missing."""
    return _id_to_text(value) if isinstance(value, int) else value


def _check_text(text: str) -> str:
    _refuse_lone_surrogates(text)
    return text


def _refuse_epoch(value: object) -> object:
    """A bare number could be seconds or milliseconds: pydantic would guess from its size."""
    if isinstance(value, int | float) or (isinstance(value, str) and not _DATE.match(value)):
        raise PydanticCustomError("datetime_spelling", "should be an ISO 8601 date and time with an offset")
    return value


def _to_turns(value: object) -> object:
    """Bring every accepted spelling of turns to a tuple of strings; leave other items for pydantic to refuse."""
    if isinstance(value, str):
        value = (value,)
    if not isinstance(value, list | tuple):
        raise PydanticCustomError("turns_type", "should be a text, or a list of texts")
    if len(value) > MAX_TURNS:
        raise PydanticCustomError("field_too_large", "has more than {limit} turns", {"limit": MAX_TURNS})
    turns = tuple(value) or ("",)
    if None in turns:
        turns = tuple(["" if turn is None else turn for turn in turns])
    try:
        text = "".join(turns)
    except TypeError:
        text = "".join([turn for turn in turns if isinstance(turn, str)])
    if len(text) > MAX_TEXT_CHARS:
        raise PydanticCustomError("field_too_large", "has more than {limit} characters", {"limit": MAX_TEXT_CHARS})
    _refuse_lone_surrogates(text)
    return turns


Turns: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(_to_turns, json_schema_input_type=Annotated[list[str | None], Field(max_length=MAX_TURNS)] | str),
]

Text: TypeAlias = Annotated[str, AfterValidator(_check_text)]


BattleId: TypeAlias = Annotated[
    str,
    Field(
        max_length=MAX_ID_CHARS,
        description="Unique name of the battle; an integer becomes a string. "
        "It is written without fraction and exponent: 42.0 is refused, which a JSON Schema can't say.",
    ),
    BeforeValidator(
        _id_to_text,
        json_schema_input_type=Annotated[str, Field(max_length=MAX_ID_CHARS, pattern=r"\S")]
        | Annotated[int, Field(ge=MIN_ID, le=MAX_ID)],
    ),
]

ResponseId: TypeAlias = Annotated[
    Text,
    Field(max_length=MAX_ID_CHARS),
    BeforeValidator(
        _integer_to_text,
        json_schema_input_type=Annotated[str, Field(max_length=MAX_ID_CHARS)]
        | Annotated[int, Field(ge=MIN_ID, le=MAX_ID)],
    ),
]
"""Name of a response; an integer becomes a string, as of a battle's id."""

OccurredAt: TypeAlias = Annotated[
    Annotated[AwareDatetime, BeforeValidator(_refuse_epoch)] | None,
    Field(description="When it took place: ISO 8601 with an offset."),
]


_PROMPT: Final = (
    "The user's turns: a list, or a string, which is one turn. A JSON list in a string is a list of turns only where "
    "prompt and both responses are such lists of one length, as in Kaggle's CSV."
)


class _Sizes(NamedTuple):
    """What is shown of a text in its place."""

    turns: int
    characters: int

    def __repr__(self) -> str:
        return f"<{self.turns} turn{'s' if self.turns != 1 else ''}, {self.characters} characters>"


class Battle(ContractModel):
    """One prompt and two anonymous responses to it.

    A string is one turn, whatever stands in it: lists in strings are read by `parse_battle` and `parse_row`.
    `model_a` and `model_b` are for those who read battles and preferences: no judge ever sees them.
    """

    id: BattleId
    prompt: Annotated[Turns, Field(description=_PROMPT)]
    response_a: Annotated[Turns, Field(description="Turns of response A, as many as the prompt has.")]
    response_b: Annotated[Turns, Field(description="Turns of response B, as many as the prompt has.")]
    model_a: Annotated[Text | None, Field(description="Who wrote response A; never shown to a judge.")] = None
    model_b: Annotated[Text | None, Field(description="Who wrote response B; never shown to a judge.")] = None
    response_id_a: Annotated[
        ResponseId | None,
        Field(description="Name of response A where it was made, for those who ask; never published."),
    ] = None
    response_id_b: Annotated[
        ResponseId | None, Field(description="Name of response B where it was made; never published.")
    ] = None
    language: Annotated[Text | None, Field(description="Language of the prompt, as the source names it.")] = None
    occurred_at: OccurredAt = None

    @model_validator(mode="after")
    def _has_as_many_turns_everywhere(self) -> Self:
        if not len(self.prompt) == len(self.response_a) == len(self.response_b):
            counts = {"prompt": len(self.prompt), "a": len(self.response_a), "b": len(self.response_b)}
            raise PydanticCustomError(
                "turns_differ",
                "prompt has {prompt} turns, response_a {a}, response_b {b}; each needs as many as the prompt",
                counts,
            )
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """No text of a user: a representation ends up in logs, tracebacks and notebooks that others see."""
        for name, value in super().__repr_args__():
            if name in _TURNS:
                yield name, _Sizes(len(value), sum(map(len, value)))
            elif value is not None:
                yield name, value

    @classmethod
    def _refusal(cls, error: ValidationError) -> InvalidEventError:
        return explain(error)

    def swap(self) -> Battle:
        """The same battle with A and B exchanged."""
        return self.model_copy(
            update={
                "response_a": self.response_b,
                "response_b": self.response_a,
                "model_a": self.model_b,
                "model_b": self.model_a,
                "response_id_a": self.response_id_b,
                "response_id_b": self.response_id_a,
            }
        )


def parse_battle(fields: Mapping[str, Any]) -> Battle:
    """Read a battle from a decoded JSON object.

    Args:
        fields: the object; unknown fields are ignored.

    Raises:
        InvalidEventError: a field is missing, of the wrong type, too large, or the numbers of turns differ.
    """
    if (lists := _decode_lists(fields)) and len(set(map(len, lists.values()))) == 1:
        fields = {**fields, **lists}
    try:
        return Battle.model_validate(fields)
    except ValidationError as error:
        raise explain(error) from None


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
    for name in ("model_a", "model_b", "response_id_a", "response_id_b", "language", "occurred_at"):
        if fields.get(name) == "":
            del fields[name]  # an empty cell is how CSV says "not known"
    # Of three lists, none is a text that looks like one by chance: where their lengths differ, the row is broken.
    fields |= _decode_lists(fields)
    for name in _TURNS:
        if name in fields:
            turns = fields[name] if isinstance(fields[name], list) else [fields[name]]
            fields[name] = [_LONE_SURROGATE.sub("\ufffd", turn or "") for turn in turns]
    return parse_battle(fields)


def _decode_lists(fields: Mapping[str, Any]) -> dict[str, list[str | None]]:
    """The turns by field, where prompt and both responses are lists of turns in strings; otherwise nothing."""
    lists: dict[str, list[str | None]] = {}
    for name in _TURNS:  # the first look is nearly always the last one, and costs a hundredth of reading a battle
        lists[name] = _decode_turns(fields.get(name))
        if not lists[name]:  # an empty list is no conversation: three strings "[]" are three texts
            return {}
    return lists


def _begins_like_list(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.lstrip()[:1] == "["


def _decode_turns(value: object) -> list[str | None]:
    """The turns that a string encodes as a JSON list of strings and nulls; none where it is no such string."""
    if not _begins_like_list(value):
        return []
    try:
        decoded = orjson.loads(value)
    except orjson.JSONDecodeError:
        try:
            decoded = json.loads(value)  # takes the lone surrogates that orjson refuses
        except (ValueError, RecursionError):
            return []
    is_turns = isinstance(decoded, list) and all(turn is None or isinstance(turn, str) for turn in decoded)
    return decoded if is_turns else []


def explain(found: ValidationError) -> InvalidEventError:
    """Turn pydantic's first error into ours: reason, field and rule, without the input.

    Args:
        found: what is wrong with an event, a battle or a vote.
    """
    error = found.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in error["loc"]) or "the event"
    kind = error["type"]
    if kind == "turns_differ":
        return InvalidEventError(Reason.TURNS_DIFFER, error["msg"])
    return InvalidEventError(_REASONS.get(kind, Reason.WRONG_TYPE), f"field {field} {plain_words(error)}")
