"""Runs hostile events in great number, and counts what became of them.

Nothing ends a campaign early: what should not have happened is written down with the seed and the number that make
the event again, and the caller fails at the end.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

import numpy as np
import psutil
from rich.table import Table

from prefstream.schemas import Battle, InvalidEventError, Reason, decode_battle, encode_battle
from tests.fuzz.corpus import CANARY
from tests.fuzz.hostile import HostileEvent, hostile_events
from tests.fuzz.layout import FuzzedJudge, LayoutBrokenError

BATCH: Final = 64
"""Events encoded together, as many as the stream's default."""

SAMPLES: Final = 200
"""How often memory is looked at in a campaign: enough for a line through noise, too seldom to cost anything."""

WARM_UP_EVENTS: Final = 200_000
"""Before memory counts: the tokenizers' caches are full, and the allocator has met the largest events (measured)."""

LONGEST_ERROR_CHARS: Final = 300
"""An error's text becomes a header and a log line; one that grows with the event is no explanation."""

MAX_TOLD: Final = 3
"""Escapes of one kind of event that are told in full: a bug that is met once is met a thousand times."""


@dataclass
class Report:
    """What a campaign saw.

    Attributes:
        title: of the table.
        seed: of the events.
        planned: how many events there are to be.
        warm_up: how many of them pass before memory counts.
        events: how many there were.
        fates: what became of them.
        kinds: how many of each kind there were.
        escapes: what should not have happened, each with how to make the event again.
        escaped: how many escapes there were of each kind of event.
        slowest: the longest time that a batch took, in seconds of the processor, and its first event.
        seconds: the time that all took.
        memory: resident memory in MB after so many events.
        process: whose memory that is; this one, unless told otherwise.
    """

    title: str
    seed: int
    planned: int
    warm_up: int
    events: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    escapes: list[str] = field(default_factory=list)
    escaped: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "")
    seconds: float = 0.0
    memory: list[tuple[int, float]] = field(default_factory=list)
    process: psutil.Process = field(default_factory=psutil.Process)

    def escape(self, event: HostileEvent, what: str) -> None:
        """Write down what should not have happened."""
        self.escaped[event.kind.name] += 1
        if self.escaped[event.kind.name] <= MAX_TOLD:
            self.escapes.append(f"{event!r}: {what}")

    def settle(self, events: Sequence[HostileEvent], seconds: float, busy_s: float = 0.0) -> None:
        """Count events that are done, and look at memory now and then.

        Args:
            events: of one batch.
            seconds: how long they took.
            busy_s: how much of that the processor was at work: another program's turn says nothing about an event.
        """
        self.events += len(events)
        self.kinds.update(event.kind.name for event in events)
        self.seconds += seconds
        self.slowest = max(self.slowest, (busy_s, repr(events[0])))
        seen = self.memory[-1][0] if self.memory else 0
        if self.events - seen >= self.planned // SAMPLES:
            self.memory.append((self.events, self.process.memory_info().rss / 2**20))

    @property
    def slope_mb(self) -> float:
        """MB of memory that 100,000 more events take, by least squares after warm-up; NaN where that tells nothing."""
        if self.events < 2 * self.warm_up:
            return float("nan")
        events, megabytes = np.array([sample for sample in self.memory if sample[0] >= self.warm_up]).T
        return float(np.polyfit(events, megabytes, 1)[0] * 100_000)

    def table(self) -> Table:
        """The figures, for people."""
        table = Table("", "", title=f"{self.title}, seed {self.seed}", show_header=False, title_justify="left")
        table.columns[1].justify = "right"
        table.add_row("events", f"{self.events:,}")
        table.add_row("kinds of them", f"{len(self.kinds):,}")
        for fate, count in self.fates.most_common():
            table.add_row(fate, f"{count:,}")
        table.add_row("escapes", f"{self.escaped.total():,}")
        table.add_row("events/s", f"{self.events / max(self.seconds, 1e-9):,.0f}")
        if self.slowest[0]:
            table.add_row("slowest batch", f"{self.slowest[0]:.2f} s")
            table.add_row("which begins with", self.slowest[1].partition("  #")[0])
        first, last = self.memory[0][1], self.memory[-1][1]
        table.add_row("memory", f"{first:,.0f} to {last:,.0f} MB")
        slope = "too few events to tell" if math.isnan(self.slope_mb) else f"{self.slope_mb:+.2f} MB per 100,000"
        table.add_row(f"its slope after {self.warm_up:,}", slope)
        return table

    def fail_on_escapes(self) -> None:
        """Fail, and say how to make each event again, if anything escaped."""
        assert not self.escaped, f"{self.escaped.total()} escapes, among them:\n" + "\n".join(self.escapes)

    def fail_on_delay(self, limit_s: float) -> None:
        """Fail if a batch kept the processor busy for longer than this, in seconds."""
        seconds, first = self.slowest
        assert seconds <= limit_s, f"{seconds:.1f} s for the batch that begins with {first}"

    def fail_on_growth(self, limit_mb: float) -> None:
        """Fail if 100,000 events take more memory than this, in MB; too few events pass."""
        assert not self.slope_mb > limit_mb, f"memory grows by {self.slope_mb:.2f} MB per 100,000 events"


def fate_name(reason: Reason | None) -> str:
    """A fate in the table: a reason's code, or what has none."""
    return f"dead letter: {reason}" if reason else "battle"


def decode_and_encode(
    seed: int, count: int, judges: Sequence[FuzzedJudge], progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Decode events as the stream's pipeline does, and encode what are battles for every judge.

    Args:
        seed: of the events.
        count: how many.
        judges: who would read them.
        progress: told how many are done.
    """
    report = Report("decode + encode", seed, count, WARM_UP_EVENTS)
    events = hostile_events(seed)
    while report.events < count:
        batch = list(islice(events, min(BATCH, count - report.events)))
        started, busy = time.perf_counter(), time.process_time()
        decoded = [(event, battle) for event in batch if (battle := _decode(event, report)) is not None]
        for judge in judges:
            _encode(judge, decoded, report)
        report.settle(batch, time.perf_counter() - started, time.process_time() - busy)
        progress(report.events)
    return report


def _decode(event: HostileEvent, report: Report) -> Battle | None:
    try:
        battle, reason = decode_battle(event.value), None
    except InvalidEventError as error:
        battle, reason = None, error.reason
        _check_error(event, error, report)
    except Exception as error:  # noqa: BLE001 - what this campaign looks for
        report.escape(event, f"decode_battle raised {type(error).__name__}")
        return None
    report.fates[fate_name(reason)] += 1
    if reason not in event.kind.fates:
        report.escape(event, f"became {fate_name(reason)}, which its kind can't be")
    if battle and decode_battle(encode_battle(battle)) != battle:
        report.escape(event, "is another battle when it is written and read again")
    return battle


def _check_error(event: HostileEvent, error: InvalidEventError, report: Report) -> None:
    text = str(error)
    if CANARY in text or len(text) > LONGEST_ERROR_CHARS or not text.isprintable():
        report.escape(event, f"the error of reason {error.reason} quotes the event, or grows with it")
    if not isinstance(error.reason, Reason):
        report.escape(event, "the error has no reason")


def _encode(judge: FuzzedJudge, decoded: Sequence[tuple[HostileEvent, Battle]], report: Report) -> None:
    try:
        encodings = judge.encoder.encode([battle for _, battle in decoded])
    except Exception as error:  # noqa: BLE001 - what this campaign looks for
        if len(decoded) > 1:  # find out whose fault it is
            for one in decoded:
                _encode(judge, [one], report)
        else:
            report.escape(decoded[0][0], f"{judge.name} raised {type(error).__name__}")
        return
    for (event, battle), encoding in zip(decoded, encodings, strict=True):
        try:
            judge.check(battle, encoding)
        except LayoutBrokenError as broken:
            report.escape(event, f"{judge.name}: {broken}")
