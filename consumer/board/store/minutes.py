"""Sums by minute over the last two days: how many battles there were, and how long they took."""

from __future__ import annotations

import math
import sqlite3
from collections import defaultdict
from typing import Final

from prefstream.consumer.board.store.records import PreferenceRecord

MS_PER_MINUTE: Final = 60_000

MINUTES_KEPT: Final = 48 * 60
"""Twice what a person compares today with."""

MINUTES_AHEAD: Final = 60
"""A record may be from so far in the future: clocks differ. One from further has no minute, or wrong clocks would fill
the table with minutes that never come."""

LEAST_S: Final = 0.001
"""Where the first bin of a latency ends."""

BINS_PER_OCTAVE: Final = 4
"""A bin is a fifth wider than the one before it: what is told by its middle is right to 9 %."""

MOST_BINS: Final = 100
"""The last one, from 7 hours on, has no end."""

_LONGEST_S: Final = 86_400.0
"""A battle's time counts as no more: JSON's numbers have no end, and a 64-bit sum of microseconds has room for this of
a hundred million battles."""

_MICROSECONDS: Final = 1_000_000


class MinuteSums:
    """Gathers a batch's sums, then adds them to the tables.

    Args:
        now_ms: the time; what lies too far from it has no minute.
    """

    def __init__(self, now_ms: int) -> None:
        now = now_ms // MS_PER_MINUTE
        self._kept = range(now - MINUTES_KEPT, now + MINUTES_AHEAD + 1)
        self._sums: defaultdict[int, list[int]] = defaultdict(lambda: [0] * 5)
        self._bins: defaultdict[tuple[int, int], int] = defaultdict(int)

    def add(self, record: PreferenceRecord) -> None:
        """Count one battle."""
        minute, timings = record.at // MS_PER_MINUTE, record.preference.timings
        if minute not in self._kept:
            return
        sums = self._sums[minute]
        sums[0] += 1
        if timings is not None:
            times = [min(spent, _LONGEST_S) for spent in (timings.queue_s, timings.tokenise_s, timings.inference_s)]
            sums[1] += 1
            for place, spent in enumerate(times, 2):
                sums[place] += round(spent * _MICROSECONDS)
            self._bins[minute, latency_bin(sum(times))] += 1

    def write(self, connection: sqlite3.Connection) -> None:
        """Add what was gathered to the tables; what is too old leaves them.

        Args:
            connection: in a transaction.
        """
        if not self._sums:
            return
        connection.executemany(_ADD_SUMS, ((minute, *sums) for minute, sums in self._sums.items()))
        connection.executemany(_ADD_BINS, ((*key, battles) for key, battles in self._bins.items()))
        for table in ("minutes", "minute_bins"):  # one statement for both ends would look at every row
            connection.execute(f"DELETE FROM {table} WHERE minute < ?", (self._kept.start,))
            connection.execute(f"DELETE FROM {table} WHERE minute >= ?", (self._kept.stop,))


def latency_bin(seconds: float) -> int:
    """Where a latency falls: quarters of an octave, from 0, for less than a millisecond, on."""
    if seconds < LEAST_S:
        return 0
    return min(MOST_BINS - 1, 1 + int(BINS_PER_OCTAVE * math.log2(seconds / LEAST_S)))


def latency_of(place: int) -> float:
    """What is told for a latency of a bin: its middle, as ratios have it, in seconds."""
    return LEAST_S * float(2.0 ** ((place - 0.5) / BINS_PER_OCTAVE))


_SUMS: Final = ("battles", "timed", "queue_us", "tokenise_us", "inference_us")
_ADD_SUMS: Final = (
    f"INSERT INTO minutes VALUES (?, {', '.join('?' for _ in _SUMS)}) ON CONFLICT DO UPDATE SET "
    f"{', '.join(f'{name} = {name} + excluded.{name}' for name in _SUMS)}"
)
_ADD_BINS: Final = (
    "INSERT INTO minute_bins VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET battles = battles + excluded.battles"
)
