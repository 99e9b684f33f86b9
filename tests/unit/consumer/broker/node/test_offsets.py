"""Committed and pending offsets of a group."""

from __future__ import annotations

from prefstream.consumer.broker.node.offsets import CommittedOffset, GroupOffsets

A, B = ("topic", 0), ("topic", 1)


def test_offsets_of_a_transaction_show_only_when_it_commits() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)}, now_s=0)
    offsets.commit_pending(7, {A: CommittedOffset(5)})
    assert offsets.get(A) == CommittedOffset(1)
    assert offsets.is_pending(A)
    assert not offsets.is_pending(B)
    offsets.end_transaction(7, commit=True, now_s=0)
    assert offsets.get(A) == CommittedOffset(5)
    assert not offsets.is_pending(A)


def test_offsets_of_an_aborted_transaction_vanish() -> None:
    offsets = GroupOffsets()
    offsets.commit_pending(7, {A: CommittedOffset(5)})
    offsets.end_transaction(7, commit=False, now_s=0)
    assert offsets.get(A) is None
    assert offsets.partitions() == []


def test_transactions_of_several_producers_are_kept_apart() -> None:
    offsets = GroupOffsets()
    offsets.commit_pending(1, {A: CommittedOffset(5)})
    offsets.commit_pending(2, {A: CommittedOffset(9), B: CommittedOffset(3)})
    offsets.end_transaction(1, commit=True, now_s=0)
    assert offsets.get(A) == CommittedOffset(5)
    assert offsets.is_pending(A)
    assert offsets.partitions() == [A, B]


def test_a_deleted_topic_is_forgotten_everywhere() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)}, now_s=0)
    offsets.commit_pending(1, {B: CommittedOffset(2)})
    offsets.forget_topic("topic")
    offsets.end_transaction(1, commit=True, now_s=0)
    assert offsets.partitions() == []


def test_deleted_offsets_are_gone_and_what_a_transaction_brings_counts() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1), B: CommittedOffset(2)}, now_s=0)
    offsets.commit_pending(1, {A: CommittedOffset(3)})
    offsets.delete([A, ("unknown", 0)])
    assert (offsets.get(A), offsets.get(B)) == (None, CommittedOffset(2))
    offsets.end_transaction(1, commit=True, now_s=0)
    assert offsets.get(A) == CommittedOffset(3)


def test_offsets_expire_by_their_commit_where_the_group_never_had_members() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)}, now_s=0)
    offsets.commit({B: CommittedOffset(2)}, now_s=10)
    assert not offsets.expire(not_used_since_s=None, before_s=5)
    assert (offsets.get(A), offsets.get(B)) == (None, CommittedOffset(2))
    assert offsets.expire(not_used_since_s=None, before_s=11)


def test_offsets_expire_together_once_the_last_member_is_long_gone() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)}, now_s=0)
    assert not offsets.expire(not_used_since_s=10, before_s=10)
    assert offsets.expire(not_used_since_s=10, before_s=11)


def test_an_offset_that_an_open_transaction_may_change_does_not_expire() -> None:
    offsets = GroupOffsets()
    offsets.commit({A: CommittedOffset(1)}, now_s=0)
    offsets.commit_pending(1, {A: CommittedOffset(3)})
    assert not offsets.expire(not_used_since_s=None, before_s=100)
    assert offsets.get(A) == CommittedOffset(1)
