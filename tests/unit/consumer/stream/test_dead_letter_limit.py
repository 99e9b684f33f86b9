"""A flood of dead letters stops where the records say so, however they are batched and however often it restarts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.dead_letters.ledger import MAX_METADATA_BYTES
from prefstream.consumer.errors import DeadLetterFloodError
from prefstream.consumer.stream.dead_letter_limit import DeadLetterLimit
from prefstream.consumer.stream.messages import Message, dead_letter, shrink
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata
from prefstream.schemas import InvalidEventError, Reason
from tests.support.streams import MARKERS, make_event

P0, P1 = TopicPartition("battles", 0), TopicPartition("battles", 1)

ERROR = InvalidEventError(Reason.NOT_JSON, "not JSON")


def message(
    *, dead: bool, offset: int = 0, partition: int = 0, epoch: int = 1, reason: Reason | None = None
) -> Message:
    """What leaves the stream for one record; only whether it is a dead letter, and where it stood, counts here."""
    event = make_event(b"zqprompt", partition=partition, offset=offset, epoch=epoch)
    return dead_letter(event, reason or Reason.NOT_JSON, ERROR) if dead else Message(event, None, b"{}", [])


def messages(pattern: str, *, first: int = 0, **fields: Any) -> list[Message]:
    """`x` is a dead letter, `.` a preference."""
    return [message(dead=mark == "x", offset=first + index, **fields) for index, mark in enumerate(pattern)]


class Broker:
    """What is committed with each partition's offset."""

    def __init__(self, **notes: OffsetMetadata) -> None:
        self.notes: dict[TopicPartition, OffsetMetadata] = {P0: notes.get("p0", OffsetMetadata())}
        self.asked: list[TopicPartition] = []

    def committed_note(self, partition: TopicPartition) -> OffsetMetadata:
        self.asked.append(partition)
        return self.notes.get(partition, OffsetMetadata())

    def commit(self, limit: DeadLetterLimit, batch: Sequence[Message]) -> None:
        """Check, publish and commit a batch as the stream does."""
        windows = limit.check(batch)
        self.notes |= {partition: OffsetMetadata(dead_letters=window.bits) for partition, window in windows.items()}
        limit.accept(windows)


def make_limit(broker: Broker, share: float = 0.5, size: int = 10) -> DeadLetterLimit:
    return DeadLetterLimit(share, size, broker.committed_note)


def first_that_trips(records: Sequence[bool], share: float, size: int) -> int:
    """The position of the record that trips the limit, by the definition; the end if none does."""
    for end, dead in enumerate(records, 1):
        if dead and sum(records[max(0, end - size) : end]) / size > share:
            return end - 1
    return len(records)


@given(
    partitions=st.lists(st.lists(st.booleans(), max_size=60), min_size=1, max_size=3),
    share=st.sampled_from([0.0, 0.1, 0.29, 0.5, 0.9, 1.0]),
    size=st.integers(1, 30),
    data=st.data(),
)
def test_what_is_published_depends_on_the_records_alone(
    partitions: list[list[bool]], share: float, size: int, data: st.DataObject
) -> None:
    """Not on how they fall into batches, not on aborted tries, not on restarts or rebalances."""
    broker = Broker()
    limit = make_limit(broker, share, size)
    published = [0] * len(partitions)
    stops = [first_that_trips(records, share, size) for records in partitions]
    epoch = 1
    for _ in range(25):
        event = data.draw(st.sampled_from(["batch", "batch", "batch", "aborted batch", "restart", "rebalance"]))
        if event == "restart":
            limit = make_limit(broker, share, size)
        elif event == "rebalance":
            epoch += 1
        else:
            ends = [data.draw(st.integers(begin, len(partitions[n]))) for n, begin in enumerate(published)]
            batch = [
                message(dead=partitions[n][offset], partition=n, offset=offset, epoch=epoch)
                for n, begin in enumerate(published)
                for offset in range(begin, ends[n])
            ]
            trips = any(end > stop for end, stop in zip(ends, stops, strict=True))
            # A batch lists what could not be decoded first.
            batch.sort(key=lambda one: one.reason is None)
            try:
                if event == "batch":
                    broker.commit(limit, batch)
                    published = ends
                else:
                    limit.check(batch)
            except DeadLetterFloodError:
                assert trips
            else:
                assert not trips
    assert all(done <= stop for done, stop in zip(published, stops, strict=True))


@given(st.integers(0, 2**10_000 - 1), st.integers(1, 10_000))
def test_a_window_survives_being_committed_and_fits_into_what_a_broker_takes(bits: int, size: int) -> None:
    note = OffsetMetadata(UUID(int=1), bits & ((1 << size) - 1))
    assert len(note.encode()) <= MAX_METADATA_BYTES
    assert make_limit(Broker(p0=note), 0.9999, size).check([message(dead=False)])[P0].bits == (bits << 1) & (
        (1 << size) - 1
    )


def test_at_the_limit_the_stream_goes_on_and_above_it_stops() -> None:
    broker = Broker()
    limit = make_limit(broker)
    broker.commit(limit, messages("xxxxx....."))
    with pytest.raises(DeadLetterFloodError):
        make_limit(Broker()).check(messages("xxxxx....x"))


@pytest.mark.parametrize("share", [0.07, 0.14, 0.28, 0.29, 0.55, 0.57, 0.58])
def test_a_share_is_not_exceeded_by_rounding(share: float) -> None:
    """29 of 100 are not more than 0.29, although 0.29 * 100 is less than 29."""
    allowed = round(share * 100)
    make_limit(Broker(), share, 100).check(messages("x" * allowed))
    with pytest.raises(DeadLetterFloodError):
        make_limit(Broker(), share, 100).check(messages("x" * (allowed + 1)))


def test_one_bad_record_does_nothing_by_default() -> None:
    config = StreamConfig.load()
    DeadLetterLimit(config.dead_letter_limit, config.dead_letter_window, Broker().committed_note).check(messages("x"))


def test_a_batch_longer_than_the_window_is_looked_at_all_along() -> None:
    """A flood in its middle is one, although the window has forgotten it by the batch's end."""
    with pytest.raises(DeadLetterFloodError):
        make_limit(Broker()).check(messages("." * 20 + "x" * 6 + "." * 20))


def test_partitions_have_windows_of_their_own() -> None:
    limit = make_limit(Broker())
    limit.check(messages("xxxx") + messages("xxxx", partition=1))


def test_a_batch_that_was_not_committed_is_not_counted() -> None:
    limit = make_limit(Broker())
    for _ in range(5):
        limit.check(messages("xxxxx"))


def test_a_preference_that_became_a_dead_letter_counts_as_one() -> None:
    """Too large for the broker: between one try to publish and the next."""
    sent = messages("......")
    limit = make_limit(Broker())
    limit.check(sent)
    with pytest.raises(DeadLetterFloodError, match="preference_too_large"):
        limit.check([smaller for one in sent if (smaller := shrink(one))])


def test_a_limit_of_1_never_stops_and_neither_asks_nor_writes_anything() -> None:
    broker = Broker()
    assert make_limit(broker, 1.0).check(messages("x" * 100)) == {}
    assert broker.asked == []


def test_a_limit_of_0_stops_at_the_first_dead_letter() -> None:
    limit = make_limit(Broker(), 0.0)
    limit.check(messages("....."))
    with pytest.raises(DeadLetterFloodError):
        limit.check(messages("....x"))


def test_after_the_limit_was_lowered_good_records_go_on_and_the_next_bad_one_stops() -> None:
    broker = Broker()
    broker.commit(make_limit(broker, 0.9), messages("xxxxxxxx"))
    lower = make_limit(broker, 0.5)
    broker.commit(lower, messages("..", first=8))
    with pytest.raises(DeadLetterFloodError):
        lower.check(messages("x", first=10))


def test_a_shorter_window_forgets_what_is_older() -> None:
    broker = Broker()
    broker.commit(make_limit(broker, 0.9, 10), messages("xxxxxxx..."))
    with pytest.raises(DeadLetterFloodError):
        make_limit(broker, 0.5, 10).check(messages("x", first=10))
    make_limit(broker, 0.5, 4).check(messages("x", first=10))


def test_the_committed_window_is_read_once_per_assignment() -> None:
    """While we own the partition nobody else commits for it; after a rebalance somebody may have."""
    broker = Broker()
    limit = make_limit(broker)
    broker.commit(limit, messages("xxx"))
    broker.commit(limit, messages("..", first=3))
    assert broker.asked == [P0]
    broker.notes[P0] = OffsetMetadata(dead_letters=0b11111)  # of the process that had it meanwhile
    with pytest.raises(DeadLetterFloodError):
        limit.check(messages("x", first=9, epoch=2))
    assert broker.asked == [P0, P0]


def test_a_window_is_read_only_where_a_batch_has_records() -> None:
    broker = Broker()
    make_limit(broker).check(messages(".", partition=1))
    assert broker.asked == [P1]


def test_the_error_says_how_many_why_where_and_what_to_do_and_nothing_of_the_events() -> None:
    batch = [
        message(dead=False, offset=40, partition=1),
        *(message(dead=True, offset=offset, partition=1) for offset in range(41, 46)),
        message(dead=True, offset=46, partition=1, reason=Reason.MISSING_FIELD),
        message(dead=True, offset=3, partition=0, reason=Reason.TOO_DEEP),
    ]
    with pytest.raises(DeadLetterFloodError) as flood:
        make_limit(Broker()).check(batch)
    text = str(flood.value)
    assert "6 of the last 10 records of battles/1" in text
    assert "dead_letter_limit 0.5" in text
    assert "6 of its 7 records are dead letters, 5 of them not_json" in text
    assert "battles/1/41" in text
    assert "prefstream dead-letters" in text
    assert not [marker for marker in MARKERS if marker in text]
