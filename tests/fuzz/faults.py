"""Kinds of events that are no battles, and of those that chance decides about."""

from __future__ import annotations

import base64
import gzip
import json
from random import Random
from typing import Any, Final

import orjson

from prefstream.schemas import Reason
from prefstream.schemas.battle import MAX_ID_CHARS, MAX_TEXT_CHARS, MAX_TURNS
from tests.fuzz import corpus
from tests.fuzz.kinds import (
    FIELDS,
    ORJSON_DEPTH,
    RECORD_BYTES,
    TEXTS,
    Fate,
    Kinds,
    battle_fields,
    dump,
    hostile_text,
    inside_a_text,
    nested,
    with_raw,
)

FAULTS: Final = Kinds()

ANY_FATE: Final[tuple[Fate, ...]] = (None, *Reason)
NO_JSON: Final[tuple[Fate, ...]] = (Reason.NOT_JSON, Reason.NOT_UTF8)

# --- what is no JSON


@FAULTS.add("null value", 2, Reason.NULL_VALUE)
def _null_value(rng: Random) -> None:
    return None


@FAULTS.add("nothing but space", 2, Reason.NOT_JSON)
def _space(rng: Random) -> bytes:
    return rng.choice((b"", b" ", b"\n", b"\t\r\n ", b" " * 10_000))


@FAULTS.add("cut short", 8, *NO_JSON)
def _cut_short(rng: Random) -> bytes:
    whole = orjson.dumps(battle_fields(rng))
    return whole[: rng.randrange(1, len(whole))]


@FAULTS.add("bytes changed", 8, *ANY_FATE)
def _bytes_changed(rng: Random) -> bytes:
    value = bytearray(dump(rng, battle_fields(rng)))
    for _ in range(rng.randint(1, 4)):
        start = rng.randrange(len(value) + 1)
        end = min(len(value), start + rng.choice((0, 1, 1, 1, 5)))
        value[start:end] = rng.choice((b"", rng.randbytes(1), rng.randbytes(3), bytes(value[end : end + 20])))
    return bytes(value)


@FAULTS.add("two events spliced", 3, *ANY_FATE)
def _spliced(rng: Random) -> bytes:
    one, other = (dump(rng, battle_fields(rng)) for _ in range(2))
    return one[: rng.randrange(len(one))] + other[rng.randrange(len(other)) :]


@FAULTS.add("noise", 2, *(fate for fate in ANY_FATE if fate is not None))
def _noise(rng: Random) -> bytes:
    return rng.randbytes(rng.randint(1, 200))


@FAULTS.add("not UTF-8", 5, Reason.NOT_UTF8)
def _not_utf8(rng: Random) -> bytes:
    return inside_a_text(rng, rng.choice(corpus.NOT_UTF8))


@FAULTS.add("in another encoding", 3, *NO_JSON)
def _another_encoding(rng: Random) -> bytes:
    fields = battle_fields(rng, corpus.PLAIN) | {"language": "é"}
    text = json.dumps(fields, ensure_ascii=False)
    encodings = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp500", "latin-1", "cp1252")
    wrapped = (gzip.compress(text.encode(), 1, mtime=0), base64.b64encode(text.encode()), text.encode().hex().encode())
    return rng.choice((*(text.encode(name, errors="replace") for name in encodings), *wrapped))


@FAULTS.add("claims of length", 3, *NO_JSON)
def _length_claims(rng: Random) -> bytes:
    return rng.choice(corpus.LENGTH_CLAIMS) + rng.choice((b"", rng.randbytes(20), orjson.dumps(battle_fields(rng))))


@FAULTS.add("not quite JSON", 4, Reason.NOT_JSON)
def _not_quite_json(rng: Random) -> bytes:
    return rng.choice(corpus.NOT_QUITE_JSON)


@FAULTS.add("control characters as they are", 2, Reason.NOT_JSON)
def _raw_control(rng: Random) -> bytes:
    return inside_a_text(rng, bytes([rng.randrange(0x20)]))


@FAULTS.add("no number", 4, Reason.NOT_FINITE)
def _not_finite(rng: Random) -> bytes:
    raw = rng.choice(corpus.NOT_FINITE).encode()
    raw = rng.choice((raw, b" " + raw + b" ", b"[1, " + raw + b"]", b'{"x": ' + raw + b"}", b'["NaN", ' + raw + b"]"))
    return with_raw(rng, raw, rng.choice((*FIELDS, None)))


@FAULTS.add("half a character", 4, Reason.NOT_UTF8)
def _lone_surrogate(rng: Random) -> bytes:
    return inside_a_text(rng, rng.choice(corpus.LONE_SURROGATES).encode())


@FAULTS.add("half a character in a list in a string", 2, Reason.NOT_UTF8)
def _lone_surrogate_in_a_list(rng: Random) -> bytes:
    turns = f'["{rng.choice(corpus.LONE_SURROGATES)}"]'
    return orjson.dumps(battle_fields(rng) | dict.fromkeys(TEXTS, '["x"]') | {rng.choice(TEXTS): turns})


@FAULTS.add("nesting bomb", 1, Reason.TOO_DEEP)
def _nesting_bomb(rng: Random) -> bytes:
    depth = rng.choice((ORJSON_DEPTH + 1, 2_000, 9_999, 10_000, 100_000))
    bomb = nested(depth, closed=rng.random() < 0.5)
    return bomb if rng.random() < 0.3 else with_raw(rng, bomb, rng.choice((*FIELDS, None)))


# --- JSON that is no battle


@FAULTS.add("no object", 2, Reason.NOT_AN_OBJECT)
def _no_object(rng: Random) -> bytes:
    other: tuple[Any, ...] = (
        None,
        True,
        0,
        -1.5,
        "zqfuzz",
        [],
        [{}],
        [battle_fields(rng)],
        "",
        json.dumps(battle_fields(rng)),
    )
    return dump(rng, rng.choice(other))


@FAULTS.add("fields missing", 3, Reason.MISSING_FIELD)
def _fields_missing(rng: Random) -> bytes:
    fields = battle_fields(rng)
    for name in rng.sample(FIELDS, rng.randint(1, len(FIELDS))):
        del fields[name]
    return dump(rng, fields)


@FAULTS.add("another message", 2, Reason.MISSING_FIELD)
def _another_message(rng: Random) -> bytes:
    battle = battle_fields(rng)
    messages: tuple[dict[str, Any], ...] = (
        {"schema_version": "1.0", "id": battle["id"], "probabilities": {"model_a": 1, "model_b": 0, "tie": 0}},
        {"specversion": "1.0", "id": battle["id"], "type": "x", "data": battle},
        {"payload": battle, "schema": {"type": "struct"}},
        {"before": None, "after": battle, "op": "c"},
        {"question_id": "zqfuzz", "conversation_a": [{"role": "user", "content": hostile_text(rng)}], "winner": "tie"},
        {name.upper(): value for name, value in battle.items()},
        {},
    )
    return dump(rng, rng.choice(messages))


@FAULTS.add("wrong types", 4, Reason.WRONG_TYPE)
def _wrong_types(rng: Random) -> bytes:
    values: tuple[Any, ...] = (
        None,
        True,
        1.5,
        {},
        {"$ref": "#"},
        {"0": "zqfuzz"},
        [1],
        [["zqfuzz"]],
        [{}],
        [True],
        [1.5, "zqfuzz"],
    )
    return dump(rng, battle_fields(rng) | {name: rng.choice(values) for name in rng.sample(FIELDS, rng.randint(1, 4))})


@FAULTS.add("deep where turns belong", 1, Reason.WRONG_TYPE)
def _deep_turns(rng: Random) -> bytes:
    return with_raw(rng, nested(rng.randint(2, ORJSON_DEPTH - 10), closed=True), rng.choice(TEXTS))


@FAULTS.add("ids that name nothing", 1, Reason.WRONG_TYPE)
def _blank_ids(rng: Random) -> bytes:
    return dump(rng, battle_fields(rng) | {"id": rng.choice(("", " ", "\t\r\n ", "\u2003"))})


@FAULTS.add("behind the frame of a registry", 1, Reason.NOT_JSON)
def _framed(rng: Random) -> bytes:
    return b"\0" + rng.randrange(1 << 24).to_bytes(4, "big") + dump(rng, battle_fields(rng))


@FAULTS.add("ids beyond 64 bits", 1, Reason.WRONG_TYPE)
def _large_ids(rng: Random) -> bytes:
    return with_raw(rng, str(rng.getrandbits(rng.randint(65, 1_000)) | 1 << 64).encode(), "id")


@FAULTS.add("ids of a book's length", 1, Reason.FIELD_TOO_LARGE)
def _long_ids(rng: Random) -> bytes:
    return dump(
        rng, battle_fields(rng) | {"id": rng.choice(("x", "é", "🦄", "\u0000")) * (MAX_ID_CHARS + rng.randint(1, 99))}
    )


@FAULTS.add("turns differ", 4, Reason.TURNS_DIFFER)
def _turns_differ(rng: Random) -> bytes:
    fields = battle_fields(rng)
    fields[rng.choice(TEXTS)] += [hostile_text(rng)] * rng.randint(1, 50)
    return dump(rng, fields)


@FAULTS.add("too many turns", 0.3, Reason.FIELD_TOO_LARGE)
def _too_many_turns(rng: Random) -> bytes:
    turns = [rng.choice(("", "x", None))] * (MAX_TURNS + rng.choice((1, 2, 20_000)))
    return orjson.dumps(
        battle_fields(rng) | rng.choice(({rng.choice(TEXTS): turns}, dict.fromkeys(TEXTS, json.dumps(turns))))
    )


@FAULTS.add("a text beyond bounds", 0.01, Reason.FIELD_TOO_LARGE)
def _text_beyond_bounds(rng: Random) -> bytes:
    return orjson.dumps(battle_fields(rng) | {rng.choice(TEXTS): "x" * (MAX_TEXT_CHARS + 1)})


@FAULTS.add("as large as a record may be", 0.02, Reason.NOT_JSON)
def _as_large_as_a_record(rng: Random) -> bytes:
    """Its dead letter can't hold it, for want of room for the headers."""
    return b'"' + b"zqfuzz" * ((RECORD_BYTES - rng.randint(150, 1_000)) // 6)
