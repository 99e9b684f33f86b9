"""Whether an answer is for the record that stands at its offset, or for one of another topic of the same name."""

from __future__ import annotations

from typing import Any

import pytest

from prefstream.consumer.stream.lost_offsets import CLOCKS_DIFFER_MS, Answer
from tests.support.streams import battle_event, make_event

NOW_MS = make_event().record.timestamp


@pytest.mark.parametrize(
    ("answer", "value", "right"),
    [
        (Answer(0, NOW_MS + 5, battle_id="battle-7"), battle_event(7), True),
        (Answer(0, NOW_MS + 5, battle_id="battle-8"), battle_event(7), False),
        (Answer(0, NOW_MS - CLOCKS_DIFFER_MS, battle_id="battle-7"), battle_event(7), True),
        (Answer(0, NOW_MS - CLOCKS_DIFFER_MS - 1, battle_id="battle-7"), battle_event(7), False),
        (Answer(0, NOW_MS + 5, battle_id="battle-7"), b"no JSON", False),
        (Answer(0, NOW_MS + 5, original_ms=NOW_MS), b"no JSON", True),
        (Answer(0, NOW_MS + 5, original_ms=NOW_MS - 1), b"no JSON", False),
        (Answer(0, NOW_MS + 5), b"no JSON", False),
    ],
    ids=[
        "same battle",
        "another battle",
        "clocks differ a little",
        "record younger than its answer",
        "no battle",
        "same dead letter",
        "another dead letter",
        "dead letter of nobody",
    ],
)
def test_an_answer_proves_where_the_group_was_only_for_its_own_record(answer: Answer, value: Any, right: bool) -> None:
    assert answer.is_for(make_event(value).record, "none") is right
