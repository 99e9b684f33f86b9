"""The page of an audit: it needs nothing beside it, takes any name, and says what was found."""

from __future__ import annotations

import pytest

from prefstream.consumer.audit.ledger import Break, Places
from prefstream.consumer.audit.page import render_audit
from prefstream.consumer.audit.tally import JudgeShare
from prefstream.consumer.audit.words import BREAKS, VERDICTS
from tests.support.audits import a_report, partition_counts
from tests.support.html_page import Page, assert_alone


def told(html: str) -> str:
    return " ".join(Page(html).text.split())


def test_it_needs_nothing_beside_it_and_says_what_was_found() -> None:
    html = render_audit(a_report())
    assert_alone(html)
    assert "prefers-color-scheme: dark" in html
    text = told(html)
    for what in (
        VERDICTS["kept"],
        "battles@earliest..latest",
        "gemma, llama",
        "not_json",
        "20.0%",
        "2023-11-14 22:13Z",
    ):
        assert what in text
    assert "What is broken" not in text


def test_every_break_is_there_with_its_first_places_and_the_names_of_others_are_text() -> None:
    places = Places(70, [f"<b>{number}</b>" for number in range(20)])
    found = a_report(breaks=dict.fromkeys(Break, places), judges={"<script>": JudgeShare(answers=1)})
    html = render_audit(found)
    assert_alone(html)
    text = told(html)
    assert VERDICTS["broken"] in text
    for what in BREAKS.values():
        assert f"{what}: 70" in text
    assert text.count("<b>19</b>") == text.count("and 50 more") == len(Break)
    assert "<script>" in text


@pytest.mark.parametrize("empty", [{"panels": (), "judges": {}, "reasons": {}}, {"partitions": ()}], ids=str)
def test_where_nothing_was_answered_there_is_a_page(empty: dict[str, object]) -> None:
    no_answers = (partition_counts(records=3, preferences=0, dead_letters=0, open=3, committed=None),)
    html = render_audit(a_report(**{"partitions": no_answers, "reasons": {}, **empty}))
    assert "no answer at all" in told(html)


def test_of_a_shadow_it_says_what_needs_no_answer_and_that_nothing_tells_of_the_rest() -> None:
    text = told(render_audit(a_report(share=0.25, partitions=(partition_counts(untold=3, passed_over=30),))))
    assert "a shadow, which answers a share of 0.25" in text
    assert "30 records need no answer of a shadow with a share of 0.25" in text
    assert "3 records of its share have no answer" in text
    assert "of a shadow: some records have no answer." in text
