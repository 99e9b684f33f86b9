"""`prefstream diff` on files and panels: what is asked for is compared, and what makes no sense is refused early."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from prefstream.consumer.cli import app
from prefstream.consumer.errors import UsageError
from prefstream.schemas import encode_preference
from prefstream.scoring.comparison.results import AnswersDiff
from prefstream.scoring.errors import FileError
from tests.support.answers import make_preference
from tests.support.html_page import assert_alone
from tests.support.judged import make_probabilities
from tests.support.priors import prior_entry

BATTLES = 30
FAST = ("--bootstrap", "20")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Battles, the first half of them judged, and a row that is none."""
    path = tmp_path / "battles.jsonl"
    made = [
        {
            "id": f"battle-{number}",
            "prompt": [f"zqprompt {number}"],
            "response_a": ["zqanswera"],
            "response_b": ["zqanswerb"],
            "language": "en",
            **({"winner": "tie"} if number < BATTLES // 2 else {}),
        }
        for number in range(BATTLES)
    ]
    path.write_text("\n".join(map(json.dumps, made)) + '\n{"id": "no battle"}\n')
    return path


def write_panel(path: Path, answer: Sequence[float]) -> Path:
    a, b, tie = answer
    path.write_text(json.dumps({"judges": [prior_entry("prior", (a, b, tie))]}))
    return path


def write_answers(path: Path, seed: int) -> Path:
    answers = (make_preference(number, row) for number, row in enumerate(make_probabilities(BATTLES, seed=seed)))
    path.write_bytes(b"".join(encode_preference(one) + b"\n" for one in answers))
    return path


def diff(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["diff", *map(str, arguments), *FAST], catch_exceptions=False)


def read(path: Path) -> AnswersDiff:
    return AnswersDiff.model_validate_json(path.read_bytes())


def test_two_panels_answer_the_rows_and_labels_say_which_is_better(rows: Path, tmp_path: Path) -> None:
    left = write_panel(tmp_path / "left.yaml", (0.4, 0.4, 0.2))
    right = write_panel(tmp_path / "right.yaml", (0.2, 0.2, 0.6))
    result = diff(left, right, "--battles", rows, "--json", tmp_path / "d.json", "--html", tmp_path / "d.html")
    assert result.exit_code == 3, result.output  # the row that is no battle
    assert result.output.count("battles.jsonl:31:") == 1  # both panels read it
    found = read(tmp_path / "d.json")
    assert found.join.joined == found.change.battles == BATTLES
    assert found.change.verdicts == ((0, 0, BATTLES), (0, 0, 0), (0, 0, 0))
    assert found.change.shift.tie.value == pytest.approx(0.4)
    assert found.voted is not None
    assert found.voted.votes == BATTLES // 2
    assert "too few" in result.output
    assert_alone((tmp_path / "d.html").read_text())
    assert "zqprompt" not in result.output + (tmp_path / "d.html").read_text() + (tmp_path / "d.json").read_text()


def test_what_score_wrote_is_what_the_panel_says_now(rows: Path, tmp_path: Path) -> None:
    panel = write_panel(tmp_path / "panel.yaml", (0.4, 0.4, 0.2))
    scored = CliRunner().invoke(app, ["score", str(rows), "-o", str(tmp_path / "a.jsonl"), "--panel", str(panel)])
    assert scored.exit_code == 3, scored.output
    result = diff(tmp_path / "a.jsonl", panel, "--battles", rows)
    assert "Both sides say the same of every battle, to the bit." in result.output
    assert "one panel answered on both sides, by its hash" in result.output


def test_two_files_need_no_battles_and_votes_come_from_a_file(tmp_path: Path) -> None:
    left, right = write_answers(tmp_path / "left.jsonl", 0), write_answers(tmp_path / "right.jsonl", 1)
    votes = tmp_path / "votes.jsonl"
    cast = [
        {"id": "battle-1", "winner": "tie", "voter": "v"},
        {"id": "battle-1", "winner": "model_a", "voter": "v"},
        {"id": "battle-2", "winner": "both_bad"},
        {"id": "elsewhere", "winner": "tie"},
    ]
    votes.write_text("\n".join(map(json.dumps, cast)))
    result = diff(left, right, "--votes", votes, "--json", tmp_path / "d.json", "--most", 3)
    assert result.exit_code == 0, result.output
    found = read(tmp_path / "d.json")
    assert found.voted is not None
    assert (found.voted.votes, found.voted.battles) == (2, 2)  # a later one of the same voter takes the earlier's place
    assert len(found.most_changed) == 3
    assert found.join.by == "source"


def test_a_submission_is_joined_by_id(tmp_path: Path) -> None:
    left = write_answers(tmp_path / "left.jsonl", 0)
    right = tmp_path / "right.csv"
    right.write_text("id,winner_model_a,winner_model_b,winner_tie\nbattle-3,.2,.3,.5\nelsewhere,.2,.3,.5\nbad,x,y,z\n")
    result = diff(left, right, "--json", tmp_path / "d.json")
    assert result.exit_code == 3
    found = read(tmp_path / "d.json")
    assert (found.join.by, found.join.joined, found.join.only_right, found.right.rejected) == ("id", 1, 1, 1)


def test_a_panel_without_battles_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    panel = write_panel(tmp_path / "panel.yaml", (0.4, 0.4, 0.2))
    with pytest.raises(UsageError, match="is a panel, which needs battles to answer: name a file by --battles"):
        diff(write_answers(tmp_path / "left.jsonl", 0), panel)


def test_an_output_that_would_overwrite_a_side_is_refused(tmp_path: Path) -> None:
    left, right = write_answers(tmp_path / "left.jsonl", 0), write_answers(tmp_path / "right.jsonl", 1)
    with pytest.raises(UsageError, match="would overwrite"):
        diff(left, right, "--json", right, "--force")
    assert right.stat().st_size > 0


def test_files_about_other_battles_are_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("id,winner_model_a,winner_model_b,winner_tie\nelsewhere,.2,.3,.5\n")
    with pytest.raises(FileError, match="have no battle in common, by id"):
        diff(write_answers(tmp_path / "left.jsonl", 0), other)


def test_votes_spelled_as_a_file_that_is_not_there_are_looked_for_on_no_broker(tmp_path: Path) -> None:
    left, right = write_answers(tmp_path / "left.jsonl", 0), write_answers(tmp_path / "right.jsonl", 1)
    for votes in ("voets.csv", "votes.jsonl.gz", "folder/votes"):
        with pytest.raises(UsageError, match=f"--votes {votes}: no such file"):
            diff(left, right, "--votes", votes)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give LEFT and RIGHT"),
        (("left.jsonl",), "give LEFT and RIGHT"),
        (("--replay", "preferences@earliest..latest"), "name a panel file by --panel"),
        (("left.jsonl", "--replay", "p@earliest..latest", "--panel", "demo"), "LEFT: no effect with --replay"),
        (("--replay", "p@earliest..latest", "--panel", "demo", "--by", "id"), "--by: no effect with --replay"),
        (("left.jsonl", "right.jsonl", "--panel", "demo"), "--panel: no effect without --replay"),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_give(arguments: Sequence[str], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        diff(*arguments)
