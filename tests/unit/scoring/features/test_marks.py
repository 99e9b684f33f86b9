"""What is noticed of one answer."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.features import marks


@pytest.mark.parametrize(
    ("turns", "share"),
    [
        (["I'm sorry, but I cannot help."], 1.0),
        (["As an AI language model, I have no feelings."], 1.0),
        (["I can’t assist with that."], 1.0),
        (["I can help you with that!"], 0.0),
        (["Sorry seems to be the hardest word."], 0.0),
        (["I am unable to do so.", "Here you are."], 0.5),
        ([""], 0.0),
    ],
)
def test_a_refusal_is_told_from_other_beginnings(turns: list[str], share: float) -> None:
    assert marks.refused(turns) == share


@pytest.mark.parametrize(
    ("text", "unfinished"),
    [("It is so.", 0), ("```\ncode\n```", 0), ("and then the", 1), ("", 0), ("这样。", 0), ("a \n", 1)],
)
def test_an_answer_that_breaks_off_is_known(text: str, unfinished: int) -> None:
    assert marks.unfinished([text]) == unfinished


def test_a_question_at_the_end_is_known() -> None:
    assert marks.asks(["Which one?", "This one?"]) == 1
    assert marks.asks(["Which one?", "This one."]) == 0


def test_letters_are_counted_by_script() -> None:
    assert marks.scripts("abc где ελ 中文 한국 ひら") == {
        "latin": 3, "cyrillic": 3, "greek": 2, "han": 2, "hangul": 2, "kana": 2,
    }  # fmt: skip
    assert marks.scripts("12 + 3 = 15") == {}


@given(st.text(), st.text())
def test_the_distance_of_scripts_is_the_same_both_ways(one: str, other: str) -> None:
    there, back = (marks.script_distance(marks.scripts(a), marks.scripts(b)) for a, b in ((one, other), (other, one)))
    assert there == back
    assert 0 <= there <= 1
    assert marks.script_distance(marks.scripts(one), marks.scripts(one)) == 0


@pytest.mark.parametrize(
    "text", ["i'm very so really " * 50_000, "i " * 500_000, "sorry, but " * 90_000, "é1" * 500_000]
)
def test_no_text_takes_longer_than_its_length(text: str) -> None:
    began = time.process_time()
    marks.refused([text])
    marks.scripts(text)
    marks.numbers(text)
    assert time.process_time() - began < 5
