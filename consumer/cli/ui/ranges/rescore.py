"""Shows how a range of a topic is getting on while it is scored once more."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console

from prefstream.consumer.cli.ui.progress import MAX_SHOWN, CountProgress
from prefstream.consumer.rescore.chunks import RefusedRecord
from prefstream.consumer.rescore.progress import RangeProgress
from prefstream.consumer.words import counted


class RescoreProgress:
    """How a range of a topic is getting on, for people. A context manager.

    Args:
        console: where to.
        clock: seconds, monotonic.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._count = CountProgress(console, verb="scoring", unit="records", clock=clock)
        self._topic = ""
        self._total = 0
        self._rejected = 0

    def __enter__(self) -> Self:
        self._count.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._count.__exit__(kind, error, trace)
        if self._rejected > MAX_SHOWN:
            self._count.say(f"... and {self._rejected - MAX_SHOWN:,} more rejected records")

    def began(self, progress: RangeProgress) -> None:
        """Say which range it is, once it is fixed."""
        self._topic, self._total = progress.topic, progress.left
        spans = ", ".join(f"{one.partition}:{one.begin}..{one.end}" for one in progress.partitions[:MAX_SHOWN])
        more = ", ..." if len(progress.partitions) > MAX_SHOWN else ""
        before = f" ({progress.scored:,} battles scored before)" if progress.begun else ""
        self._count.say(f"{progress.topic} {spans}{more}: {counted(progress.left, 'offset')} to go{before}")
        self._count.advanced(0, progress.left)

    def rejected(self, refused: RefusedRecord) -> None:
        """Name the record, unless too many were named before."""
        self._rejected += 1
        if self._rejected <= MAX_SHOWN:
            record = refused.record
            place = f"{record.topic}/{record.partition}/{record.offset}"
            self._count.say(f"{place}: {refused.reason}: {refused.detail}")

    def deleted(self, partition: int, offsets: int) -> None:
        """Say what is not there any more."""
        self._count.say(f"{self._topic}/{partition}: {counted(offsets, 'offset')} deleted before they were read")

    def advanced(self, progress: RangeProgress) -> None:
        """Show how far it is."""
        self._count.advanced(self._total - progress.left)
