"""Moments as records have them, whole milliseconds since the epoch, and as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""From which moments are counted, in hours and days, too: those of UTC."""

_MILLISECOND: Final = timedelta(milliseconds=1)


def moment_of(ms: int) -> datetime:
    """The moment so many milliseconds after the epoch, in UTC."""
    return EPOCH + ms * _MILLISECOND


def milliseconds(moment: datetime) -> int:
    """The last whole millisecond since the epoch: it lies in the same second, hour and day."""
    return (moment - EPOCH) // _MILLISECOND
