"""Spans of time as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from prefstream.consumer.durations import duration, duration_option
from prefstream.consumer.errors import UsageError


@pytest.mark.parametrize(
    ("text", "seconds"), [("0s", 0), ("30s", 30), ("10m", 600), ("2h", 7_200), ("7d", 604_800), ("999999s", 999_999)]
)
def test_a_span_is_a_number_and_a_unit(text: str, seconds: int) -> None:
    assert duration(text) == duration_option(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "s", "-1s", "1.5h", "30 s", "30S", "1w", "1h30m", "1000000s", "٣s"])
def test_what_is_no_span_is_told_with_examples(text: str) -> None:
    assert duration(text) is None
    with pytest.raises(UsageError, match="is no span of time; write such as 30s, 10m, 2h or 7d"):
        duration_option(text)
