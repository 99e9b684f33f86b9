"""How old records were when they were answered: quantiles of what was, not estimates from wide buckets."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Final

MAX_KEPT: Final = 100_000
"""800 kB, sorted in some 20 ms once a minute: 1,600 records/s are kept whole."""


class Ages:
    """The ages of the records of a minute, or of a run.

    Up to `MAX_KEPT` all are kept, and quantiles are exact. Beyond, every second one is dropped, and from then on every
    second one is taken, and so on: what is kept is spread evenly over the period. Costs nothing per record but a copy.
    """

    def __init__(self) -> None:
        self._kept = array("d")
        self._every = 1
        self._skip = 0

    def add(self, ages_s: Sequence[float]) -> None:
        """Take the ages of a batch, in seconds."""
        self._kept.extend(ages_s[self._skip :: self._every])
        self._skip = (self._skip - len(ages_s)) % self._every
        while len(self._kept) > MAX_KEPT:
            # The next one that the new step takes lies behind an odd or an even number of those that are kept.
            self._skip += self._every * (len(self._kept) % 2)
            self._kept = self._kept[::2]
            self._every *= 2

    def quantiles(self, *shares: float) -> list[float | None]:
        """Quantiles by nearest rank: each is the age of a record.

        Args:
            shares: each above 0, up to 1: that share of the records was no older.

        Returns:
            Seconds for each share, never below 0 (a producer's clock may be ahead); None where there were no records.
        """
        ordered = sorted(self._kept)
        if not ordered:
            return [None] * len(shares)
        return [max(0.0, ordered[math.ceil(share * len(ordered)) - 1]) for share in shares]
