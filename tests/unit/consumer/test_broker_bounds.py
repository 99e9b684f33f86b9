"""Which of our settings brokers would refuse, by what they tell of theirs."""

from __future__ import annotations

from typing import Any

import pytest

from prefstream.consumer.broker_bounds import SESSION, TRANSACTION, other_assignor, outside_bounds
from prefstream.consumer.config import StreamConfig

BROKER = {
    "group.min.session.timeout.ms": "6000",
    "group.max.session.timeout.ms": "1800000",
    "transaction.max.timeout.ms": "900000",
}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, []),
        ({"session_timeout_ms": 6_000}, []),
        ({"session_timeout_ms": 5_999}, ["session_timeout_ms 5999 is below group.min.session.timeout.ms 6000"]),
        (
            {"session_timeout_ms": 1_800_001},
            ["session_timeout_ms 1800001 is above group.max.session.timeout.ms 1800000"],
        ),
        ({"transaction_timeout_ms": 900_001}, ["transaction_timeout_ms 900001 is above transaction.max.timeout.ms"]),
        ({"session_timeout_ms": 1_000, "transaction_timeout_ms": 900_001}, ["session_timeout_ms", "transaction_time"]),
    ],
)
def test_a_time_out_outside_the_bounds_is_told_with_them(settings: dict[str, Any], told: list[str]) -> None:
    lines = outside_bounds(StreamConfig.load(**settings), BROKER)
    assert len(lines) == len(told)
    assert all(line.startswith(start) for line, start in zip(lines, told, strict=True))


def test_bounds_that_may_not_be_seen_bound_nothing() -> None:
    assert outside_bounds(StreamConfig(session_timeout_ms=1_000, transaction_timeout_ms=10**9), {}) == []


def test_what_to_do_names_the_bounds_and_their_defaults() -> None:
    assert "between group.min.session.timeout.ms and group.max.session.timeout.ms" in SESSION.remedy
    assert "transaction.max.timeout.ms at most of the brokers (900000 by default)" in TRANSACTION.remedy


@pytest.mark.parametrize(
    ("members", "protocol", "fits"),
    [
        ([], "", True),
        ([], "range", True),
        (["m"], "cooperative-sticky", True),
        (["m"], "", True),
        (["m"], "range", False),
    ],
)
def test_a_group_with_members_that_share_otherwise_does_not_let_us_in(
    members: list[str], protocol: str, *, fits: bool
) -> None:
    problem = other_assignor(StreamConfig(), {"members": members, "protocol_data": protocol})
    assert (problem is None) == fits
