"""What an audit comes to, in sentences: the same in a terminal and on the page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from prefstream.consumer.audit.ledger import Break
from prefstream.consumer.audit.report import AuditReport, Verdict
from prefstream.consumer.audit.tally import Mark
from prefstream.consumer.words import counted

BREAKS: Final = {
    Break.LOST: "records without an answer, past which the group has committed",
    Break.DOUBLED: "records with several answers of one kind",
    Break.BOTH: "records with a preference and a dead letter",
    Break.FOREIGN: "answers to records that are not there",
    Break.OTHER_BATTLE: "preferences whose id is not that of their record",
    Break.CONTRADICTING: "answers whose headers contradict them",
    Break.MALFORMED: "records on the output topics that are no answer",
}
"""What each break is called."""

VERDICTS: Final[dict[Verdict, str]] = {
    "kept": "Every record that is due has exactly one answer.",
    "broken": "The promise of exactly one answer is broken.",
    "untold": "Nothing is wrong, as far as it can be told: some of it is deleted.",
}

_UNTOLD_OF_SHADOW: Final = "Nothing is wrong, as far as it can be told of a shadow: some records have no answer."


def verdict_in_words(report: AuditReport) -> str:
    """What comes first.

    Args:
        report: what was found.
    """
    if report.share is not None and report.verdict == "untold" and report.untold:
        return _UNTOLD_OF_SHADOW
    return VERDICTS[report.verdict]


def gaps(report: AuditReport) -> list[str]:
    """A sentence for each thing that was left out of the verdict."""
    lines = []
    if report.deleted:
        lines.append(f"{counted(report.deleted, 'offset')} of the range are deleted: what became of them is not known.")
    if report.records and all(one.committed is None for one in report.partitions):
        lines.append(
            f"Group {report.group} has committed nothing of the range, so nothing is due: is it the group that answers?"
        )
    if report.passed_over:
        lines.append(
            f"{counted(report.passed_over, 'record')} need no answer of a shadow with a share of {report.share:g}: it "
            "did not choose them, or they are no battle."
        )
    if report.untold and report.share is not None:
        lines.append(
            f"{counted(report.untold, 'record')} of its share have no answer. It has skipped them, its panel could not "
            "score them, its share was another one then, or their answers are deleted: a shadow writes no dead letters "
            "that would tell."
        )
    elif report.untold:
        lines.append(
            f"{counted(report.untold, 'record')} without an answer are as old as answers that are deleted: whether "
            "they had one is not known."
        )
    if report.of_before:
        lines.append(
            f"{counted(report.of_before, 'answer')} are from before their record: of a topic of the same name."
        )
    if report.of_others:
        lines.append(
            f"{counted(report.of_others, 'record')} on the output topics are of other groups, and not counted."
        )
    return lines


def place_of_mark(mark: Mark) -> str:
    """Partition and offset of the record that was answered."""
    return "/".join(mark.source.rsplit("/", 2)[1:])


def minute_of(mark: Mark) -> str:
    """When the answer was written, in UTC."""
    return f"{datetime.fromtimestamp(max(0, mark.timestamp_ms) / 1000, UTC):%Y-%m-%d %H:%M}Z"
