"""Lag, as any other tool counts it."""

from __future__ import annotations

import pytest

from prefstream.consumer.client.offsets import Bounds, lag_by_partition
from prefstream.consumer.client.protocols import TopicPartition

P = TopicPartition("battles", 0)


@pytest.mark.parametrize(
    ("committed", "begin", "end", "lag"),
    [(7, 0, 10, 3), (10, 0, 10, 0), (None, 4, 10, 6), (2, 4, 10, 8), (11, 0, 10, 0), (None, 0, 0, 0)],
    ids=["waits", "done", "never read", "deleted unread", "beyond the end", "empty"],
)
def test_lag_counts_from_what_is_committed_to_the_end(committed: int | None, begin: int, end: int, lag: int) -> None:
    known = {} if committed is None else {P: committed}
    assert lag_by_partition(known, Bounds({P: begin}, {P: end})) == {P: lag}


def test_partitions_that_are_gone_have_none() -> None:
    assert lag_by_partition({P: 3}, Bounds({}, {})) == {}
