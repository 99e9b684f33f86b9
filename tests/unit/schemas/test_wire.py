"""Bytes to models and back: any bytes give a battle or a reason."""

from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.schemas import (
    Battle,
    ContractError,
    InvalidEventError,
    JudgeOpinion,
    Preference,
    Probabilities,
    Provenance,
    Reason,
    Truncation,
    decode_battle,
    decode_preference,
    encode_battle,
    encode_preference,
)
from prefstream.schemas.wire import MAX_VALUE_BYTES, Framing, decode_object, decode_vote
from tests.support.samples import USER_TEXT, a_preference, battles, fields, json_values, triples


def reason_of(value: bytes | None) -> Reason:
    with pytest.raises(InvalidEventError) as caught:
        decode_battle(value)
    return caught.value.reason


@given(battles())
def test_a_battle_survives_the_wire(battle: Battle) -> None:
    assert decode_battle(encode_battle(battle)) == battle


@given(st.binary(max_size=200))
def test_any_bytes_give_a_battle_or_an_invalid_event(value: bytes) -> None:
    try:
        decode_battle(value)
    except InvalidEventError:
        return


@given(st.text(max_size=100))
def test_any_text_gives_a_battle_or_an_invalid_event(text: str) -> None:
    try:
        decode_battle(text.encode(errors="surrogatepass"))
    except InvalidEventError:
        return


@given(json_values)
def test_any_json_gives_a_battle_or_an_invalid_event(value: object) -> None:
    try:
        decode_battle(json.dumps(value).encode())
    except InvalidEventError:
        return


@settings(max_examples=300)
@given(st.data())
def test_a_broken_battle_gives_a_battle_or_an_invalid_event(data: st.DataObject) -> None:
    """Cut, or change a byte of, something that was a battle: the inputs next to good ones."""
    good = encode_battle(data.draw(battles()))
    at = data.draw(st.integers(0, len(good) - 1))
    broken = good[:at] if data.draw(st.booleans()) else good[:at] + data.draw(st.binary(max_size=2)) + good[at + 1 :]
    try:
        decode_battle(broken)
    except InvalidEventError:
        return


BAD_VALUES: list[tuple[str, bytes | None, Reason]] = [
    ("tombstone", None, Reason.NULL_VALUE),
    ("empty", b"", Reason.NOT_JSON),
    ("words", b"seventeen purple elephants", Reason.NOT_JSON),
    ("cut", b'{"id": "b1", "prompt": ["seventeen purple ele', Reason.NOT_JSON),
    ("two values", b"{} {}", Reason.NOT_JSON),
    ("words behind a byte order mark", b"\xef\xbb\xbfpurple elephants", Reason.NOT_JSON),
    ("nothing but byte order marks", b"\xef\xbb\xbf" * 100_000, Reason.NOT_JSON),
    ("frame of a registry", b'\0\0\0\0\7{"id": "elephants"}', Reason.NOT_JSON),
    ("frame and Avro", b"\0\0\0\0\7\x10elephants\xff", Reason.NOT_JSON),
    ("latin-1", '{"id": "é elephants"}'.encode("latin-1"), Reason.NOT_UTF8),
    ("utf-16", '{"id": "elephants"}'.encode("utf-16"), Reason.NOT_UTF8),
    ("surrogate bytes", b'{"id": "\xed\xa0\x80"}', Reason.NOT_UTF8),
    ("surrogate escape", b'{"id": "\\ud800 elephants"}', Reason.NOT_UTF8),
    ("surrogate escape at the end", b'{"id": "elephants \\udfff"}', Reason.NOT_UTF8),
    ("NaN", b'{"id": NaN}', Reason.NOT_FINITE),
    ("Infinity", b'{"id": "b1", "score": [1.0, Infinity]}', Reason.NOT_FINITE),
    ("-Infinity", b'{"score":-Infinity}', Reason.NOT_FINITE),
    ("list bomb", b"[" * 100_000, Reason.TOO_DEEP),
    ("object bomb", b'{"a":' * 100_000, Reason.TOO_DEEP),
    ("closed bomb", b"[" * 5_000 + b"]" * 5_000, Reason.TOO_DEEP),
    ("list", b"[1]", Reason.NOT_AN_OBJECT),
    ("string", b'"elephants"', Reason.NOT_AN_OBJECT),
    ("number", b"1.5", Reason.NOT_AN_OBJECT),
    ("boolean", b"true", Reason.NOT_AN_OBJECT),
    ("null", b"null", Reason.NOT_AN_OBJECT),
    ("no fields", b"{}", Reason.MISSING_FIELD),
    ("null field", b'{"id": 1, "prompt": null, "response_a": "", "response_b": ""}', Reason.WRONG_TYPE),
]


@pytest.mark.parametrize(("value", "reason"), [pytest.param(value, why, id=name) for name, value, why in BAD_VALUES])
def test_each_fault_has_its_reason(value: bytes | None, reason: Reason) -> None:
    assert reason_of(value) is reason


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value, _ in BAD_VALUES])
def test_an_error_says_nothing_of_the_value(value: bytes | None) -> None:
    with pytest.raises(InvalidEventError) as caught:
        decode_battle(value)
    assert "elephants" not in f"{caught.value} {caught.value.detail} {caught.value!r}"
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("framing", ["none", "confluent"])
def test_an_empty_value_is_called_empty(framing: Framing) -> None:
    with pytest.raises(InvalidEventError, match="the value is empty"):
        decode_battle(b"", framing=framing)


def test_a_byte_order_mark_is_read_past() -> None:
    assert decode_battle(b"\xef\xbb\xbf" + orjson.dumps(fields())) == decode_battle(orjson.dumps(fields()))


def test_the_frame_of_a_registry_is_named_with_what_reads_it() -> None:
    with pytest.raises(InvalidEventError, match=r"registry \(schema 7\).* battles_framing: confluent"):
        decode_battle(b"\0\0\0\0\7" + orjson.dumps(fields()))
    with pytest.raises(InvalidEventError, match="no JSON behind it; Avro and Protobuf are not read"):
        decode_battle(b"\0\0\0\0\7\x04b1")
    assert "registry" not in str(_error_of("{}".encode("utf-16-be")))


def _error_of(value: bytes) -> InvalidEventError:
    with pytest.raises(InvalidEventError) as caught:
        decode_battle(value)
    return caught.value


@pytest.mark.parametrize("frame", [b"\0\0\0\0\7", b"\0\xff\xff\xff\xff", b"", b"\0\0\0\0\7\xef\xbb\xbf"])
def test_with_the_option_for_it_a_frame_is_read_past(frame: bytes) -> None:
    battle = orjson.dumps(fields())
    assert decode_battle(frame + battle, framing="confluent") == decode_battle(battle)


@pytest.mark.parametrize("value", [None, b"", b"\0", b"\0\0\0\0", b"\0\0\0\0\0", b"\0\0\0\0\0\0\0\0\0\0{}"])
def test_with_the_option_too_any_value_gives_a_battle_or_an_invalid_event(value: bytes | None) -> None:
    with pytest.raises(InvalidEventError):
        decode_battle(value, framing="confluent")


@given(st.sampled_from([b"NaN", b"Infinity", b"-Infinity"]), st.integers(0, 2), st.text("ab ", max_size=30))
def test_numbers_that_json_lacks_are_told_from_other_faults(token: bytes, blanks: int, before: str) -> None:
    space = b" " * blanks
    value = b'{"note": "' + before.encode() + b'", "score":' + space + token + space + b"}"
    assert reason_of(value) is Reason.NOT_FINITE


@pytest.mark.parametrize("value", [b'{"banana": nanny}', b'{"a": information}', b'{"a": NaNa}'])
def test_words_that_begin_like_such_numbers_are_just_not_json(value: bytes) -> None:
    assert reason_of(value) is Reason.NOT_JSON


def test_a_number_too_large_for_a_float_is_not_finite() -> None:
    assert reason_of(b'{"score": 1e999}') is Reason.NOT_FINITE


def test_an_integer_id_beyond_64_bits_is_refused_rather_than_rounded() -> None:
    value = orjson.dumps(fields()).replace(b'"b1"', b"123456789012345678901234567890")
    assert reason_of(value) is Reason.WRONG_TYPE


def test_of_duplicate_keys_the_last_wins() -> None:
    value = b'{"id": "first", "prompt": "p", "response_a": "a", "response_b": "b", "id": "last"}'
    assert decode_battle(value).id == "last"


def test_unknown_and_absent_fields_are_not_written() -> None:
    battle = decode_battle(orjson.dumps(fields(winner="tie")))
    assert orjson.loads(encode_battle(battle)) == fields()


def opinions() -> st.SearchStrategy[JudgeOpinion]:
    counts = st.integers(0, 10_000)
    return st.builds(
        JudgeOpinion,
        name=st.text(min_size=1, max_size=10),
        probabilities=triples(),
        as_given=st.none() | triples(),
        swapped=st.none() | triples(),
        position_gap=st.none() | st.floats(0, 1),
        truncation=st.none()
        | st.builds(
            Truncation,
            tokens=counts,
            dropped_prompt=counts,
            dropped_response_a=counts,
            dropped_response_b=counts,
            dropped_rounds=counts,
        ),
        provenance=st.builds(
            Provenance,
            kind=st.sampled_from(["pairwise", "pointwise", "prior"]),
            base=st.none() | st.text(max_size=10),
            max_length=st.none() | counts,
            trained=st.booleans(),
        ),
    )


@given(st.lists(opinions(), min_size=1, max_size=3), triples(), st.text(max_size=10), st.floats(0, 1))
def test_a_preference_survives_the_wire_to_the_last_bit(
    judges: list[JudgeOpinion], probabilities: Probabilities, battle_id: str, disagreement: float
) -> None:
    preference = a_preference(
        id=battle_id,
        probabilities=probabilities,
        preferred=probabilities.preferred,
        judges=tuple(judges),
        disagreement=disagreement,
    )
    assert decode_preference(encode_preference(preference)) == preference


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "no preference: the record has no value"), (b"", "no preference: .*EOF"), (b"{}", "no preference: id is")],
)
def test_what_is_no_preference_is_one_error_even_where_the_record_has_no_value(value: bytes | None, told: str) -> None:
    with pytest.raises(ContractError, match=told):
        decode_preference(value)


def test_a_preference_says_its_version_and_no_nulls() -> None:
    written = orjson.loads(encode_preference(a_preference()))
    assert written["schema_version"] == "1.1"
    assert b"null" not in encode_preference(a_preference())


def test_a_preference_of_a_later_minor_version_can_be_read() -> None:
    """Additive changes only: a reader ignores fields that it does not know."""
    written = orjson.loads(encode_preference(a_preference()))
    written["mood"] = "good"
    assert decode_preference(orjson.dumps(written)) == a_preference()


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b"not json", b"\xff"])
def test_what_is_no_preference_is_refused(value: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        decode_preference(value)
    assert USER_TEXT not in str(caught.value)


def test_a_battle_in_the_place_of_a_preference_is_refused_without_quoting_it() -> None:
    with pytest.raises(ContractError) as caught:
        decode_preference(orjson.dumps(fields(prompt=USER_TEXT)))
    assert "elephants" not in str(caught.value)


def test_encoding_is_deterministic() -> None:
    assert encode_preference(a_preference()) == encode_preference(Preference.model_validate(a_preference()))


def test_a_value_that_is_too_large_is_not_even_decoded() -> None:
    """As Python's objects it could take forty times as much memory."""
    filling = b" " * (MAX_VALUE_BYTES - 2)
    assert decode_object(b"{" + filling + b"}") == {}
    with pytest.raises(InvalidEventError) as caught:
        decode_object(b"{ " + filling + b"}")
    assert caught.value.reason is Reason.FIELD_TOO_LARGE
    assert str(MAX_VALUE_BYTES) in caught.value.detail


def test_an_empty_text_is_told_as_one() -> None:
    """A text has no items."""
    with pytest.raises(InvalidEventError, match="field voter should not be empty"):
        decode_vote(b'{"id": "1", "winner": "tie", "voter": ""}')
