"""What a kind of hostile event is, and the parts that events are put together from.

A kind says what may become of its events. That they raise nothing they should not is the lesser half: a test that
knew no more would not see a battle that is refused, or a fault that gets the wrong name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final, TypeAlias

import orjson

from prefstream.schemas import Reason
from tests.fuzz import corpus

Fate: TypeAlias = Reason | None
"""What becomes of an event: the reason of its dead letter, or None for a battle."""

Build: TypeAlias = Callable[[Random], bytes | None]

TEXTS: Final = ("prompt", "response_a", "response_b")
FIELDS: Final = ("id", *TEXTS)

ORJSON_DEPTH: Final = 1_024
"""Levels that orjson reads."""

RECORD_BYTES: Final = 1_048_588
"""The largest record batch that a broker takes by default."""

HOSTILE_PIECES: Final = (
    *corpus.SPECIAL_TOKENS,
    *corpus.NEARLY_SPECIAL,
    *corpus.FORGED_TURNS,
    *corpus.INSTRUCTIONS,
    *corpus.UNICODE,
    *corpus.TEMPLATE_WORDS,
    *corpus.PLAIN,
    corpus.CANARY,
)


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of event.

    Attributes:
        name: for people.
        weight: how often it comes up, relative to the others.
        fates: what may become of it.
        build: makes one.
    """

    name: str
    weight: float
    fates: frozenset[Fate]
    build: Build


class Kinds(list[Kind]):
    """Kinds, each added where it is built."""

    def add(self, name: str, weight: float, *fates: Fate) -> Callable[[Build], Build]:
        """Add what the decorated function builds, as a `Kind`."""

        def register(build: Build) -> Build:
            self.append(Kind(name, weight, frozenset(fates), build))
            return build

        return register


def hostile_text(rng: Random, pieces: Sequence[str] = HOSTILE_PIECES) -> str:
    """Some pieces in a row, or none."""
    return "".join(rng.choices(pieces, k=rng.randint(0, 5)))


def battle_fields(rng: Random, pieces: Sequence[str] = HOSTILE_PIECES) -> dict[str, Any]:
    """The fields of a battle; its id holds the canary."""
    (rounds,) = rng.choices((1, 2, 3, 9), (70, 15, 10, 5))
    fields: dict[str, Any] = {name: [hostile_text(rng, pieces) for _ in range(rounds)] for name in TEXTS}
    return {"id": f"{corpus.CANARY}-{rng.getrandbits(32)}", **fields}


def dump(rng: Random, fields: object) -> bytes:
    """JSON as different libraries write it: characters as they are, or all as escapes."""
    if rng.random() < 0.8:
        return orjson.dumps(fields)
    return json.dumps(fields, ensure_ascii=rng.random() < 0.7, indent=rng.choice((None, 1))).encode()


def with_raw(rng: Random, raw: bytes, field: str | None = None) -> bytes:
    """A battle with a field (an unknown one, unless it is named) whose JSON is given."""
    placeholder = "raw value goes here"
    whole = orjson.dumps(battle_fields(rng) | {field or f"{corpus.CANARY}_unknown": placeholder})
    return whole.replace(f'"{placeholder}"'.encode(), raw)


def inside_a_text(rng: Random, raw: bytes) -> bytes:
    """A battle with bytes in the middle of one of its strings."""
    before, after = (json.dumps(hostile_text(rng))[1:-1].encode() for _ in range(2))
    return with_raw(rng, b'"' + before + raw + after + b'"', rng.choice((*FIELDS, None)))


def giant(rng: Random, word: str) -> str:
    """One word over and over, a thousand to a million bytes of JSON."""
    return word * int(10 ** rng.uniform(3, 5.99) / (len(orjson.dumps(word)) - 2))


def nested(depth: int, *, closed: bool) -> bytes:
    """Lists (for an even depth) or objects in one another."""
    opening, closing = ((b"[", b"]"), (b'{"' + corpus.CANARY.encode() + b'":', b"}"))[depth % 2]
    return opening * depth + (b"1" + closing * depth if closed else b"")
