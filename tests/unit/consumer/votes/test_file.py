"""Votes from files: with battles beside them or without, in every spelling that labels have."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from prefstream.consumer.votes.file import FileVote, check_votes_file, read_votes
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.labelled import read_labelled
from prefstream.scoring.files.rows import RejectedRow

BATTLE = {"id": "1", "prompt": "Hi", "response_a": "**Hello**", "response_b": "Go", "model_a": "x", "model_b": "y"}


def votes_of(tmp_path: Path, name: str, text: str) -> list[FileVote | RejectedRow]:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    check_votes_file(path)
    return [record.content for record in read_votes(path)]


def test_a_vote_may_stand_alone(tmp_path: Path) -> None:
    """As the votes topic has it."""
    row = {"id": 7, "winner": "both_bad", "voter": "u", "occurred_at": "2026-01-02T03:04:05Z"}
    [vote] = votes_of(tmp_path, "votes.jsonl", json.dumps(row))
    assert isinstance(vote, FileVote)
    assert (vote.vote.id, vote.vote.winner, vote.vote.voter) == ("7", "both_bad", "u")
    assert vote.vote.occurred_at is not None
    assert vote.battle is None


def test_a_labelled_row_tells_the_battle_too(tmp_path: Path) -> None:
    [vote] = votes_of(tmp_path, "votes.jsonl.gz", json.dumps({**BATTLE, "winner": "A", "language": "en"}))
    assert isinstance(vote, FileVote)
    assert vote.vote.winner == "model_a"
    assert vote.battle is not None
    assert (vote.model_a, vote.model_b, vote.language) == ("x", "y", "en")


def test_csv_needs_no_texts(tmp_path: Path) -> None:
    text = "id,model_a,model_b,winner\n1,x,y,tie (bothbad)\n2,,y,B\n3,x,y,who\n"
    first, second, third = votes_of(tmp_path, "votes.csv", text)
    assert isinstance(first, FileVote)
    assert (first.vote.winner, first.model_a, first.model_b, first.battle) == ("both_bad", "x", "y", None)
    assert isinstance(second, FileVote)
    assert second.model_a is None
    assert isinstance(third, RejectedRow)
    assert third.reason == "bad_label"


def test_kaggles_columns_and_counts_of_votes_are_verdicts(tmp_path: Path) -> None:
    [kaggle] = votes_of(tmp_path, "a.csv", "id,winner_model_a,winner_model_b,winner_tie\n1,0,1,0\n")
    [counted] = votes_of(tmp_path, "b.jsonl", json.dumps({"id": "1", "votes": {"model_a": 2, "model_b": 2}}))
    assert isinstance(kaggle, FileVote)
    assert isinstance(counted, FileVote)
    assert (kaggle.vote.winner, counted.vote.winner) == ("model_b", "tie")


def test_conversations_of_lmarena_are_read(tmp_path: Path) -> None:
    asked = {"role": "user", "content": "Hi"}
    row = {
        "question_id": "q",
        "winner": "model_b",
        "conversation_a": [asked, {"role": "assistant", "content": "a"}],
        "conversation_b": [asked, {"role": "assistant", "content": "b"}],
    }
    [vote] = votes_of(tmp_path, "a.jsonl", json.dumps(row))
    assert isinstance(vote, FileVote)
    assert vote.vote.id == "q"
    assert vote.battle is not None


def test_a_labelled_file_says_the_same_in_both_readings(tmp_path: Path) -> None:
    rows = [{**BATTLE, "id": str(number), "winner": said} for number, said in enumerate(["A", "B", "C", "bothbad"])]
    path = tmp_path / "labelled.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    labelled = [record.content for record in read_labelled(path)]
    votes = [record.content for record in read_votes(path)]
    assert not any(isinstance(one, RejectedRow) for one in (*labelled, *votes))
    assert [one.label.outcome for one in labelled] == [one.vote.outcome for one in votes]  # type: ignore[union-attr]
    assert [one.battle for one in labelled] == [one.battle for one in votes]  # type: ignore[union-attr]


def test_what_is_wrong_is_said_without_the_rows_text(tmp_path: Path) -> None:
    secret = "what a user wrote"  # noqa: S105 - no password
    rows: list[dict[str, object]] = [
        {"id": [secret], "winner": "A"},
        {"id": "1", "winner": "A", "voter": ""},
        {**BATTLE, "response_a": 3},
    ]
    for row in rows:
        [vote] = votes_of(tmp_path, "a.jsonl", json.dumps({"winner": "A", **row}))
        assert isinstance(vote, RejectedRow)
        assert secret not in str(vote)


def test_a_file_without_verdicts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,prompt,response_a,response_b\n1,a,b,c\n")
    with pytest.raises(FileError, match="winner"):
        check_votes_file(path)
