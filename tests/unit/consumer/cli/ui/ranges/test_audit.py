"""The page of an audit: the verdict first, each break with its first places, and nothing that a terminal obeys."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from prefstream.consumer.audit.ledger import Break, Places
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.audit.tally import JudgeShare, PanelShare
from prefstream.consumer.audit.words import BREAKS
from prefstream.consumer.cli.ui.ranges.audit import PARTITIONS_SHOWN, PLACES_SHOWN, print_audit
from tests.support.audits import FIRST, LAST, a_report, partition_counts


def page(found: AuditReport, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width)
    print_audit(console, found, 1.5)
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def test_the_verdict_comes_first_and_panels_judges_and_reasons_follow() -> None:
    lines = page(a_report(), width=120).splitlines()
    assert lines[0] == "Every record that is due has exactly one answer."
    assert lines[1] == "battles@earliest..latest of group prefstream, 1.5 s"
    text = "\n".join(lines)
    for told in ("abababababab", "(gemma, llama)", "0/1, 2023-11-14", "2 (25.0%)", "not_json", "20.00%"):
        assert told in text
    assert len(lines) < 40


def test_every_break_is_named_with_its_first_places_and_how_many_more() -> None:
    places = Places(7, [f"battles/0/{number}" for number in range(7)])
    found = a_report(breaks=dict.fromkeys(Break, places))
    text = page(found)
    assert found.verdict == "broken"
    assert text.startswith("The promise of exactly one answer is broken.")
    for what in BREAKS.values():
        assert f"{what}: 7\n" in text
    assert text.count(f"battles/0/{PLACES_SHOWN - 1}\n") == len(Break)
    assert text.count("and 2 more") == len(Break)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"deleted": 3}, "3 offsets of the range are deleted"),
        (
            {"partitions": (partition_counts(untold=1),)},
            "1 record without an answer are as old as answers that are deleted",
        ),
    ],
    ids=str,
)
def test_what_is_deleted_is_neither_well_nor_wrong(changes: dict[str, Any], told: str) -> None:
    found = a_report(**changes)
    assert found.verdict == "untold"
    assert told in page(found)


def test_the_table_of_partitions_is_not_folded_on_a_narrow_terminal() -> None:
    lines = page(a_report(), width=80).splitlines()
    assert lines[3].split() == ["partition", "range", "committed", "records", "preferences", "dead", "letters"]
    assert lines[4].split() == ["0", "5..1,234", "1,234", "10", "8", "2"]


def test_lag_is_well() -> None:
    found = a_report(partitions=(partition_counts(open=4, committed=None),))
    assert found.verdict == "kept"
    assert "nothing" in page(found)


def test_many_partitions_stay_on_one_page() -> None:
    text = page(a_report(partitions=tuple(partition_counts(number) for number in range(200))))
    assert f"all, {200 - PARTITIONS_SHOWN} more" in text
    assert "2,000" in text
    assert len(text.splitlines()) < 60


def test_names_that_a_terminal_would_obey_are_shown_as_what_they_are() -> None:
    evil = "\x1b]0;owned\x07"
    found = a_report(
        judges={evil: JudgeShare(answers=1)},
        panels=(PanelShare(evil, evil, evil, (evil,), FIRST, LAST, 1),),
        breaks={kind: Places(1, [evil]) for kind in Break},
    )
    assert "\x1b" not in page(found)


def test_what_is_found_is_an_object_of_json() -> None:
    fields = json.loads(json.dumps(a_report().to_fields()))
    assert (fields["verdict"], fields["records"], fields["dead_letters"]) == (
        "kept",
        10,
        {"records": 2, "by_reason": {"not_json": 2}},
    )
    assert set(fields["breaks"]) == {kind.value for kind in Break}
    assert fields["panels"][0]["first"]["source"] == "battles/0/1"


def test_a_calibration_that_looks_like_markup_is_shown_as_it_is() -> None:
    panel = PanelShare("ab" * 32, "[/c1]", "[bold]", ("gemma",), FIRST, LAST, 8)
    text = page(a_report(panels=(panel,)))
    assert "[/c1]" in text
    assert "[bold]" in text


def test_a_group_that_has_committed_nothing_is_asked_about() -> None:
    told = "Group prefstream has committed nothing of the range, so nothing is due: is it the group that answers?"
    assert told in page(a_report(partitions=(partition_counts(committed=None),)), width=200)
    assert told not in page(a_report(), width=200)
