"""The board in a terminal: what does not count, what weighs more, and what a person should look at, in words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from rich.console import Console

from prefstream.consumer.board.report.payloads import BoardQuery, BoardReport, ModelLine, ReviewLine
from prefstream.consumer.board.report.reports import Reports, ReportSettings
from prefstream.consumer.board.report.strengths import LABELS
from prefstream.consumer.board.store.records import COUNTERS
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.cli.ui.board import render

LINE = ModelLine(
    place=1,
    model="x",
    rating=1000.0,
    lower=900.0,
    upper=1100.0,
    rank_low=1,
    rank_high=1,
    battles=5,
    votes=9.0,
    why_no_interval=None,
)

TO_LOOK_AT = ReviewLine.model_validate(
    {
        "id": "b1",
        "why": "vote",
        "score": 3.5,
        "said": "tie",
        "link": None,
        "published_at": "2026-11-22T10:00:00Z",
        "model_a": None,
        "model_b": None,
        "language": "en",
        "probabilities": {"model_a": 0.5, "model_b": 0.4, "tie": 0.1},
        "disagreement": 0.0,
        "entropy": 1.4,
        "source": "battles",
        "partition": 0,
        "offset": 1,
    }
)


def report(
    counters: Mapping[str, int], *, models: tuple[ModelLine, ...] = (LINE,), language: str | None = None, votes: int = 9
) -> BoardReport:
    """What an empty board says, with some of it replaced."""
    with Store() as store:
        empty = Reports(store.reader(), ReportSettings()).board(BoardQuery())
    return empty.model_copy(
        update={
            "query": empty.query.model_copy(update={"language": language}),
            "status": empty.status.model_copy(update={"counters": dict(counters)}),
            "strengths": empty.strengths.model_copy(
                update={"models": models, "votes": votes, "judges_weight": 0.0, "label": LABELS["votes"]}
            ),
            "review": empty.review.model_copy(update={"battles": (TO_LOOK_AT,)}),
        }
    )


def shown(told: BoardReport, width: int = 200) -> str:
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(render(told, width), highlight=False)
    return captured.get()


def test_counters_are_told_in_words_with_what_they_count() -> None:
    text = shown(report({"preferences": 3, "votes": 2, "unnamed": 1, "bad_votes": 1_200, "of_a_later_version": 4}))
    assert "not in the table: 1 preference that does not name both models, 1,200 records that are no votes, " in text
    assert "4 of a later version" in text


def test_every_counter_has_words_of_its_own() -> None:
    counters = dict.fromkeys(COUNTERS, 7)
    _, _, others = shown(report(counters), width=1_000).splitlines()[1].partition("not in the table: ")
    assert len(others.split(", ")) == len(COUNTERS) - 2  # preferences and votes stand above
    for name in COUNTERS:
        assert f"7 {name.replace('_', ' ')}," not in f"{others},"


@pytest.mark.parametrize(("votes", "told"), [(9, True), (4, False), (0, False)])
def test_votes_that_weigh_more_than_one_are_explained(votes: int, told: bool) -> None:
    models = (LINE.model_copy(update={"votes": 4.0}), LINE.model_copy(update={"votes": 4.0}))
    text = shown(report({"preferences": 9, "votes": 9}, models=models, votes=votes))
    assert ("9 votes weigh as 4" in text) is told
    assert ("weigh as" in text) is told


def test_judges_that_narrow_nothing_are_not_said_to_narrow_anything() -> None:
    text = shown(report({"preferences": 9, "votes": 9}))
    assert "Strengths: what people say\n" in text


def test_what_to_look_at_has_a_unit_and_no_blanks_behind_it() -> None:
    assert "a person differs  3.50 bits\n  b1" in shown(report({"preferences": 9}))


def test_parts_that_a_language_does_not_narrow_say_so() -> None:
    counters = {"preferences": 9}
    assert "(all languages)" not in shown(report(counters))
    assert shown(report(counters, language="en")).count("(all languages)") == 2


def test_some_preferences_without_names_do_not_make_all_nameless() -> None:
    """Of a language that nobody writes."""
    text = shown(report({"preferences": 9, "unnamed": 8}, models=(), language="tlh"))
    assert "none for this language" in text
    text = shown(report({"preferences": 9, "unnamed": 9}, models=(), language="tlh"))
    assert "none says who wrote its answers" in text
