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


def gaps(report: AuditReport) -> list[str]:
    """A sentence for each thing that was left out of the verdict."""
    lines = []
    if report.deleted:
        lines.append(f"{counted(report.deleted, 'offset')} of the range are deleted: what became of them is not known.")
    if report.untold:
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
