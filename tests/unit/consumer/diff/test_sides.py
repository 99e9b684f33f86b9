"""What a side is, by how it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from prefstream.consumer.diff.sides import FileSide, PanelSide, name_of, parse_side
from prefstream.consumer.errors import UsageError
from prefstream.consumer.rescore.span import TopicSpan


def test_a_panel_a_range_and_a_file_are_told_apart(tmp_path: Path) -> None:
    answers = tmp_path / "preferences@earliest..latest"
    answers.touch()
    assert parse_side("demo") == PanelSide(Path("demo"))
    assert parse_side("new.YAML") == PanelSide(Path("new.YAML"))
    assert parse_side("preferences@earliest..latest") == TopicSpan.parse("preferences@earliest..latest")
    assert parse_side(str(answers)) == FileSide(answers)
    assert name_of(parse_side("preferences@0:5..latest")) == "preferences@0:5..latest"


@pytest.mark.parametrize("text", ["nowhere.jsonl", "preferences"])
def test_what_is_neither_is_refused_with_what_could_be_meant(text: str) -> None:
    with pytest.raises(UsageError, match=r"no such file; give a file of answers, a panel file \(.yaml\), or a range"):
        parse_side(text)


def test_a_range_that_is_none_says_how_one_is_written() -> None:
    with pytest.raises(UsageError, match=r"is no range; write TOPIC@FROM\.\.TO"):
        parse_side("preferences@yesterday")
