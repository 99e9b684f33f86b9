"""What a run found, as a table and as JSON."""

from __future__ import annotations

import json
import platform
import re
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import confluent_kafka
from rich.console import Console
from rich.table import Table

from prefstream.consumer.audit.report import AuditReport
from tests.chaos.world.reader import Sight
from tests.chaos.world.verifier import Verdict
from tests.support.kafka.cluster import kafka_home

EXAMPLES: Final = 10
"""So many of what is wrong are told; the counts are whole."""


@dataclass(frozen=True)
class Cycle:
    """One fault and what followed.

    Attributes:
        number: from 0.
        fault: its name.
        strike_s: how long it lasted, in seconds.
        recovery_s: from its end until every record that was written had its answer, in seconds.
        silence_s: the longest that a reader saw no new answer while an input that it saw had none, in seconds.
        stall_s: the same, but only while no broker was struck and a healthy process (alive, not frozen, its judge in
            order) read the partition of such an input.
        twice: inputs of which that reader saw a second answer, over all cycles until then.
    """

    number: int
    fault: str
    strike_s: float
    recovery_s: float
    silence_s: float
    stall_s: float
    twice: int


@dataclass
class Report:
    """What a run found.

    Attributes:
        seed: of the choices.
        cycles: in order.
        verdict: of the verifier; empty until the run is over.
        sight: of the reader that read meanwhile; None until the run is over.
        audit: what `prefstream audit` says of the topics; None until the run is over.
        exits: exit codes of all processes, with how often.
        leaks: words of users found in logs.
        retry_exits: exit codes of the runs of `dead-letters retry`, with how often.
    """

    seed: int
    cycles: list[Cycle] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    sight: Sight | None = None
    audit: AuditReport | None = None
    exits: dict[int, int] = field(default_factory=dict)
    leaks: list[str] = field(default_factory=list)
    retry_exits: dict[int, int] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether nothing at all is wrong."""
        seen = self.sight is not None and self.sight.is_clean
        audited = self.audit is not None and not self.audit.broken
        return self.verdict.is_clean and seen and audited and not self.leaks

    def by_fault(self, figure: Callable[[Cycle], float]) -> dict[str, list[float]]:
        """A figure of the cycles by fault, sorted."""
        figures: dict[str, list[float]] = defaultdict(list)
        for cycle in self.cycles:
            figures[cycle.fault].append(figure(cycle))
        return {name: sorted(found) for name, found in sorted(figures.items())}

    def write(self, file: Path, setup: Mapping[str, object]) -> None:
        """Write everything as JSON.

        Args:
            file: to write to.
            setup: what the run was told: brokers, processes, and so on.
        """
        part = file.with_suffix(".part")
        part.write_text(json.dumps(self._content(setup), indent=1) + "\n")
        part.rename(file)

    def show(self, console: Console) -> None:
        """Print it as people read it."""
        table = Table(
            title=f"{len(self.cycles)} faults, in seconds: recovery from the end of each until all was answered, "
            "and a reader's longest silence and stall meanwhile"
        )
        table.add_column("fault", no_wrap=True)
        for column in ("times", "recovery: median", "worst", "silence: median", "worst", "stall: median", "worst"):
            table.add_column(column, justify="right")
        for row in self._rows():
            table.add_row(row.pop("fault"), str(row.pop("times")), *(f"{figure:.1f}" for figure in row.values()))
        console.print(table)
        console.print(f"exit codes: {dict(sorted(self.exits.items()))}; words of users in logs: {self.leaks or 'none'}")
        worst = max(self.cycles, key=lambda cycle: cycle.stall_s)
        console.print(f"worst stall: {worst.stall_s:.1f} s, {worst.fault} (cycle {worst.number})")
        if self.retry_exits:
            console.print(f"exit codes of retries: {self.retry_exits}")
        if self.audit is not None:
            console.print(
                f"prefstream audit: {self.audit.verdict}, {self.audit.records:,} records, broken {self.audit.broken}, "
                f"untold {self.audit.untold:,}, deleted {self.audit.deleted:,}"
            )
        console.print(f"{self.sight}\n{self.verdict}", style="green" if self.is_clean else "bold red")

    def _rows(self) -> list[dict[str, Any]]:
        silences = self.by_fault(lambda cycle: cycle.silence_s)
        stalls = self.by_fault(lambda cycle: cycle.stall_s)
        return [
            {
                "fault": fault,
                "times": len(recoveries),
                "recovery_median_s": round(statistics.median(recoveries), 3),
                "recovery_worst_s": recoveries[-1],
                "silence_median_s": round(statistics.median(silences[fault]), 3),
                "silence_worst_s": silences[fault][-1],
                "stall_median_s": round(statistics.median(stalls[fault]), 3),
                "stall_worst_s": stalls[fault][-1],
            }
            for fault, recoveries in self.by_fault(lambda cycle: cycle.recovery_s).items()
        ]

    def _content(self, setup: Mapping[str, object]) -> dict[str, object]:
        verdict = self.verdict
        wrong = {
            name: {"count": len(found := getattr(verdict, name)), "examples": found[:EXAMPLES]}
            for name in (
                *("lost", "duplicated", "unaccounted", "out_of_contract", "retries_lost", "retries_unasked"),
                *("reviews_lost", "reviews_uncalled"),
            )
        }
        counts = {
            name: getattr(verdict, name) for name in ("inputs", "preferences", "dead_letters", "retried", "reviews")
        }
        return {
            "seed": self.seed,
            "is_over": self.sight is not None,
            "is_clean": self.is_clean,
            "setup": dict(setup),
            "versions": versions(),
            "verdict": counts | wrong | {"kcat": verdict.kcat},
            "audit": self.audit and {"verdict": self.audit.verdict, "broken": self.audit.broken},
            "reader": self.sight and asdict(self.sight),
            "exits": {str(code): count for code, count in sorted(self.exits.items())},
            "retry_exits": {str(code): count for code, count in self.retry_exits.items()},
            "leaks": self.leaks,
            "worst_stall_s": max((cycle.stall_s for cycle in self.cycles), default=None),
            "faults": self._rows(),
            "cycles": [asdict(cycle) for cycle in self.cycles],
        }


def versions() -> dict[str, str | None]:
    """Of everything that the figures depend on."""
    home = kafka_home()
    names = (jar.name for jar in home.joinpath("libs").glob("kafka-clients-*.jar")) if home else iter(())
    apache = re.fullmatch(r"kafka-clients-(.+)\.jar", next(names, ""))
    return {
        "prefstream": version("prefstream"),
        "python": platform.python_version(),
        "kafka-python": version("kafka-python"),
        "librdkafka": confluent_kafka.libversion()[0],
        "apache-kafka": apache[1] if apache else None,
        "platform": platform.platform(),
    }
