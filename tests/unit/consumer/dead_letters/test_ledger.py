"""The ledger of what was sent back: nothing forgotten, nothing invented, small enough for an offset's metadata."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import OffsetAndMetadata

from prefstream.consumer.dead_letters.ledger import MAX_METADATA_BYTES, Ledger
from prefstream.consumer.errors import UsageError

offsets = st.integers(min_value=0, max_value=5_000)


@given(base=offsets, sent=st.sets(offsets, max_size=60))
def test_what_was_sent_survives_being_written_down(base: int, sent: set[int]) -> None:
    ledger = Ledger(base)
    for offset in sent:
        ledger.add(offset)
    read = Ledger.decode(ledger.encode(), begin=0)
    assert [offset for offset in range(5_001) if offset in read] == [
        offset for offset in range(5_001) if offset < base or offset in sent
    ]


@given(records=st.sets(offsets, min_size=1, max_size=60), data=st.data())
def test_advancing_neither_forgets_nor_invents(records: set[int], data: st.DataObject) -> None:
    """`records` are the offsets that hold a dead letter; between them stand transaction markers."""
    sent = data.draw(st.sets(st.sampled_from(sorted(records))))
    ledger = Ledger(0)
    for offset in sent:
        ledger.add(offset)
    ledger.advance(sorted(records))
    assert {offset for offset in records if offset in ledger} == sent
    assert ledger.offset == min(records - sent, default=max(records) + 1)


def test_when_everything_is_sent_the_offset_is_the_end_and_the_metadata_empty() -> None:
    ledger = Ledger(0, {0, 1, 3})
    ledger.advance([0, 1, 3, 5])  # 2 and 4 are markers, 5 is the end
    assert ledger.encode() == OffsetAndMetadata(5, "", -1)


def test_what_retention_deleted_is_dropped() -> None:
    ledger = Ledger.decode(Ledger(0, {2, 9}).encode(), begin=5)
    assert (ledger.offset, ledger.beyond) == (5, {9})


def test_nothing_committed_means_nothing_sent() -> None:
    assert 7 not in Ledger.decode(None, begin=7)


def test_one_in_two_of_ten_thousand_fits_into_the_metadata() -> None:
    metadata = Ledger(0, set(range(0, 10_000, 2))).encode().metadata
    assert len(metadata) <= MAX_METADATA_BYTES


def test_what_does_not_fit_is_refused_with_a_way_out() -> None:
    scattered = set(random.Random(0).sample(range(100_000), 50_000))
    with pytest.raises(UsageError, match="--limit"):
        Ledger(0, scattered).encode()


@pytest.mark.parametrize("metadata", ["theirs", "sent:", "sent:%%%", "sent:00", "\x00"])
def test_another_programs_notes_are_refused(metadata: str) -> None:
    with pytest.raises(UsageError, match="--group"):
        Ledger.decode(OffsetAndMetadata(3, metadata, -1), begin=0)


def test_a_bare_offset_that_an_operator_set_is_taken() -> None:
    assert Ledger.decode(OffsetAndMetadata(3, "", -1), begin=0).offset == 3
