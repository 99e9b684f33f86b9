"""The page of a comparison: it needs nothing beside it, takes any name, and says what was found."""

from __future__ import annotations

import warnings

import pytest

from prefstream.scoring.comparison.diff import diff_answers
from prefstream.scoring.comparison.report import render_diff
from prefstream.scoring.comparison.results import AnswersDiff
from tests.support.answers import make_preference, make_table, table_of
from tests.support.html_page import Page, assert_alone
from tests.support.judged import make_probabilities


@pytest.fixture(scope="module")
def found() -> AnswersDiff:
    left = make_table(make_probabilities(120), "<left> & more.jsonl")
    right = make_table(make_probabilities(120, seed=1), "right.yaml", panel="2" * 64)
    votes = {f"battle-{number}": ["tie"] for number in range(0, 120, 2)}
    return diff_answers(left, right, votes=votes, resamples=50)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def html(found: AnswersDiff) -> str:
    return render_diff(found)


def test_it_needs_nothing_beside_it(html: str) -> None:
    assert_alone(html)
    assert "prefers-color-scheme: dark" in html


def test_every_plot_is_inside_and_no_id_stands_twice(html: str) -> None:
    page = Page(html)
    assert page.tags.count("svg") == 2
    assert len(page.ids) == len(set(page.ids))


def test_names_are_text_and_the_figures_are_there(html: str, found: AnswersDiff) -> None:
    told = " ".join(Page(html).text.split())
    assert "What changes from <left> & more.jsonl to right.yaml" in told
    assert "60 votes on 60 battles" in told
    assert f"{found.change.changed.value:.1%}" in told
    for one in found.most_changed:
        assert one.id in told
    for row in found.change.verdicts:
        assert all(f"{count:,}" in told for count in row)


def test_a_single_battle_without_votes_has_a_page() -> None:
    bare = diff_answers(make_table([(0.5, 0.3, 0.2)]), make_table([(0.5, 0.3, 0.2)]), resamples=50)
    told = " ".join(Page(render_diff(bare)).text.split())
    assert "Both sides say the same of every battle, to the bit." in told
    assert "By what people said" not in told


def test_a_name_in_any_writing_is_drawn_and_nobody_is_warned_of_a_font() -> None:
    rows = make_probabilities(80)
    sides = [
        table_of(
            make_preference(number, row).model_copy(update={"language": ("中文", "en")[number % 2]})
            for number, row in enumerate(said)
        )
        for said in (rows, rows[::-1])
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        html = render_diff(diff_answers(*sides, resamples=50))
    assert html.count("中文") >= 2  # in the table, and in the drawing


def test_names_that_strangers_wrote_are_no_markup_wherever_they_stand() -> None:
    evil = "<script>alert(1)</script>"
    sides = [
        table_of(
            make_preference(number, row, judges=(evil, "other"), battle_id=f"{evil}{number}").model_copy(
                update={"language": (evil, "en")[number % 2]}
            )
            for number, row in enumerate(make_probabilities(80, seed=seed))
        )
        for seed in (0, 1)
    ]
    html = render_diff(diff_answers(*sides, resamples=50))
    assert evil not in html
    assert evil in Page(html).text
