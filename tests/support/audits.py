"""What audits find: reports that no topic was read for."""

from __future__ import annotations

from typing import Any

from prefstream.consumer.audit.ledger import Break, PartitionCounts, Places
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.audit.tally import JudgeShare, Mark, PanelShare

FIRST, LAST = Mark("battles/0/1", 1_700_000_000_000), Mark("battles/3/9", 1_700_000_600_000)


def partition_counts(partition: int = 0, **changes: Any) -> PartitionCounts:
    """Of ten records that all have an answer."""
    fields: dict[str, Any] = {"records": 10, "preferences": 8, "dead_letters": 2, "open": 0, "untold": 0, "lost": 0}
    fields |= {"partition": partition, "begin": 5, "end": 1_234, "committed": 1_234}
    return PartitionCounts(**{**fields, **changes})


def a_report(**changes: Any) -> AuditReport:
    """Of a range whose every record has an answer."""
    fields: dict[str, Any] = {
        "span": "battles@earliest..latest",
        "group": "prefstream",
        "partitions": (partition_counts(),),
        "breaks": {kind: Places() for kind in Break},
        "panels": (PanelShare("ab" * 32, "c1", "0.2.0", ("gemma", "llama"), FIRST, LAST, 8),),
        "judges": {"gemma": JudgeShare(answers=8, truncated=2, dropped_prompt=30), "llama": JudgeShare(left_out=8)},
        "reasons": {"not_json": 2},
        "deleted": 0,
        "outside": 0,
        "of_before": 0,
        "of_others": 0,
    }
    return AuditReport(**{**fields, **changes})
