"""Frames of battles: scored as lists of battles are, of the kind that they came as, one bad row at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from prefstream.schemas import Battle
from prefstream.scoring.errors import MisuseError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import Panel
from tests.support.hash_judge import TOO_LARGE, HashJudge

pl: Any = pytest.importorskip("polars")

ROWS: dict[str, Any] = {
    "question": [7, 8, 9],
    "prompt": ["2 + 2?", "3 + 3?", "4 + 4?"],
    "response_a": ["4", "6", "8"],
    "response_b": ["5", "7", "9"],
    "winner": ["model_a", None, "tie"],
}
MADE = ["probability_model_a", "probability_model_b", "probability_tie", "preferred", "disagreement", "error"]

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.table}


@pytest.fixture
def panel() -> Iterator[Panel]:
    with Panel([HashJudge()]) as panel:
        yield panel


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """Rows as Python has them, None for each kind of nothing."""
    if isinstance(frame, pd.DataFrame):
        return [
            {name: None if pd.isna(value) is True else value for name, value in row.items()}
            for row in frame.to_dict("records")
        ]
    rows: list[dict[str, Any]] = frame.to_dicts() if isinstance(frame, pl.DataFrame) else frame.to_pylist()
    return rows


@pytest.mark.parametrize("kind", FRAMES)
def test_a_frame_comes_back_with_what_the_panel_says_of_its_battles(kind: str, panel: Panel) -> None:
    given = FRAMES[kind](ROWS)
    scored = panel.score_frame(given)
    assert type(scored) is type(given)
    texts = zip(ROWS["prompt"], ROWS["response_a"], ROWS["response_b"], strict=True)
    battles = [
        Battle(id=str(number), prompt=prompt, response_a=response_a, response_b=response_b)
        for number, (prompt, response_a, response_b) in enumerate(texts)
    ]
    for row, before, answer in zip(rows_of(scored), rows_of(given), panel.score(battles), strict=True):
        assert isinstance(answer, PanelAnswer)
        assert {name: row[name] for name in before} == before
        assert [row[name] for name in MADE] == [
            *answer.probabilities.model_dump().values(),
            answer.preferred,
            answer.disagreement,
            None,
        ]


@pytest.mark.parametrize("kind", FRAMES)
def test_turns_may_be_lists_or_lists_in_strings(kind: str, panel: Panel) -> None:
    turns = {"prompt": ["a", "b"], "response_a": ["c", None], "response_b": ["d", "e"]}
    as_lists = FRAMES[kind]({name: [value] for name, value in turns.items()})
    as_strings = FRAMES[kind]({name: [json.dumps(value)] for name, value in turns.items()})
    first, second = (rows_of(panel.score_frame(frame))[0] for frame in (as_lists, as_strings))
    assert first["error"] is None
    assert [first[name] for name in MADE] == [second[name] for name in MADE]


@pytest.mark.parametrize("kind", FRAMES)
def test_a_row_that_is_no_battle_says_so_and_costs_no_other_row_its_answer(kind: str, panel: Panel) -> None:
    scored = rows_of(panel.score_frame(FRAMES[kind](ROWS | {"response_b": ["5", None, "9"]})))
    assert [row["error"] for row in scored] == [None, "missing_field: field response_b is missing", None]
    assert [row["preferred"] is None for row in scored] == [False, True, False]
    assert [row["probability_tie"] is None for row in scored] == [False, True, False]


def test_the_texts_of_kaggles_csv_are_read_as_the_file_is(panel: Panel) -> None:
    """With the lone surrogates of its escapes."""
    frame = pd.DataFrame({"prompt": ['["\\ud83d"]'], "response_a": ['["x"]'], "response_b": ['["y"]']})
    assert rows_of(panel.score_frame(frame))[0]["error"] is None


def test_cells_that_begin_like_lists_of_turns_and_are_none_are_warned_of_once(panel: Panel) -> None:
    frame = pd.DataFrame(ROWS | {"prompt": ["p", "['a']", "['b']"]})
    with pytest.warns(UserWarning, match="2 rows, the first is number 1: prompt: read as text") as caught:
        panel.score_frame(frame)
    assert len(caught) == 1


@pytest.mark.parametrize("kind", FRAMES)
def test_conversations_of_lmarena_are_read_as_in_a_file(kind: str, panel: Panel) -> None:
    def said(answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": answer}]

    conversations = {"conversation_a": [said("4")], "conversation_b": [said("5")]}
    plain = FRAMES[kind]({name: ROWS[name][:1] for name in ("prompt", "response_a", "response_b")})
    first, second = (rows_of(panel.score_frame(frame))[0] for frame in (FRAMES[kind](conversations), plain))
    assert first["error"] is None
    assert [first[name] for name in MADE] == [second[name] for name in MADE]


@pytest.mark.parametrize("kind", FRAMES)
def test_a_panel_with_recusal_reads_who_answered_and_says_who_is_recused(kind: str) -> None:
    names = {"model_a": ["own-1", None, "other"], "model_b": ["other", "OWN-2", "other"]}
    with Panel([HashJudge()], recuse={"hash": ["own-*"]}) as panel:
        scored = rows_of(panel.score_frame(FRAMES[kind](ROWS | names)))
        nameless = rows_of(panel.score_frame(FRAMES[kind](ROWS)))
    assert [row["recused"] for row in scored] == ["hash", "hash", None]
    assert [row["error"] for row in scored] == [None] * 3
    assert [row["recused"] for row in nameless] == [None] * 3


def test_a_panel_without_recusal_does_not_mind_who_answered(panel: Panel) -> None:
    """Columns of these names may hold anything in a frame of somebody."""
    scored = panel.score_frame(pd.DataFrame(ROWS | {"model_a": [1, 2, 3]}))
    assert [row["error"] for row in rows_of(scored)] == [None] * 3
    assert list(scored.columns) == [*ROWS, "model_a", *MADE]


@pytest.mark.parametrize("kind", FRAMES)
def test_a_panel_with_a_length_slope_answers_a_second_time_without_it(kind: str) -> None:
    rows = ROWS | {"response_a": ["four", "6", None]}
    with Panel([HashJudge()], length_slope=0.5) as panel:
        long, equal, none = rows_of(panel.score_frame(FRAMES[kind](rows)))
    assert long["adjusted_model_a"] < long["probability_model_a"]
    assert long["adjusted_model_b"] > long["probability_model_b"]
    assert long["adjusted_tie"] == long["probability_tie"]
    assert equal["adjusted_model_a"] == equal["probability_model_a"]
    assert none["adjusted_model_a"] is None


def test_an_index_stays_and_scoring_anew_replaces_what_was_scored(panel: Panel) -> None:
    frame = pd.DataFrame(ROWS, index=[5, 5, 4])
    once = panel.score_frame(frame)
    assert list(once.index) == [5, 5, 4]
    assert panel.score_frame(once).equals(once)
    assert list(frame.columns) == list(ROWS)


def test_a_frame_without_rows_gets_its_columns(panel: Panel) -> None:
    scored = panel.score_frame(pl.DataFrame({name: [] for name in ("prompt", "response_a", "response_b")}))
    assert scored.columns[3:] == MADE


def test_a_battle_too_large_for_a_judge_says_so(panel: Panel) -> None:
    scored = rows_of(panel.score_frame(pd.DataFrame(ROWS | {"prompt": ["2 + 2?", TOO_LARGE, "4 + 4?"]})))
    assert [row["error"] for row in scored] == [None, "does not fit on the device", None]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"prompt": ["a"], "answer": ["b"]}), "has no column response_a, response_b"),
        (pd.DataFrame([["a", "b"]], columns=["prompt", "prompt"]), "several columns of the frame have one name"),
        (pl.DataFrame(ROWS).lazy(), "not polars.*LazyFrame; collect a lazy frame first"),
        ([{"prompt": "a"}], "not builtins.list"),
    ],
)
def test_what_is_no_frame_of_battles_is_refused_in_words_of_ours(panel: Panel, frame: Any, message: str) -> None:
    with pytest.raises(MisuseError, match=message):
        panel.score_frame(frame)
