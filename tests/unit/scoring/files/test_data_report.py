"""The report on a labelled file, and the refusal of what can't be learnt from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefstream.schemas import Battle, Outcome
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.data_report import (
    MAX_GROUPS,
    MAX_LANGUAGES,
    MAX_REJECTED_KEPT,
    OTHER,
    UNKNOWN,
    DataReport,
)
from prefstream.scoring.files.labelled import Label, LabelledBattle, read_labelled
from prefstream.scoring.files.rows import RejectedRow

TARGETS = {"model_a": (1.0, 0.0, 0.0), "model_b": (0.0, 1.0, 0.0), "tie": (0.0, 0.0, 1.0)}
FILE = Path("train.jsonl")


def labelled(
    outcome: Outcome,
    *,
    battle_id: str = "1",
    prompt: tuple[str, ...] = ("p",),
    lengths: tuple[int, int] = (1, 1),
    language: str | None = None,
    source: str | None = None,
    tier: str | None = None,
    target: tuple[float, float, float] | None = None,
    weight: float = 1.0,
    ties_possible: bool = True,
) -> LabelledBattle:
    rest = ("",) * (len(prompt) - 1)
    battle = Battle(
        id=battle_id,
        prompt=prompt,
        response_a=("x" * lengths[0], *rest),
        response_b=("y" * lengths[1], *rest),
        language=language,
    )
    label = Label(outcome, target or TARGETS[outcome], weight, ties_possible)
    return LabelledBattle(battle, label, 1, source, tier)


def report_on(*rows: LabelledBattle) -> DataReport:
    report = DataReport()
    for row in rows:
        report.add(row)
    return report


def test_rows_pass_through_and_are_counted(tmp_path: Path) -> None:
    """As they stream by: the usable ones come out, the others are kept with their places."""
    battle = {"id": 1, "prompt": "p", "response_a": "x", "response_b": "y"}
    rows: list[dict[str, Any]] = [{**battle, "winner": "tie"}, battle, {"winner": "tie"}, {**battle, "winner": "tie"}]
    path = tmp_path / "labelled.jsonl"
    path.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    report = DataReport()
    assert [row.line for row in report.usable_rows(read_labelled(path))] == [1, 4]
    assert (report.rows, report.usable) == (4, 2)
    assert report.rejected == {"bad_label": 1, "missing_field": 1}
    assert [(line, fault.reason) for line, fault in report.first_rejected] == [(2, "bad_label"), (3, "missing_field")]


def test_only_the_first_rejected_rows_are_kept() -> None:
    report = DataReport()
    for line in range(1, 100):
        report.reject(line, RejectedRow("not_csv", "quotes"))
    assert report.rejected.total() == 99
    assert [line for line, _ in report.first_rejected] == list(range(1, MAX_REJECTED_KEPT + 1))


def test_outcomes_are_counted_in_all_and_where_ties_are_possible() -> None:
    report = report_on(
        labelled("model_a", source="s", tier="core"),
        labelled("tie", source="s"),
        labelled("model_b", source="t", tier="core", ties_possible=False),
    )
    assert report.outcomes == {"model_a": 1, "model_b": 1, "tie": 1}
    assert report.outcomes_with_ties == {"model_a": 1, "tie": 1}
    assert report.sources == {"s": {"model_a": 1, "tie": 1}, "t": {"model_b": 1}}
    assert report.tiers == {"core": {"model_a": 1, "model_b": 1}, UNKNOWN: {"tie": 1}}


def test_a_column_that_is_no_source_does_not_fill_the_report() -> None:
    report = report_on(*(labelled("tie", source=str(number)) for number in range(3 * MAX_GROUPS)))
    assert len(report.sources) == MAX_GROUPS + 1
    assert report.sources[OTHER]["tie"] == 2 * MAX_GROUPS


def test_languages_beyond_the_most_frequent_are_one_group() -> None:
    rows = [labelled("tie", language=f"l{number}") for number in range(MAX_LANGUAGES + 3) for _ in range(20 - number)]
    report = report_on(labelled("tie"), *rows)
    assert list(report.languages) == [*(f"l{number}" for number in range(MAX_LANGUAGES)), OTHER, UNKNOWN]
    assert report.languages["l0"] == 20
    assert (report.languages[OTHER], report.languages[UNKNOWN]) == (10 + 9 + 8, 1)


def test_rounds_fall_into_buckets_and_empty_ones_are_left_out() -> None:
    report = report_on(*(labelled("tie", prompt=("p",) * rounds) for rounds in (1, 1, 4, 5, 9, 10, 300)))
    assert report.rounds == {"1": 2, "4": 1, "5-9": 2, "10+": 2}


def test_lengths_of_the_longer_response_are_cut_into_equal_groups() -> None:
    report = report_on(*(labelled("tie", lengths=(0, chars)) for chars in range(101)))
    assert report.longer_chars == [0, 20, 40, 60, 80, 100]
    assert report_on(labelled("tie", lengths=(3, 7))).longer_chars == [7] * 6
    assert DataReport().longer_chars == []


def test_how_often_the_longer_response_wins_is_counted_where_that_is_decided() -> None:
    """Neither ties nor responses of equal length say anything about it."""
    report = report_on(
        labelled("model_a", lengths=(2, 1)),
        labelled("model_b", lengths=(1, 2)),
        labelled("model_a", lengths=(1, 2)),
        labelled("model_b", lengths=(2, 1)),
        labelled("model_b", lengths=(1, 9)),
        labelled("model_a", lengths=(1, 1)),
        labelled("tie", lengths=(1, 2)),
    )
    assert (report.length_decided, report.longer_wins) == (5, 0.6)
    assert DataReport().longer_wins is None


def test_prompts_duplicates_split_votes_and_weights_are_counted() -> None:
    report = report_on(
        labelled("model_a", battle_id="1"),
        labelled("model_a", battle_id="1", target=(0.5, 0.5, 0.0)),
        labelled("tie", battle_id="2", prompt=("q",), weight=0.0),
        labelled("tie", battle_id="1"),
    )
    assert (report.prompts, report.duplicates, report.soft, report.weightless) == (2, 2, 1, 1)


def test_prompts_of_two_files_are_compared() -> None:
    first = report_on(labelled("model_a", prompt=("q",)), labelled("tie", prompt=("r",)))
    second = report_on(
        labelled("model_b", prompt=("r",)), labelled("tie", prompt=("r",)), labelled("tie", prompt=("s",))
    )
    assert first.shared_prompts(second) == second.shared_prompts(first) == 1
    assert first.shared_prompts(report_on()) == 0


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "it has no rows"),
        ([labelled("tie")] * 3, "every label is tie"),
        ([labelled("model_a", ties_possible=False)], "every label is model_a"),
        ([labelled("model_a"), labelled("model_b", weight=0.0)], "every label is model_a"),
        ([labelled("model_a", weight=0.0), labelled("tie", weight=0.0)], "every weight is 0"),
    ],
)
def test_what_can_not_be_learnt_from_is_refused(rows: list[LabelledBattle], told: str) -> None:
    report = report_on(*rows)
    assert not report.learnable
    with pytest.raises(FileError, match=rf"^train\.jsonl .*{told}"):
        report.check_learnable(FILE)


def test_refusal_of_a_file_without_a_usable_row_names_the_first_fault() -> None:
    report = DataReport()
    report.reject(7, RejectedRow("bad_label", "no label: give winner"))
    with pytest.raises(FileError, match=r"all of its 1 rows were rejected, the first at line 7 \(bad_label: no label"):
        report.check_learnable(FILE)


@pytest.mark.parametrize("outcomes", [("model_a", "model_b"), ("model_a", "tie")])
def test_two_outcomes_can_be_learnt_from(outcomes: tuple[Outcome, Outcome]) -> None:
    report = report_on(*(labelled(outcome) for outcome in outcomes))
    assert report.learnable
    report.check_learnable(FILE)


def test_the_report_as_a_receipt_is_plain_json() -> None:
    report = report_on(
        labelled("model_a", source="s", tier="core", lengths=(5, 1), language="en"),
        labelled("tie", battle_id="2", source="s", lengths=(1, 3), target=(0.25, 0.25, 0.5)),
    )
    report.reject(3, RejectedRow("bad_label", "no label"))
    content = report.to_dict()
    assert json.loads(json.dumps(content)) == content
    assert {name: content[name] for name in ("rows", "usable", "rejected", "soft_labels", "languages", "rounds")} == {
        "rows": 3,
        "usable": 2,
        "rejected": {
            "rows": 1,
            "reasons": {"bad_label": 1},
            "first": [{"line": 3, "reason": "bad_label", "detail": "no label"}],
        },
        "soft_labels": 1,
        "languages": {"English": 1, UNKNOWN: 1},
        "rounds": {"1": 2},
    }
    assert content["sources"]["s"] == {
        "rows": 2,
        "counts": {"model_a": 1, "model_b": 0, "tie": 1},
        "shares": {"model_a": 0.5, "model_b": 0.0, "tie": 0.5},
    }
    assert content["longer_response"] == {"characters": [3, 3, 3, 5, 5, 5], "decided": 1, "wins": 1.0}


def test_the_report_of_nothing_is_plain_json_too() -> None:
    content = DataReport().to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["outcomes"]["all"]["shares"] == {"model_a": 0.0, "model_b": 0.0, "tie": 0.0}


def test_warnings_and_ties_of_bad_answers_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "judged.csv"
    path.write_text("id,prompt,response_a,response_b,winner\n1,['p'],x,y,tie\n2,p,x,y,both_bad\n3,p,x,y,A\n")
    report = DataReport()
    assert len(list(report.usable_rows(read_labelled(path)))) == 3
    assert (report.both_bad, report.outcomes["tie"]) == (1, 2)
    assert report.to_dict()["both_bad"] == 1
    [kind] = report.warnings
    assert kind.warning.startswith("prompt: read as text")
    assert report.to_dict()["warned"] == [{"warning": kind.warning, "rows": 1, "first_lines": [2]}]
