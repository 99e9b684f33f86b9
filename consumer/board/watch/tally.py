"""Dead letters of the last day, counted by reason."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Final

from prefstream.consumer.board.report.stream_payloads import DeadLetterCounts, DeadLetterReason, RecordPlace
from prefstream.consumer.board.store.minutes import MS_PER_MINUTE
from prefstream.consumer.dead_letters.reader import UNKNOWN_REASON
from prefstream.schemas.dead_letter import Reason
from prefstream.scoring.moments import moment_of

DAY_MS: Final = 86_400_000
"""What is counted: an operator who comes in the morning sees the night."""

_KNOWN: Final = frozenset(Reason)


def known_reason(reason: str) -> str:
    """A reason of ours. What another program wrote is told as unknown: strangers could make up as many as they like."""
    return reason if reason in _KNOWN else UNKNOWN_REASON


class Tally:
    """Counts by minute, so that what is a day old leaves it. May be used from any thread.

    Args:
        now_ms: the time, ms since the epoch.
    """

    def __init__(self, now_ms: Callable[[], int] = lambda: int(time.time() * 1000)) -> None:
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._by_minute: defaultdict[int, Counter[str]] = defaultdict(Counter)
        self._newest: dict[str, tuple[int, RecordPlace]] = {}

    @property
    def since_ms(self) -> int:
        """From when on letters count: a whole minute."""
        return (self._now_ms() - DAY_MS) // MS_PER_MINUTE * MS_PER_MINUTE

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._by_minute.clear()
            self._newest.clear()

    def add(self, reason: str, at_ms: int, place: RecordPlace) -> None:
        """Count one.

        Args:
            reason: as `known_reason` has it.
            at_ms: when it was written, ms since the epoch; not in the future.
            place: where it stands.
        """
        if at_ms < self.since_ms:
            return
        with self._lock:
            self._forget()
            self._by_minute[at_ms // MS_PER_MINUTE][reason] += 1
            known = self._newest.get(reason)
            if known is None or at_ms >= known[0]:
                self._newest[reason] = at_ms, place

    def counts(self, *, complete: bool) -> DeadLetterCounts:
        """What there is.

        Args:
            complete: whether all of the day were added.
        """
        with self._lock:
            self._forget()
            since_ms = self.since_ms
            by_reason = sum(self._by_minute.values(), Counter[str]())
            newest = dict(self._newest)
        return DeadLetterCounts(
            since=moment_of(since_ms),
            total=by_reason.total(),
            complete=complete,
            reasons=tuple(
                DeadLetterReason(
                    reason=reason, count=count, newest_at=moment_of(newest[reason][0]), newest=newest[reason][1]
                )
                for reason, count in sorted(by_reason.items(), key=lambda one: (-one[1], one[0]))
            ),
        )

    def _forget(self) -> None:
        """What is too old leaves."""
        oldest = self.since_ms // MS_PER_MINUTE
        for minute in [one for one in self._by_minute if one < oldest]:
            del self._by_minute[minute]
