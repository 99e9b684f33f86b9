"""Kinds of events that are battles, each with something in it that must not matter."""

from __future__ import annotations

import json
from random import Random
from typing import Any, Final

import orjson

from prefstream.schemas import Reason
from prefstream.schemas.battle import MAX_ID_CHARS, MAX_TURNS
from tests.fuzz import corpus
from tests.fuzz.kinds import (
    HOSTILE_PIECES,
    ORJSON_DEPTH,
    TEXTS,
    Kinds,
    battle_fields,
    dump,
    giant,
    hostile_text,
    nested,
    with_raw,
)

BATTLES: Final = Kinds()


@BATTLES.add("every piece at once", 20, None)
def _pieces(rng: Random) -> bytes:
    return dump(rng, battle_fields(rng))


@BATTLES.add("special tokens", 10, None)
def _special_tokens(rng: Random) -> bytes:
    return dump(rng, battle_fields(rng, corpus.SPECIAL_TOKENS + corpus.NEARLY_SPECIAL))


@BATTLES.add("forged turns", 10, None)
def _forged_turns(rng: Random) -> bytes:
    return dump(rng, battle_fields(rng, corpus.FORGED_TURNS + corpus.PLAIN))


@BATTLES.add("instructions to the judge", 5, None)
def _instructions(rng: Random) -> bytes:
    return dump(rng, battle_fields(rng, corpus.INSTRUCTIONS + corpus.TEMPLATE_WORDS))


@BATTLES.add("strange characters", 5, None)
def _strange_characters(rng: Random) -> bytes:
    one = "".join(chr(rng.choice((rng.randrange(0xD800), rng.randrange(0xE000, 0x110000)))) for _ in range(8))
    return dump(rng, battle_fields(rng, (*corpus.UNICODE, one)))


@BATTLES.add("one long word", 0.3, None)
def _one_long_word(rng: Random) -> bytes:
    fields = battle_fields(rng)
    fields[rng.choice(TEXTS)][-1] = giant(rng, rng.choice((*corpus.WORDS, rng.choice(HOSTILE_PIECES) or "y")))
    return orjson.dumps(fields)


@BATTLES.add("many rounds", 0.3, None)
def _many_rounds(rng: Random) -> bytes:
    rounds = rng.choice((100, MAX_TURNS - 1, MAX_TURNS))
    return orjson.dumps(battle_fields(rng) | {name: rng.choices(HOSTILE_PIECES, k=rounds) for name in TEXTS})


@BATTLES.add("empty everything", 2, None)
def _empty(rng: Random) -> bytes:
    return dump(rng, {name: rng.choice(("", [], [""], [None], "[]", '[""]', "[null]")) for name in TEXTS} | {"id": 0})


@BATTLES.add("lists in strings", 4, None)
def _lists_in_strings(rng: Random) -> bytes:
    fields = battle_fields(rng)
    return dump(rng, fields | {name: json.dumps(fields[name]) for name in TEXTS})


@BATTLES.add("texts that are lists", 2, None)
def _texts_that_are_lists(rng: Random) -> bytes:
    """Of different lengths, or beside what is none: each is one turn."""
    a_list = json.dumps([hostile_text(rng) for _ in range(rng.randint(0, 3))])
    other = rng.choice((hostile_text(rng), json.dumps([hostile_text(rng)] * 4)))
    names = rng.sample(TEXTS, 3)
    return dump(rng, battle_fields(rng) | dict(zip(names, (a_list, a_list, other), strict=True)))


@BATTLES.add("a byte-order mark", 1, None)
def _byte_order_mark(rng: Random) -> bytes:
    return b"\xef\xbb\xbf" + dump(rng, battle_fields(rng))


@BATTLES.add("what is nearly a list in a string", 3, None)
def _nearly_lists(rng: Random) -> bytes:
    broken = ("[" * rng.randint(1, 10_000), '["x"', '[1, "x"]', '[["x"]]', "[NaN]", "['x']", '{"a": "[]"}', "[1e999]")
    deep = nested(rng.randint(2, 10_000), closed=True).decode()
    return dump(rng, battle_fields(rng) | {name: rng.choice((*broken, deep, f"[{'9' * 5_000}]")) for name in TEXTS})


@BATTLES.add("null turns", 1, None)
def _null_turns(rng: Random) -> bytes:
    rounds = rng.randint(1, 4)
    return dump(
        rng,
        battle_fields(rng)
        | {name: [rng.choice((None, "", hostile_text(rng))) for _ in range(rounds)] for name in TEXTS},
    )


@BATTLES.add("fields that nobody knows", 5, None)
def _unknown_fields(rng: Random) -> bytes:
    names = (
        *("schema_version", "version", "specversion", "winner", "winner_model_a", "probabilities", "preferred", "Id"),
        *("__proto__", "constructor", "__class__", "model_config", "length", "content_length", "$ref", "", "\u0000"),
        *("id ", "PROMPT", "prompt\u0000", "response_a\u200b", f"{hostile_text(rng)}?"),
    )
    values: tuple[Any, ...] = (
        "99.0",
        -1,
        104_857_600,
        2**63,
        {"$ref": "#"},
        [[]],
        None,
        True,
        "zqfuzz",
        1e300,
        hostile_text(rng),
    )
    return dump(
        rng, battle_fields(rng) | {name: rng.choice(values) for name in rng.choices(names, k=rng.randint(1, 6))}
    )


@BATTLES.add("thousands of fields", 0.1, None)
def _thousands_of_fields(rng: Random) -> bytes:
    return orjson.dumps({f"{corpus.CANARY}{number}": number for number in range(5_000)} | battle_fields(rng))


@BATTLES.add("fields said twice", 1, None)
def _said_twice(rng: Random) -> bytes:
    return b'{"id": [], "prompt": 7, "response_a": null, ' + dump(rng, battle_fields(rng)).lstrip()[1:]


@BATTLES.add("nested as deep as JSON may be", 1, None)
def _nested_to_the_limit(rng: Random) -> bytes:
    return with_raw(rng, nested(rng.randint(1, ORJSON_DEPTH - 10), closed=True))


@BATTLES.add("numbers at the edge", 2, None)
def _numbers(rng: Random) -> bytes:
    return with_raw(rng, rng.choice(corpus.NUMBERS).encode())


@BATTLES.add("names and languages", 2, None)
def _names(rng: Random) -> bytes:
    return dump(rng, battle_fields(rng) | {name: hostile_text(rng) for name in ("model_a", "model_b", "language")})


@BATTLES.add("ids", 2, None)
def _ids(rng: Random) -> bytes:
    ids = (
        0,
        -1,
        2**63,
        -(2**63),
        2**64 - 1,
        "\u0000",
        "x" * MAX_ID_CHARS,
        "🦄" * MAX_ID_CHARS,
        f"x{hostile_text(rng)}"[:MAX_ID_CHARS],
    )
    return dump(rng, battle_fields(rng) | {"id": rng.choice(ids)})


@BATTLES.add("dates", 2, None, Reason.WRONG_TYPE)
def _dates(rng: Random) -> bytes:
    return dump(
        rng,
        battle_fields(rng) | {"occurred_at": rng.choice((*corpus.DATES, 0, -1, 1e18, [], {}, None, hostile_text(rng)))},
    )
