"""Committed and pending offsets of a group."""

from __future__ import annotations

from prefstream.consumer.broker.node.offsets import CommittedOffset, GroupOffsets

A, B = ("topic", 0), ("topic", 1)


def test_offsets_of_a_transaction_show_only_when_it_commits() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)})
    offsets.commit_pending(7, {A: CommittedOffset(5)})
    assert offsets.get(A) == CommittedOffset(1)
    assert offsets.is_pending(A)
    assert not offsets.is_pending(B)
    offsets.end_transaction(7, commit=True)
    assert offsets.get(A) == CommittedOffset(5)
    assert not offsets.is_pending(A)


def test_offsets_of_an_aborted_transaction_vanish() -> None:
    offsets = GroupOffsets()
    offsets.commit_pending(7, {A: CommittedOffset(5)})
    offsets.end_transaction(7, commit=False)
    assert offsets.get(A) is None
    assert offsets.partitions() == []


def test_transactions_of_several_producers_are_kept_apart() -> None:
    offsets = GroupOffsets()
    offsets.commit_pending(1, {A: CommittedOffset(5)})
    offsets.commit_pending(2, {A: CommittedOffset(9), B: CommittedOffset(3)})
    offsets.end_transaction(1, commit=True)
    assert offsets.get(A) == CommittedOffset(5)
    assert offsets.is_pending(A)
    assert offsets.partitions() == [A, B]


def test_a_deleted_topic_is_forgotten_everywhere() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)})
    offsets.commit_pending(1, {B: CommittedOffset(2)})
    offsets.forget_topic("topic")
    offsets.end_transaction(1, commit=True)
    assert offsets.partitions() == []
