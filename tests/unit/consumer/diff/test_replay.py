"""Which offsets are read where answers are asked for again: those of their battles, and few others."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.diff.replay import MERGED_GAP, _spans, source_topics
from prefstream.schemas import FileSource, KafkaSource
from tests.support.answers import make_preference, table_of

EVEN = (0.25, 0.25, 0.5)


@given(st.sets(st.integers(0, 20 * MERGED_GAP), max_size=30))
def test_the_ranges_hold_every_offset_and_are_apart(chosen: set[int]) -> None:
    offsets = sorted(chosen)
    spans = list(_spans(offsets))
    assert [offset for span in spans for offset in offsets if offset in span] == offsets
    assert all(other.start - one[-1] > MERGED_GAP for one, other in itertools.pairwise(spans))
    for span in spans:
        assert {span[0], span[-1]} <= chosen
        held = [offset for offset in offsets if offset in span]
        assert all(other - one <= MERGED_GAP for one, other in itertools.pairwise(held))


def test_battles_are_sought_where_their_answers_say_each_once() -> None:
    places = [("battles", 0, 7), ("battles", 1, 2), ("battles", 0, 3), ("battles", 0, 7), ("older", 0, 1)]
    answers = [
        make_preference(number, EVEN, source=KafkaSource(topic=topic, partition=partition, offset=offset))
        for number, (topic, partition, offset) in enumerate(places)
    ]
    answers.append(make_preference(9, EVEN, source=FileSource(file="rows.jsonl", line=1)))
    assert source_topics(table_of(answers)) == {"battles": {0: [3, 7], 1: [2]}, "older": {0: [1]}}
