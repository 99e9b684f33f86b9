"""Reading battles from fields and rows: tolerant where the contract says so, strict elsewhere, discreet always."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Battle, InvalidEventError, Reason, encode_battle, parse_battle, parse_row
from prefstream.schemas.battle import MAX_ID, MAX_ID_CHARS, MAX_TEXT_CHARS, MAX_TURNS, MIN_ID
from tests.support.samples import USER_TEXT, battles, fields, json_values, texts, turn_lists

NO_ID = (
    "should be a text, or an integer from -9223372036854775808 to 18446744073709551615 without fraction and exponent"
)


def reason_of(given_fields: dict[str, Any]) -> Reason:
    with pytest.raises(InvalidEventError) as caught:
        parse_battle(given_fields)
    return caught.value.reason


# --- turns ---------------------------------------------------------------------------------------------------------


TURNS = ("prompt", "response_a", "response_b")


@given(turn_lists)
def test_three_lists_of_one_length_are_the_same_in_strings(turns: list[str]) -> None:
    """As Kaggle's CSV has them."""
    as_lists = parse_battle(fields(**dict.fromkeys(TURNS, turns)))
    as_texts = parse_battle(
        fields(prompt=json.dumps(turns), response_a=json.dumps(turns, ensure_ascii=False), response_b=json.dumps(turns))
    )
    assert as_lists.prompt == as_texts.prompt == as_texts.response_a == as_texts.response_b == tuple(turns)


@pytest.mark.parametrize(
    "spelling",
    [
        pytest.param(
            {"prompt": "Two fruits as JSON", "response_a": '["apple", "pear"]', "response_b": "apple and pear"},
            id="one answer is a list",
        ),
        pytest.param({"prompt": "What is it?", "response_a": "[]", "response_b": "[0]"}, id="answers of code"),
        pytest.param({"prompt": "[]", "response_a": "What is that?", "response_b": "An empty list"}, id="the prompt"),
        pytest.param(dict.fromkeys(TURNS, "[]"), id="three empty lists"),
        pytest.param(
            {"prompt": '["b", "a"]', "response_a": '["a", "b"]', "response_b": '["a"]'}, id="of different lengths"
        ),
        pytest.param({"prompt": ["hi"], "response_a": '["x"]', "response_b": '["y"]'}, id="beside a list"),
        pytest.param({"prompt": '["hi"]', "response_a": '["x"]', "response_b": ["y"]}, id="beside another list"),
    ],
)
def test_a_list_in_a_string_is_text_unless_all_three_are_lists_of_one_length(spelling: dict[str, Any]) -> None:
    battle = parse_battle(fields(**spelling))
    for name, text in spelling.items():
        assert getattr(battle, name) == ((text,) if isinstance(text, str) else tuple(text))


@given(texts.filter(lambda text: not text.lstrip().startswith("[")))
def test_a_plain_string_is_one_turn(text: str) -> None:
    assert parse_battle(fields(prompt=text)).prompt == (text,)


@pytest.mark.parametrize("text", ["[", "[citation needed]", "[1, 2]", '["a", {}]', '[["a"]]', "[" * 100_000, "[NaN]"])
def test_a_string_that_only_looks_like_a_list_is_one_turn(text: str) -> None:
    assert parse_battle(fields(prompt=text)).prompt == (text,)


def test_white_space_around_a_list_in_a_string_is_nothing() -> None:
    assert parse_battle(fields(**dict.fromkeys(TURNS, ' \n["hi"] '))).prompt == ("hi",)


@pytest.mark.parametrize("turns", [[None], [""], [], ""])
def test_a_null_turn_and_no_turn_are_an_empty_string(turns: object) -> None:
    assert parse_battle(fields(response_a=turns)).response_a == ("",)


def test_null_among_turns_is_an_empty_string() -> None:
    lists = {"prompt": ["a", "b"], "response_a": ["x", None], "response_b": [None, "y"]}
    battle = parse_battle(fields(**lists))
    assert (battle.response_a, battle.response_b) == (("x", ""), ("", "y"))
    assert parse_battle(fields(**{name: json.dumps(turns) for name, turns in lists.items()})) == battle


@pytest.mark.parametrize("turns", [None, 7, True, 1.5, {"0": "hi"}, ["hi", 7], [["hi"]], [True], [{}]])
def test_turns_of_another_type_are_refused(turns: object) -> None:
    assert reason_of(fields(response_b=turns)) is Reason.WRONG_TYPE


def test_every_part_needs_as_many_turns_as_the_prompt() -> None:
    assert reason_of(fields(prompt=["a", "b"], response_a=["x", "y"], response_b=["z"])) is Reason.TURNS_DIFFER


def test_too_many_turns_are_refused() -> None:
    turns = ["x"] * (MAX_TURNS + 1)
    assert reason_of(fields(prompt=turns, response_a=turns, response_b=turns)) is Reason.FIELD_TOO_LARGE
    kept = turns[1:]
    assert len(parse_battle(fields(prompt=kept, response_a=kept, response_b=kept)).prompt) == MAX_TURNS


def test_too_long_texts_are_refused_however_they_are_cut_into_turns() -> None:
    half = "x" * (MAX_TEXT_CHARS // 2)
    assert reason_of(fields(prompt=half + half + "x")) is Reason.FIELD_TOO_LARGE
    assert reason_of(fields(prompt=[half, half, "x"], response_a=[""] * 3, response_b=[""] * 3)) is (
        Reason.FIELD_TOO_LARGE
    )
    parse_battle(fields(prompt=[half, half], response_a=["", ""], response_b=["", ""]))


# --- other fields --------------------------------------------------------------------------------------------------


@given(st.integers(MIN_ID, MAX_ID))
def test_an_integer_id_becomes_a_string(number: int) -> None:
    assert parse_battle(fields(id=number)).id == str(number)


@pytest.mark.parametrize("value", [True, False, 1.0, None, ["b1"], {"id": 1}])
def test_an_id_of_another_type_is_refused(value: object) -> None:
    assert reason_of(fields(id=value)) is Reason.WRONG_TYPE


@pytest.mark.parametrize("blank", ["", " ", "\t\r\n", "\u2003"])
def test_an_id_that_names_nothing_is_refused(blank: str) -> None:
    assert reason_of(fields(id=blank)) is Reason.WRONG_TYPE
    with pytest.raises(InvalidEventError, match="field id names nothing"):
        parse_row(row(id=blank))


def test_a_battle_made_in_code_is_refused_as_one_that_is_read() -> None:
    """By the same error, for the same reasons."""
    for wrong in ({"prompt": 3}, {"prompt": None}, {"id": ""}, {"response_a": ["a", "b"]}, {"occurred_at": 7}):
        with pytest.raises(InvalidEventError) as made:
            Battle(**fields(**wrong))
        with pytest.raises(InvalidEventError) as read:
            parse_battle(fields(**wrong))
        assert str(made.value) == str(read.value)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"prompt": 3}, "wrong_type: field prompt should be a text, or a list of texts"),
        ({"prompt": ["a", 3]}, "wrong_type: field prompt.1 should be a text"),
        ({"model_a": 3}, "wrong_type: field model_a should be a text"),
        *(
            (
                {"id": number},
                f"wrong_type: field id {NO_ID}",
            )
            for number in (42.0, 2**64, True, None)
        ),
        ({"id": "x" * (MAX_ID_CHARS + 1)}, "field_too_large: field id should have at most 1024 characters"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "wrong_type: field occurred_at should have timezone info"),
    ],
)
def test_what_is_wrong_is_told_in_words_for_those_who_write_json(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse_battle(fields(**wrong))
    assert str(caught.value) == told


def test_an_id_too_long_for_a_key_is_refused() -> None:
    assert parse_battle(fields(id="x" * MAX_ID_CHARS)).id == "x" * MAX_ID_CHARS
    assert reason_of(fields(id="x" * (MAX_ID_CHARS + 1))) is Reason.FIELD_TOO_LARGE


@pytest.mark.parametrize("name", ["id", "prompt", "response_a", "response_b"])
def test_a_missing_field_is_named(name: str) -> None:
    given_fields = fields()
    del given_fields[name]
    with pytest.raises(InvalidEventError, match=f"field {name} is missing") as caught:
        parse_battle(given_fields)
    assert caught.value.reason is Reason.MISSING_FIELD


@pytest.mark.parametrize("name", ["model_a", "model_b", "language"])
@pytest.mark.parametrize("value", [1, True, ["x"], {}])
def test_optional_fields_are_text_or_null(name: str, value: object) -> None:
    assert getattr(parse_battle(fields(**{name: None})), name) is None
    assert reason_of(fields(**{name: value})) is Reason.WRONG_TYPE


def test_occurred_at_is_a_moment_with_its_zone() -> None:
    moment = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
    for spelling in ("2026-11-22T10:00:00Z", "2026-11-22T11:00:00+01:00", moment):
        assert parse_battle(fields(occurred_at=spelling)).occurred_at == moment


@pytest.mark.parametrize("value", ["2026-11-22T10:00:00", "yesterday", "", 1_700_000_000, 1.5, True, "1700000000", []])
def test_a_time_that_would_have_to_be_guessed_is_refused(value: object) -> None:
    assert reason_of(fields(occurred_at=value)) is Reason.WRONG_TYPE


def test_unknown_fields_are_ignored() -> None:
    assert parse_battle(fields(winner="model_a", extra={"deep": [1]})) == parse_battle(fields())


# --- text that is no text ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["id", "prompt", "response_a", "response_b", "model_a", "model_b", "language"])
def test_a_lone_surrogate_is_refused_in_every_field(name: str) -> None:
    assert reason_of(fields(**{name: "a\ud800b"})) is Reason.NOT_UTF8


def test_a_lone_surrogate_inside_a_list_in_a_string_is_refused() -> None:
    lists = dict.fromkeys(TURNS, '["x"]') | {"response_a": '["a\\ud800b"]'}
    assert reason_of(fields(**lists)) is Reason.NOT_UTF8


def test_a_pair_of_surrogates_in_escapes_is_one_character() -> None:
    assert parse_battle(fields(**dict.fromkeys(TURNS, '["\\ud83d\\ude00"]'))).prompt == ("😀",)


# --- invariants ----------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(list(Battle.model_fields)), json_values))
def test_any_fields_give_a_battle_or_an_invalid_event(given_fields: dict[str, Any]) -> None:
    try:
        battle = parse_battle(given_fields)
    except InvalidEventError:
        return
    encode_battle(battle)


@given(battles())
def test_swapping_twice_changes_nothing(battle: Battle) -> None:
    assert battle.swap().swap() == battle


@given(battles())
def test_a_swap_exchanges_all_that_belongs_to_a_and_b(battle: Battle) -> None:
    swapped = battle.swap()
    assert (swapped.response_a, swapped.model_a) == (battle.response_b, battle.model_b)
    assert (swapped.response_b, swapped.model_b) == (battle.response_a, battle.model_a)
    assert (swapped.id, swapped.prompt) == (battle.id, battle.prompt)


BAD_EVENTS: dict[str, dict[str, Any]] = {
    "number among turns": fields(prompt=[USER_TEXT, 7]),
    "object as turns": fields(prompt={USER_TEXT: USER_TEXT}),
    "surrogate": fields(prompt=USER_TEXT + "\ud800"),
    "id too long": fields(id=USER_TEXT * 100),
    "id of words": fields(id=[USER_TEXT]),
    "too many turns": fields(prompt=[USER_TEXT] * (MAX_TURNS + 1)),
    "turns differ": fields(prompt=[USER_TEXT, USER_TEXT]),
    "time of words": fields(occurred_at=USER_TEXT),
    "model of words": fields(model_a=[USER_TEXT]),
}


@pytest.mark.parametrize("name", BAD_EVENTS)
def test_an_error_says_nothing_of_what_the_user_wrote(name: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse_battle(BAD_EVENTS[name])
    assert "elephants" not in f"{caught.value} {caught.value.detail} {caught.value!r}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


# --- rows of Kaggle's CSV ------------------------------------------------------------------------------------------


def row(**changes: str | None) -> dict[str, str | None]:
    return {"id": "30192", "prompt": '["hi"]', "response_a": '["yes"]', "response_b": '["no"]'} | changes


def test_a_row_is_read_as_kaggle_writes_it() -> None:
    battle = parse_row(row(model_a="gpt-4", model_b="", winner_tie="1"))
    assert (battle.id, battle.prompt, battle.model_a, battle.model_b) == ("30192", ("hi",), "gpt-4", None)


def test_lone_surrogates_of_a_row_become_replacement_characters() -> None:
    battle = parse_row(
        row(prompt='["a\\ud800b"]', response_a='["\\udc00", null]', response_b='["x", "y"]')
        | {"prompt": '["a\\ud800b", "c"]'}
    )
    assert battle.prompt == ("a\ufffdb", "c")
    assert battle.response_a == ("\ufffd", "")


def test_three_lists_of_different_lengths_in_a_row_are_refused() -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse_row(row(prompt='["a", "b"]'))
    assert caught.value.reason is Reason.TURNS_DIFFER
    assert parse_row(row(prompt='["a", "b"]', response_a="no list")).prompt == ('["a", "b"]',)


def test_a_short_row_misses_fields() -> None:
    with pytest.raises(InvalidEventError) as caught:
        parse_row(row(response_b=None))
    assert caught.value.reason is Reason.MISSING_FIELD


@given(st.dictionaries(st.sampled_from([*Battle.model_fields, "winner_tie"]), st.none() | st.text(max_size=30)))
def test_any_row_gives_a_battle_that_can_be_written_or_an_invalid_event(cells: dict[str, str | None]) -> None:
    try:
        battle = parse_row(cells)
    except InvalidEventError:
        return
    encode_battle(battle)


@given(st.lists(st.text(alphabet=st.characters(categories=["Cs", "Lu"]), max_size=5), min_size=1, max_size=3))
def test_any_surrogates_in_a_rows_turns_can_be_written(turns: list[str]) -> None:
    cell = json.dumps(turns)
    battle = parse_row(row(prompt=cell, response_a=cell, response_b=cell))
    assert len(battle.prompt) == len(turns)
    assert parse_battle(json.loads(encode_battle(battle))) == battle


def test_rows_survive_csv(tmp_path: Path) -> None:
    file = tmp_path / "battles.csv"
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, fieldnames=["id", "prompt", "response_a", "response_b"])
        writer.writeheader()
        writer.writerow(row(prompt=json.dumps(['line\nbreak, "quote"'])))
    with file.open(newline="", encoding="utf-8") as source:
        (read,) = [parse_row(cells) for cells in csv.DictReader(source)]
    assert read.prompt == ('line\nbreak, "quote"',)
