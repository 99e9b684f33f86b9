"""How much of the dead letters' topic a start reads back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.board.watch.dead_letters import newest_of
from prefstream.consumer.client.protocols import TopicPartition

Spans = st.lists(st.builds(lambda begin, more: range(begin, begin + more), st.integers(0, 99), st.integers(0, 99)))


@given(Spans, st.integers(0, 500))
def test_the_newest_offsets_are_read_and_no_more_than_so_many(offsets: list[range], most: int) -> None:
    spans = {TopicPartition("t", number): span for number, span in enumerate(offsets)}
    left = newest_of(spans, most)
    assert left.keys() == spans.keys()
    assert all(left[one].stop == spans[one].stop and left[one].start >= spans[one].start for one in spans)
    assert sum(map(len, left.values())) <= most
    if sum(map(len, spans.values())) <= most:
        assert left == spans


def test_each_partition_gives_the_same_share() -> None:
    spans = {TopicPartition("t", 0): range(100), TopicPartition("t", 1): range(1_000, 1_300)}
    assert [*newest_of(spans, 40).values()] == [range(90, 100), range(1_270, 1_300)]
