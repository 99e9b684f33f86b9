"""Reading what people said about battles: every row comes back once, with a label that adds up or with its fault."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import OUTCOMES, Battle, Outcome
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.labelled import (
    BAD_LABEL,
    MAX_NAME_CHARS,
    WINNER_COLUMNS,
    Label,
    LabelledBattle,
    check_labelled_file,
    prompt_key,
    read_labelled,
)
from prefstream.scoring.files.rows import FileRecord, RejectedRow
from prefstream.scoring.files.winner import BOTH_BAD, SPELLINGS, SPELLINGS_HELP

BATTLE = {"id": "1", "prompt": "p", "response_a": "x", "response_b": "y"}
SECRET = "what somebody wrote"  # noqa: S105 - stands for a user's text


def write(folder: Path, content: bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def read_json(folder: Path, *rows: dict[str, Any]) -> list[FileRecord[LabelledBattle]]:
    content = b"".join(json.dumps({**BATTLE, **row}).encode() + b"\n" for row in rows)
    return list(read_labelled(write(folder, content, "labelled.jsonl")))


def read_cells(folder: Path, *rows: dict[str, object]) -> list[FileRecord[LabelledBattle]]:
    """Rows of CSV; the columns are those of the first."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*{**BATTLE, **rows[0]}], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**BATTLE, **row} for row in rows)
    return list(read_labelled(write(folder, text.getvalue().encode(), "labelled.csv")))


def label_of(record: FileRecord[LabelledBattle]) -> Label:
    assert record.battle, record.rejected
    return record.battle.label


def rejected_of(record: FileRecord[LabelledBattle]) -> RejectedRow:
    assert record.rejected
    return record.rejected


def marked(outcome: Outcome, one: object = 1, zero: object = 0) -> dict[str, object]:
    return {column: one if column == f"winner_{outcome}" else zero for column in WINNER_COLUMNS}


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_kaggle_columns_name_the_outcome(tmp_path: Path, outcome: Outcome) -> None:
    records = read_cells(tmp_path, marked(outcome), marked(outcome, one="1.0", zero="0.0"))
    records += read_json(tmp_path, marked(outcome), marked(outcome, one=1.0, zero=0.0))
    target = tuple(float(name == outcome) for name in OUTCOMES)
    assert [label_of(record) for record in records] == [Label(outcome, target)] * 4  # type: ignore[arg-type]


def test_row_of_csv_with_all_columns(tmp_path: Path) -> None:
    [record] = read_cells(
        tmp_path,
        {**marked("model_b"), "weight": "0.5", "ties_possible": "False", "source": "s", "tier": "t", "language": "de"},
    )
    battle = Battle(id="1", prompt=("p",), response_a=("x",), response_b=("y",), language="de")
    label = Label("model_b", (0.0, 1.0, 0.0), weight=0.5, ties_possible=False)
    assert record.battle == LabelledBattle(battle, label, line=2, source="s", tier="t")


def test_empty_cells_of_optional_columns_are_not_known(tmp_path: Path) -> None:
    [record] = read_cells(
        tmp_path, {**marked("tie"), "weight": "", "ties_possible": "", "source": "", "tier": "", "model_a": ""}
    )
    assert record.battle
    assert record.battle.label == Label("tie", (0.0, 0.0, 1.0))
    assert (record.battle.source, record.battle.tier, record.battle.battle.model_a) == (None, None, None)


def test_nulls_of_optional_fields_are_not_known(tmp_path: Path) -> None:
    nulls = dict.fromkeys(("votes", "weight", "ties_possible", "source", "tier", *WINNER_COLUMNS))
    [record] = read_json(tmp_path, {"winner": "tie", **nulls})
    assert label_of(record) == Label("tie", (0.0, 0.0, 1.0))


def test_second_kind_of_tie_is_a_tie(tmp_path: Path) -> None:
    [record] = read_json(tmp_path, {"winner": "tie (bothbad)"})
    assert label_of(record).outcome == "tie"


@pytest.mark.parametrize(
    ("spelled", "outcome", "both_bad"),
    [
        ("model_a", "model_a", False),
        ("A", "model_a", False),
        ("b", "model_b", False),
        ("Model_B", "model_b", False),
        ("C", "tie", False),
        (" tie ", "tie", False),
        ("tie (bothbad)", "tie", True),
        ("bothbad", "tie", True),
        ("both_bad", "tie", True),
    ],
)
def test_winner_is_read_as_people_write_it(tmp_path: Path, spelled: str, outcome: Outcome, both_bad: bool) -> None:
    """In both formats; that both answers were bad is kept."""
    for [record] in (read_json(tmp_path, {"winner": spelled}), read_cells(tmp_path, {"winner": spelled})):
        assert (label_of(record).outcome, label_of(record).both_bad) == (outcome, both_bad)


def test_every_spelling_stands_in_the_table_for_people() -> None:
    listed = {name.strip() for names in SPELLINGS_HELP.lower().split(";") for name in names.split(":")[1].split(",")}
    assert listed == set(SPELLINGS)
    assert set(SPELLINGS) >= BOTH_BAD


def test_row_of_the_wsdm_cup_is_plain_text_with_a_winner(tmp_path: Path) -> None:
    [record] = read_cells(
        tmp_path, {"id": "9f", "prompt": "[hi]", "model_a": "m", "winner": "model_b", "language": "Danish"}
    )
    assert record.battle
    assert record.battle.battle.prompt == ("[hi]",)
    assert record.battle.label == Label("model_b", (0.0, 1.0, 0.0))


def test_line_is_where_the_row_starts(tmp_path: Path) -> None:
    records = read_cells(tmp_path, {**marked("tie"), "prompt": "one\ntwo"}, marked("tie"))
    assert [record.battle.line for record in records if record.battle] == [2, 4]


@pytest.mark.parametrize(
    ("row", "label"),
    [
        ({"votes": {"model_a": 3, "model_b": 1}}, Label("model_a", (0.75, 0.25, 0.0))),
        ({"votes": {"model_a": 2, "model_b": 1, "tie": 1}}, Label("model_a", (0.5, 0.25, 0.25))),
        ({"votes": {"model_a": 1, "model_b": 1}}, Label("tie", (0.5, 0.5, 0.0))),
        ({"votes": {"model_b": 1, "tie": 1}, "winner": "model_b"}, Label("model_b", (0.0, 0.5, 0.5))),
        ({"votes": {"model_a": 1, "tie": 0}, "ties_possible": False}, Label("model_a", (1.0, 0.0, 0.0), 1.0, False)),
        ({"votes": {"model_a": 2, "model_b": 2, "tie": 1}, "winner": "tie"}, Label("tie", (0.4, 0.4, 0.2))),
    ],
)
def test_votes_are_shared_out_and_the_most_win(tmp_path: Path, row: dict[str, Any], label: Label) -> None:
    [record] = read_json(tmp_path, row)
    votes = tuple(row["votes"].get(outcome, 0) for outcome in OUTCOMES)
    assert label_of(record) == replace(label, votes=votes)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({}, "no label: give winner"),
        (
            {"winner": SECRET * 40},
            "none of those that are known (model_a: model_a, A; model_b: model_b, B; tie: tie, C, tie (bothbad), ",
        ),
        ({"winner": f'["{SECRET}"]'}, "winner is a text of"),
        ({"winner": f"{SECRET} one"}, "winner is a text of"),
        ({"winner": [SECRET]}, "winner is of the type list, none of"),
        ({"winner": 3}, "winner is 3, none of"),
        ({"winner": "model_c"}, "winner is 'model_c', none of"),
        ({"winner": "model_a", **marked("model_b")}, "contradict"),
        ({**marked("model_a"), "winner_tie": 1}, "exactly one must be 1"),
        ({**marked("model_a"), "winner_model_a": 0}, "exactly one must be 1"),
        ({**marked("model_a"), "winner_tie": None}, "exactly one must be 1"),
        (marked("model_a", one=True, zero=False), "exactly one must be 1"),
        (marked("model_a", one="1", zero="0"), "exactly one must be 1"),
        (marked("model_a", one=0.7, zero=0.15), "exactly one must be 1"),
        ({"votes": {}}, "at least one of them above 0"),
        ({"votes": {"model_a": 0}}, "at least one of them above 0"),
        ({"votes": {"model_a": -1, "tie": 2}}, "from 0 up"),
        ({"votes": {"model_a": True}}, "from 0 up"),
        ({"votes": {"model_a": None}}, "from 0 up"),
        ({"votes": {"model_a": 1e308, "model_b": 1e308}}, "from 0 up"),
        ({"votes": {"model_a": 1, SECRET: 1}}, "no other keys"),
        ({"votes": [1, 0, 0]}, "votes must be an object"),
        ({"votes": {"model_a": 2, "model_b": 1}, "winner": "model_b"}, "fewer votes"),
        ({"winner": "tie", "ties_possible": False}, "although ties_possible is false"),
        ({"votes": {"model_a": 2, "tie": 1}, "ties_possible": False}, "although ties_possible is false"),
        ({"votes": {"model_a": 1, "model_b": 1}, "ties_possible": False}, "although ties_possible is false"),
        ({"winner": "tie", "ties_possible": 0}, "ties_possible must be true or false"),
        ({"winner": "tie", "weight": -0.1}, "weight must be"),
        ({"winner": "tie", "weight": "1"}, "weight must be"),
        ({"winner": "tie", "weight": True}, "weight must be"),
        ({"winner": "tie", "source": 3}, "source must be a name"),
        ({"winner": "tie", "tier": SECRET * MAX_NAME_CHARS}, "tier must be a name"),
    ],
)
def test_bad_label_is_rejected_alone_and_not_quoted(tmp_path: Path, row: dict[str, Any], told: str) -> None:
    before, record, behind = read_json(tmp_path, {"winner": "tie"}, row, {"winner": "model_a"})
    assert before.battle
    assert behind.battle
    assert rejected_of(record).reason == BAD_LABEL
    assert told in rejected_of(record).detail
    assert SECRET not in rejected_of(record).detail


@pytest.mark.parametrize(
    ("cells", "told"),
    [
        (marked("tie", one=SECRET), "exactly one must be 1"),
        (marked("tie", one="true", zero="false"), "exactly one must be 1"),
        (marked("tie", zero=""), "exactly one must be 1"),
        (marked("tie", one="nan"), "exactly one must be 1"),
        (dict.fromkeys(WINNER_COLUMNS, ""), "no label"),
        ({**marked("tie"), "weight": "inf"}, "weight must be"),
        ({**marked("tie"), "weight": SECRET}, "weight must be"),
        ({**marked("tie"), "ties_possible": SECRET}, "ties_possible must be"),
        ({**marked("tie"), "ties_possible": "0"}, "although ties_possible is false"),
    ],
)
def test_bad_label_in_csv_is_rejected_and_not_quoted(tmp_path: Path, cells: dict[str, object], told: str) -> None:
    [record] = read_cells(tmp_path, cells)
    assert rejected_of(record).reason == BAD_LABEL
    assert told in rejected_of(record).detail
    assert SECRET not in rejected_of(record).detail


def test_battle_that_can_not_be_read_keeps_its_own_reason(tmp_path: Path) -> None:
    [record] = read_json(tmp_path, {"prompt": ["one", "two"], "winner": "tie"})
    assert rejected_of(record).reason == "turns_differ"
    lists = {"prompt": '["p"]', "response_a": '["x", "y"]', "response_b": '["z"]'}
    [record] = read_cells(tmp_path, {**marked("tie"), **lists})
    assert rejected_of(record).reason == "turns_differ"


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"id,prompt,response_a,response_b\n", "no column winner_model_a, winner_model_b, winner_tie; the first line"),
        (b"id,prompt,response_a,response_b,winner_model_a,winner_model_b\n", "no column winner_tie;"),
        (b"id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie,winner_tie\n", "column winner_tie"),
        (b"id,prompt,response_a,response_b,winner_model_a,winner_model_b,winner_tie,tier,tier\n", "column tier"),
    ],
)
def test_csv_without_the_columns_of_a_label_is_refused_as_a_whole(tmp_path: Path, header: bytes, told: str) -> None:
    path = write(tmp_path, header, "labelled.csv")
    for attempt in (check_labelled_file, lambda path: next(read_labelled(path))):
        with pytest.raises(FileError, match=told) as caught:
            attempt(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["labelled.csv", "labelled.jsonl"])
def test_file_that_can_be_read_passes_the_check(tmp_path: Path, name: str) -> None:
    header = ",".join([*BATTLE, *WINNER_COLUMNS]).encode()
    check_labelled_file(write(tmp_path, header, name))
    with pytest.raises(FileError, match="No such file"):
        check_labelled_file(tmp_path / f"absent-{name}")


COUNTS = st.none() | st.integers(0, 2**63) | st.floats(0, 1e100)
WINNERS = st.sampled_from([None, *OUTCOMES])
VOTES = st.none() | st.dictionaries(st.sampled_from(OUTCOMES), COUNTS)


@given(winner=WINNERS, votes=VOTES, weight=st.none() | st.floats(-1, 5), ties_possible=st.none() | st.booleans())
def test_label_adds_up_whatever_it_is_made_of(
    tmp_path_factory: pytest.TempPathFactory,
    winner: Outcome | None,
    votes: dict[Outcome, float | None] | None,
    weight: float | None,
    ties_possible: bool | None,
) -> None:
    """The target is a distribution, the outcome its greatest part or a tie, and no tie stands where none can be."""
    [record] = read_json(
        tmp_path_factory.mktemp("label"),
        {"winner": winner, "votes": votes, "weight": weight, "ties_possible": ties_possible},
    )
    if record.rejected:
        assert record.rejected.reason == BAD_LABEL
        return
    label = label_of(record)
    assert math.isclose(sum(label.target), 1, abs_tol=1e-12)
    assert min(label.target) >= 0
    assert label.outcome == "tie" or label.target[OUTCOMES.index(label.outcome)] == max(label.target)
    assert label.ties_possible or (label.outcome != "tie" and label.target[2] == 0)
    assert label.weight >= 0
    assert winner in (None, label.outcome)


SMALL_ROWS = st.lists(st.sampled_from([*OUTCOMES, SECRET, None]), max_size=8)


@given(winners=SMALL_ROWS)
def test_every_row_comes_back_once_in_order(
    tmp_path_factory: pytest.TempPathFactory, winners: list[str | None]
) -> None:
    records = read_json(tmp_path_factory.mktemp("rows"), *({"winner": winner} for winner in winners))
    assert [record.line for record in records] == list(range(1, len(winners) + 1))
    assert [record.battle.label.outcome if record.battle else None for record in records] == [
        winner if winner in OUTCOMES else None for winner in winners
    ]


def test_prompt_key_tells_prompts_apart_and_nothing_else() -> None:
    def key(prompt: tuple[str, ...], answer: str = "x") -> bytes:
        answers = (answer,) * len(prompt)
        return prompt_key(Battle(id=answer, prompt=prompt, response_a=answers, response_b=answers))

    assert key(("p",)) == key(("p",), "other")
    assert len({key(("p",)), key(("q",)), key(("p", "")), key(("p", "q")), key(("pq",))}) == 5
    assert key(("é", "p")) == hashlib.sha256('["é","p"]'.encode()).hexdigest()[:32].encode()
