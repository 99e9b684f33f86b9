"""LMArena's files, as they are published: conversations become prompt and responses, or are refused with a reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Battle, InvalidEventError, parse_battle
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.arena import contract_fields
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.files.labelled import check_labelled_file, read_labelled
from tests.support.samples import json_values

SECRET = "seventeen purple elephants"  # noqa: S105 - stands for a user's text


def said(role: str, content: object) -> dict[str, object]:
    return {"role": role, "content": content}


def conversation(*turns: object) -> list[dict[str, object]]:
    return [said(("user", "assistant")[place % 2], content) for place, content in enumerate(turns)]


def part(text: str) -> dict[str, object]:
    return {"type": "text", "text": text, "image": None, "mimeType": None}


ROW_33K = {
    "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
    "model_a": "chatglm-6b",
    "model_b": "koala-13b",
    "winner": "tie (bothbad)",
    "judge": "arena_user_973",
    "conversation_a": conversation("Name a fruit.", "Fig."),
    "conversation_b": conversation("Name a fruit.", "Stone."),
    "turn": 1,
    "anony": True,
    "language": "English",
    "tstamp": 1682351591.1322,
    "toxic_chat_tag": {"roberta-large": {"flagged": False, "probability": 0.012}},
}
ROW_100K = {
    "question_id": "a9b3",
    "model_a": "one",
    "model_b": "two",
    "winner": "model_b",
    "conversation_a": [{**one, "num_tokens": 3} for one in conversation("Hi", "Hello", "Bye", "")],
    "conversation_b": [{**one, "num_tokens": 3} for one in conversation("Hi", "Hey", "Bye", "Farewell")],
    "turn": 2,
    "language": "English",
    "is_refusal": False,
    "conv_metadata": {"header_count_a": {"h1": 0}},
}
ROW_140K = {
    "id": "d6f1",
    "model_a": "one",
    "model_b": "two",
    "winner": "both_bad",
    "evaluation_session_id": "e",
    "evaluation_order": 1,
    "conversation_a": conversation([part("Which?")], [part("This."), part("That.")]),
    "conversation_b": conversation([part("Which?")], []),
    "full_conversation": [],
    "language": "en",
    "timestamp": "2025-05-01 12:00:00",
}
BATTLES = {
    "33k": (ROW_33K, ("Name a fruit.",), ("Fig.",), ("Stone.",), "tie", True),
    "100k": (ROW_100K, ("Hi", "Bye"), ("Hello", ""), ("Hey", "Farewell"), "model_b", False),
    "140k": (ROW_140K, ("Which?",), ("This.\nThat.",), ("",), "tie", True),
}


def write_json(folder: Path, *rows: object) -> Path:
    path = folder / "arena.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("name", BATTLES)
def test_row_is_read_as_it_is_published(tmp_path: Path, name: str) -> None:
    row, prompt, response_a, response_b, outcome, both_bad = BATTLES[name]
    path = write_json(tmp_path, row)
    check_labelled_file(path)
    [record] = read_labelled(path)
    assert record.battle, record.rejected
    battle_id = str(row.get("id", row.get("question_id")))
    assert record.battle.battle == Battle(
        id=battle_id,
        prompt=prompt,
        response_a=response_a,
        response_b=response_b,
        model_a=str(row["model_a"]),
        model_b=str(row["model_b"]),
        language=str(row["language"]),
    )
    assert (record.battle.label.outcome, record.battle.label.both_bad) == (outcome, both_bad)


def test_csv_with_conversations_in_json_is_read(tmp_path: Path) -> None:
    path = tmp_path / "arena.csv"
    names = ("question_id", "conversation_a", "conversation_b", "winner", "model_a", "language")
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerow([ROW_100K[n] if isinstance(ROW_100K[n], str) else json.dumps(ROW_100K[n]) for n in names])
        writer.writerow(["2", str(ROW_33K["conversation_a"]), json.dumps(ROW_33K["conversation_b"]), "tie", "", ""])
    check_labelled_file(path)
    good, bad = read_labelled(path)
    assert good.battle
    assert good.battle.battle.response_b == ("Hey", "Farewell")
    assert bad.rejected
    assert (bad.rejected.reason, bad.rejected.detail) == (
        "not_json",
        "field conversation_a is not JSON; where it is Python's spelling of a list, save the data as JSONL or Parquet",
    )


def test_csv_with_one_conversation_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "arena.csv"
    path.write_text("question_id,conversation_a,winner\n")
    with pytest.raises(FileError, match="no column conversation_b;"):
        check_labelled_file(path)


@pytest.mark.parametrize(
    ("changes", "reason", "told"),
    [
        ({"conversation_a": []}, "wrong_type", "conversation_a is no list of messages"),
        ({"conversation_b": SECRET}, "not_json", "conversation_b is not JSON"),
        ({"conversation_a": [SECRET]}, "wrong_type", "message 1 is not of the user"),
        ({"conversation_a": [said("system", SECRET)]}, "wrong_type", "message 1 is not of the user"),
        ({"conversation_a": [said("user", SECRET)] * 2}, "wrong_type", "message 2 is not of the assistant"),
        ({"conversation_a": conversation("Name a fruit.", 7)}, "wrong_type", "message 2 has no text"),
        (
            {"conversation_a": conversation("Name a fruit.", [{"type": "image", "image": SECRET}])},
            "wrong_type",
            "message 2 holds more than text",
        ),
        ({"conversation_a": conversation("Name a stone.", SECRET)}, "turns_differ", "differ in what the user says"),
        (
            {name: conversation("Name a fruit.") for name in ("conversation_a", "conversation_b")},
            "turns_differ",
            "conversation_a ends with the user",
        ),
        ({"conversation_b": None}, "wrong_type", "conversation_b is no list of messages"),
    ],
)
def test_conversation_that_is_none_is_refused_alone_and_not_quoted(
    tmp_path: Path, changes: dict[str, Any], reason: str, told: str
) -> None:
    good, bad, last = read_battles(write_json(tmp_path, ROW_33K, ROW_33K | changes, ROW_140K))
    assert good.battle
    assert last.battle
    assert bad.rejected
    assert bad.rejected.reason == reason
    assert told in bad.rejected.detail
    assert SECRET not in bad.rejected.detail


def test_row_in_the_contracts_spelling_is_left_as_it_is() -> None:
    row = {"id": "1", "prompt": "p", "conversation_a": [], "conversation_b": [], "question_id": 7}
    assert contract_fields(row) == row
    assert contract_fields({"question_id": 7})["id"] == 7


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "system", None]),
            "content": st.none() | st.text(max_size=9) | st.lists(json_values, max_size=2),
        },
    )
    | json_values,
    max_size=5,
)


@given(
    st.fixed_dictionaries(
        {"question_id": json_values},
        optional=dict.fromkeys(("conversation_a", "conversation_b"), MESSAGES | json_values),
    )
)
def test_any_row_gives_a_battle_or_its_reason(row: dict[str, Any]) -> None:
    try:
        battle = parse_battle(contract_fields(row))
    except InvalidEventError:
        return
    assert len(battle.prompt) == len(battle.response_a) == len(battle.response_b)


@given(st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9), st.text(max_size=9)), min_size=1, max_size=5))
def test_rounds_come_out_as_they_went_in(rounds: list[tuple[str, str, str]]) -> None:
    one = conversation(*(text for asked, answer, _ in rounds for text in (asked, answer)))
    other = conversation(*(text for asked, _, answer in rounds for text in (asked, answer)))
    battle = parse_battle(contract_fields({"id": 1, "conversation_a": one, "conversation_b": other}))
    assert list(zip(battle.prompt, battle.response_a, battle.response_b, strict=True)) == rounds
