"""When a reader is told that what he sees is not of now."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.board.report.fresh import BEHIND_S, UNANSWERED_S, freshness

QUIET: dict[str, Any] = {"obstacle": None, "behind": 0, "behind_s": 0.0, "lag": 0, "unanswered_s": 0.0}
LATE = BEHIND_S + 1
STUCK = UNANSWERED_S + 1


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"behind": None, "lag": None},
        {"behind": 900, "behind_s": BEHIND_S},
        {"lag": 900, "unanswered_s": UNANSWERED_S},
        {"behind": None, "behind_s": LATE},
        {"lag": None, "unanswered_s": STUCK},
        {"lag": 0, "unanswered_s": STUCK},
    ],
    ids=["long quiet", "nothing known", "catches up", "answers slowly", "behind unknown", "stream unknown", "no lag"],
)
def test_nothing_is_amiss(known: dict[str, Any]) -> None:
    told = freshness(**(QUIET | known))
    assert (told.ok, told.why) == (True, None)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({"obstacle": "connecting to the brokers"}, "connecting to the brokers"),
        ({"obstacle": "no broker at kafka:9092 answers: are they up?"}, "no broker at kafka:9092 answers"),
        ({"behind": 1_234, "behind_s": LATE}, "the board is behind: 1,234 records on its topics not counted yet"),
        ({"behind": 1, "behind_s": LATE}, "1 record on its topics"),
        ({"lag": 7, "unanswered_s": STUCK}, "the stream answers nothing: 7 battles waiting, and none answered for"),
        ({"behind": None, "lag": 1, "unanswered_s": STUCK}, "1 battle waiting"),
    ],
    ids=["starting up", "brokers away", "behind", "one behind", "nobody answers", "one unanswered"],
)
def test_what_is_amiss_is_told(known: dict[str, Any], why: str) -> None:
    told = freshness(**(QUIET | known))
    assert not told.ok
    assert told.why is not None
    assert why in told.why


def test_what_must_be_mended_first_is_told_first() -> None:
    every: dict[str, Any] = {"obstacle": "no broker", "behind": 5, "behind_s": LATE, "lag": 5, "unanswered_s": STUCK}
    assert freshness(**every).why == "no broker"
    assert str(freshness(**(every | {"obstacle": None})).why).startswith("the board is behind")


@given(
    obstacle=st.none() | st.just("x"),
    behind=st.none() | st.integers(0, 9),
    behind_s=st.floats(0, 99),
    lag=st.none() | st.integers(0, 9),
    unanswered_s=st.floats(0, 99),
)
def test_it_is_either_fresh_or_says_why_not(**known: Any) -> None:
    told = freshness(**known)
    assert told.ok is (told.why is None)
