"""Spans of time as people write them: 30s, 10m, 2h, 7d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from prefstream.consumer.errors import UsageError

_DURATION: Final = re.compile(r"([0-9]{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def duration(text: str) -> timedelta | None:
    """The span that a text says; None where it says none."""
    said = _DURATION.fullmatch(text)
    return timedelta(**{_UNITS[said[2]]: int(said[1])}) if said else None


def required_duration(text: str) -> timedelta:
    """The same, of a setting.

    Raises:
        ValueError: the text says no span.
    """
    if (said := duration(text)) is None:
        raise ValueError(f"{text!r} is no span of time; write such as 30s, 10m, 2h or 7d")
    return said


def duration_option(text: str) -> timedelta:
    """The same, of an option.

    Raises:
        UsageError: the text says no span.
    """
    try:
        return required_duration(text)
    except ValueError as error:
        raise UsageError(str(error)) from None
