"""Which records are meant: what a person writes, read strictly."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.errors import UsageError
from prefstream.consumer.rescore.span import Bound, TopicSpan

ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
OFFSETS = st.integers(0, 2**62)
BOUNDS = st.one_of(
    st.sampled_from(["earliest", "latest"]),
    st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1), timezones=ZONES),  # noqa: DTZ001 - bounds have no zone
    OFFSETS,
    st.dictionaries(st.integers(0, 10_000), OFFSETS, min_size=1, max_size=4),
)


def written(bound: Bound) -> str:
    match bound:
        case str():
            return bound
        case datetime():
            return bound.isoformat()
        case int():
            return str(bound)
        case _:
            return ",".join(f"{partition}:{offset}" for partition, offset in bound.items())


def is_empty(begin: Bound, end: Bound) -> bool:
    if begin == "latest" or end == "earliest":
        return True
    if isinstance(begin, dict) and isinstance(end, dict):
        return not any(begin[one] < end.get(one, 0) for one in begin)
    return type(begin) is type(end) and not isinstance(begin, str) and begin >= end  # type: ignore[operator]


@given(begin=BOUNDS, end=BOUNDS)
def test_what_is_written_is_read_again(begin: Bound, end: Bound) -> None:
    text = f"some.battles@{written(begin)}..{written(end)}"
    if is_empty(begin, end):
        with pytest.raises(UsageError, match="is empty"):
            TopicSpan.parse(text)
        return
    span = TopicSpan.parse(text)
    assert (span.topic, span.begin, span.end, span.text) == ("some.battles", begin, end, text)


@given(text=st.text(max_size=60) | st.text("0123456789:,.TZ-", max_size=30).map("battles@".__add__))
def test_whatever_is_written_is_a_span_or_refused_in_one_line(text: str) -> None:
    try:
        assert TopicSpan.parse(text).text == text
    except UsageError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - what is no error is looked at above


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("battles", "is no range; write TOPIC@FROM..TO"),
        ("battles@5", "is no range"),
        ("bat/tles@1..2", "is no range"),
        ("battles@yesterday..latest", "'yesterday' is no bound"),
        ("battles@-5..latest", "'-5' is no bound"),
        ("battles@2026-11-22T17:00..latest", "has no zone; write 2026-11-22T17:00Z"),
        ("battles@0:5,0:6..latest", "names a partition twice"),
        ("battles@latest..earliest", "is empty"),
        ("battles@5..5", "is empty"),
        ("battles@0:7,1:9..0:7,1:8", "is empty"),
    ],
)
def test_what_is_no_span_is_told_with_how_one_is_written(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why.replace("?", r"\?")):
        TopicSpan.parse(text)


def test_a_time_may_have_fractions_and_any_zone() -> None:
    span = TopicSpan.parse("battles@2026-11-22T17:00:00.250+02:00..2026-11-22T15:00:01Z")
    assert span.begin == datetime(2026, 11, 22, 15, 0, 0, 250_000, UTC)
    assert span.end == datetime(2026, 11, 22, 15, 0, 1, tzinfo=UTC)


def test_partitions_that_one_end_leaves_out_are_not_meant() -> None:
    assert TopicSpan.parse("t@0:1,2:5..2:9,3:1").partitions == frozenset({2})
    assert TopicSpan.parse("t@0:1,2:5..latest").partitions == frozenset({0, 2})
    assert TopicSpan.parse("t@5..latest").partitions is None
