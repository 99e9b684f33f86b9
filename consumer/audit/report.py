"""What an audit found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

from prefstream.consumer.audit.ledger import Break, PartitionCounts, Places
from prefstream.consumer.audit.tally import JudgeShare, PanelShare

Verdict: TypeAlias = Literal["kept", "broken", "untold"]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What became of the records of a range.

    Attributes:
        span: what was asked for.
        group: whose answers count.
        partitions: of the battles' topic.
        breaks: ways in which the promise is broken, each with how often and where first; those that were not found,
            too.
        panels: that answered, from the one that answered first.
        judges: by name.
        reasons: dead letters by their reason.
        deleted: offsets of the range that the topic does not have any more: what became of them is not known.
        outside: answers that were read and are to records outside the range.
        of_before: answers to records of a topic that had the name of this one.
        of_others: records on the output topics that other groups wrote.
        share: of a shadow, of the battles that it answers; None of who serves.
    """

    span: str
    group: str
    partitions: tuple[PartitionCounts, ...]
    breaks: Mapping[Break, Places]
    panels: tuple[PanelShare, ...]
    judges: Mapping[str, JudgeShare]
    reasons: Mapping[str, int]
    deleted: int
    outside: int
    of_before: int
    of_others: int
    share: float | None = None

    @property
    def records(self) -> int:
        """Records of the range that are still there."""
        return sum(one.records for one in self.partitions)

    @property
    def open(self) -> int:
        """Records that are not due."""
        return sum(one.open for one in self.partitions)

    @property
    def untold(self) -> int:
        """Records whose answer is not there, and may have been deleted."""
        return sum(one.untold for one in self.partitions)

    @property
    def passed_over(self) -> int:
        """Records that need no answer of a shadow, and have none: its share left them out, or they are no battle."""
        return sum(one.passed_over for one in self.partitions)

    @property
    def broken(self) -> int:
        """How often the promise is broken."""
        return sum(places.count for places in self.breaks.values())

    @property
    def verdict(self) -> Verdict:
        """Whether each record that is due has exactly one answer; untold where all that were found do."""
        if self.broken:
            return "broken"
        return "untold" if self.untold or self.deleted else "kept"

    def to_fields(self) -> dict[str, Any]:
        """For a JSON object."""
        return {
            "span": self.span,
            "group": self.group,
            "share": self.share,
            "verdict": self.verdict,
            "records": self.records,
            "preferences": sum(one.preferences for one in self.partitions),
            "dead_letters": {
                "records": sum(one.dead_letters for one in self.partitions),
                "by_reason": dict(self.reasons),
            },
            "open": self.open,
            "untold": self.untold,
            "passed_over": self.passed_over,
            "deleted": self.deleted,
            "breaks": {kind.value: asdict(places) for kind, places in self.breaks.items()},
            "partitions": [asdict(one) for one in self.partitions],
            "panels": [asdict(one) for one in self.panels],
            "judges": {name: asdict(one) for name, one in sorted(self.judges.items())},
            "answers_outside": self.outside,
            "answers_of_a_topic_before": self.of_before,
            "answers_of_other_groups": self.of_others,
        }
