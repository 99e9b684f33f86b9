"""The publisher's states: what holds a batch, when it goes out again, how a transaction of unknown end is settled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from kafka import errors as kafka_errors
from structlog.testing import capture_logs

from prefstream.consumer.client.protocols import OffsetAndMetadata, TopicPartition
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import FencedError, TransactionFailedError
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.stream import publisher as publisher_module
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.messages import Message
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.consumer.stream.partitions.offset_metadata import OffsetMetadata
from prefstream.consumer.stream.pipeline import Scored
from prefstream.consumer.stream.publisher import (
    FAILING_S,
    FIRST_BACKOFF_S,
    LONGEST_BACKOFF_S,
    POSITIONS_EVERY_S,
    Idle,
    Publisher,
    Retrying,
    Unsettled,
)
from prefstream.consumer.stream.sink import Sink
from prefstream.consumer.stream.source import Source
from prefstream.schemas import Reason, decode_preference, encode_preference
from prefstream.schemas.preference import Review
from tests.support.fake_clock import FakeClock
from tests.support.samples import a_preference
from tests.support.scripted_clients import OLD, ScriptedConsumer, ScriptedProducer
from tests.support.streams import make_event
from tests.support.traced import Traced

P0 = TopicPartition("battles", 0)
PASSING = kafka_errors.CoordinatorNotAvailableError()


class Stage:
    """A publisher with a real source and sink, on clients that do what they are told."""

    def __init__(self, watchdog: Watchdog, producers: list[ScriptedProducer], **settings: Any) -> None:
        self.consumer = ScriptedConsumer({P0: [make_event(offset=5).record, make_event(offset=6).record]})
        config = StreamConfig.load(broker_timeout_s=30.0, **settings)
        self.source = Source(self.consumer, config)
        self.consumer.give(P0)
        events = self.source.poll(0.1, 10)
        self.metrics = StreamMetrics()
        self.producers = producers
        self.spare = ScriptedProducer()
        scripted = iter([*producers, *(self.spare for _ in range(50))])
        sink = Sink(lambda: next(scripted), config, watchdog)
        self.publisher = Publisher(config, self.source, sink, self.metrics, watchdog)
        self.publisher.open()
        self.scored = scored(events)

    def committed(self) -> list[int]:
        """Offsets of partition 0 that were committed, in turn."""
        return [offsets[P0].offset for producer in [*self.producers, self.spare] for offsets in producer.offsets]

    def aborted(self) -> float | None:
        return self.metrics.registry.get_sample_value("prefstream_transactions_aborted_total")


def scored(events: list[Event]) -> Scored:
    messages = tuple(Message(event, b"key", b"value", []) for event in events)
    return Scored(Batch(tuple(events), 0.0), messages, (), 0, 0.0, 0.0, 0.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    clock = FakeClock()
    monkeypatch.setattr(publisher_module, "time", clock)
    return clock


@pytest.fixture
def stage(clock: FakeClock) -> Iterator[Callable[..., Stage]]:
    with closing(Watchdog(60, lambda *_: None)) as watchdog:
        yield lambda *producers, **settings: Stage(watchdog, list(producers), **settings)


def failing(step: str, error: Exception, *, abort: Exception | None = None) -> ScriptedProducer:
    producer = ScriptedProducer(step, error)
    producer.abort_error = abort
    return producer


Set = Callable[..., Stage]


def in_turn(act: Callable[[], None], *, times: int) -> None:
    for _ in range(times):
        act()


def test_a_batch_that_is_committed_leaves_nothing_held(stage: Set) -> None:
    scene = stage()
    published = scene.publisher.publish(scene.scored)
    assert published is not None
    assert published.messages == scene.scored.messages
    assert scene.publisher.held is None
    assert isinstance(scene.publisher.state, Idle)


def test_an_aborted_one_is_held_and_committed_when_it_is_tried_again(stage: Set, clock: FakeClock) -> None:
    scene = stage(failing("commit_transaction", PASSING))
    assert scene.publisher.publish(scene.scored) is None
    assert scene.publisher.state == Retrying(
        scene.scored, due=clock.now + FIRST_BACKOFF_S, backoff_s=FIRST_BACKOFF_S, failing_since=clock.now
    )
    assert scene.aborted() == 1
    assert scene.publisher.publish(scene.scored) is not None
    assert scene.publisher.held is None


def test_each_failure_doubles_the_wait_up_to_a_bound_and_then_it_is_given_up(stage: Set, clock: FakeClock) -> None:
    scene = stage(*(failing("commit_transaction", PASSING) for _ in range(40)))
    waits: list[float] = []

    def try_again() -> None:
        assert scene.publisher.publish(scene.scored) is None
        assert scene.publisher.held is not None
        waits.append(round(scene.publisher.held.due - clock.now, 3))
        clock.now = scene.publisher.held.due

    with pytest.raises(TransactionFailedError, match="could not be committed for 30 s"):
        in_turn(try_again, times=40)
    assert waits[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]
    assert set(waits[5:]) == {LONGEST_BACKOFF_S}
    assert clock.now - 1000.0 > 30


def test_a_batch_that_fails_again_and_again_is_one_warning_and_holds_the_stream_up_until_it_is_out(
    stage: Set, clock: FakeClock
) -> None:
    scene = stage(*(failing("commit_transaction", PASSING) for _ in range(4)))
    with capture_logs() as lines:
        for _ in range(4):
            assert scene.publisher.obstacle() is None
            assert scene.publisher.publish(scene.scored) is None
            clock.now += FAILING_S / 4
        assert isinstance(scene.publisher.obstacle(), TransactionFailedError)
        assert scene.publisher.publish(scene.scored) is not None
    assert scene.publisher.obstacle() is None
    told = [line for line in lines if line["event"] == "transaction aborted, retrying"]
    assert [line["log_level"] for line in told] == ["warning", *["debug"] * 3]
    assert told[0]["error"] == type(PASSING).__name__
    assert told[0]["why"] == f"no answer in time, or none of use ({type(PASSING).__name__})"
    assert told[0]["partitions"] == ["battles/0"]


def test_a_transaction_whose_end_nobody_knows_is_looked_up_and_was_committed(stage: Set, clock: FakeClock) -> None:
    scene = stage(failing("commit_transaction", PASSING, abort=kafka_errors.KafkaTimeoutError()))
    assert scene.publisher.publish(scene.scored) is None
    assert isinstance(scene.publisher.state, Unsettled)
    scene.consumer.committed_offsets = {P0: OffsetAndMetadata(7, "", -1)}
    clock.now += 3
    published = scene.publisher.publish(scene.scored)
    assert published is not None
    assert published.messages == scene.scored.messages
    assert published.commit_s == 3
    assert scene.publisher.held is None
    assert scene.aborted() == 0


def test_one_that_was_not_committed_goes_out_again(stage: Set) -> None:
    second = ScriptedProducer()
    scene = stage(failing("commit_transaction", PASSING, abort=kafka_errors.KafkaTimeoutError()), second)
    scene.publisher.publish(scene.scored)
    scene.consumer.committed_offsets = {P0: OffsetAndMetadata(6, "", -1)}  # behind its first record alone
    assert scene.publisher.publish(scene.scored) is not None
    assert second.calls[-1] == "commit_transaction"
    assert scene.aborted() == 1


def test_spans_say_whether_anybody_knows_how_the_transaction_ended(stage: Set) -> None:
    scene = stage(failing("commit_transaction", PASSING, abort=kafka_errors.KafkaTimeoutError()))
    traced = Traced()
    trace = traced.begin(*(message.event.record for message in scene.scored.messages))
    scored = replace(scene.scored, trace=trace)
    scene.publisher.publish(scored)
    unsettled = trace.unsettled
    scene.consumer.committed_offsets = {P0: OffsetAndMetadata(5, "", -1)}
    assert scene.publisher.publish(scored) is not None
    assert (unsettled, trace.unsettled) == (True, False)
    attempts = [span.status.description for span in traced.named("commit battles")]
    assert attempts == ["UnsettledError", None]


def test_while_nobody_tells_how_it_ended_it_stays_unsettled(stage: Set) -> None:
    scene = stage(
        failing("commit_transaction", PASSING, abort=kafka_errors.KafkaTimeoutError()),
        failing("init_transactions", PASSING),
    )
    scene.publisher.publish(scene.scored)
    for what in ("no producer", "no committed offset"):
        assert scene.publisher.publish(scene.scored) is None, what
        assert isinstance(scene.publisher.state, Unsettled), what
        scene.consumer.committed_offsets = {P0: kafka_errors.KafkaTimeoutError()}
    assert scene.publisher.held is not None
    assert scene.publisher.held.backoff_s == 4 * FIRST_BACKOFF_S


def test_who_is_no_member_holds_the_batch_without_counting_a_failure(stage: Set) -> None:
    scene = stage()
    scene.consumer.known_generation = -1
    assert scene.publisher.publish(scene.scored) is None
    assert isinstance(scene.publisher.state, Retrying)
    assert scene.publisher.state.failing_since is None
    assert scene.producers == []


def test_what_moved_to_another_member_is_dropped(stage: Set) -> None:
    scene = stage()
    assert scene.consumer.listener is not None
    scene.consumer.listener.on_partitions_revoked([P0])
    published = scene.publisher.publish(scene.scored)
    assert published is not None
    assert published.messages == ()


@pytest.mark.parametrize("known_before", [False, True])
def test_what_is_read_again_because_a_loss_was_noted_is_not_answered_twice(stage: Set, *, known_before: bool) -> None:
    """The note is found when the batch is about to go out: from then on nothing that was read before is ours."""
    scene = stage(on_data_loss="earliest")
    if known_before:  # as after a transaction whose end nobody knew
        assert scene.source.began_in_this_topic([P0])
        scene.source.committed.forget()
    scene.consumer.committed_offsets = {P0: OffsetAndMetadata(5, OffsetMetadata(OLD, halted=True).encode(), -1)}
    assert scene.publisher.publish(scene.scored) is None
    published = scene.publisher.publish(scene.scored)
    assert published is not None
    assert published.messages == ()
    assert scene.committed() == [0]  # where it is read from now on
    assert scene.consumer.sought == [("offset 0", (P0,))]


def test_a_message_that_is_too_large_is_smaller_at_the_next_try(stage: Set) -> None:
    scene = stage(failing("send", kafka_errors.MessageSizeTooLargeError()))
    scene.publisher.publish(scene.scored)
    assert scene.publisher.held is not None
    first, second = scene.publisher.held.scored.messages
    assert first.reason == "preference_too_large"
    assert second == scene.scored.messages[1]


def test_a_shadow_sends_no_dead_letter_and_commits_what_is_behind_it(stage: Set) -> None:
    """Who serves has written it."""
    producer = NoReviews()
    scene = stage(producer, shadow=True)
    first, second = scene.scored.messages
    refused = replace(first, reason=Reason.NOT_JSON)
    published = scene.publisher.publish(replace(scene.scored, messages=(refused, second)))
    assert published is not None
    assert published.messages == (refused, second)
    assert producer.topics == ["preferences.shadow"]
    assert scene.committed() == [7]


class NoReviews(ScriptedProducer):
    """The broker takes everything but what goes to the review topic: the answer comes when the batch is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.topics: list[str] = []

    def send(self, topic: str, **message: Any) -> Any:
        self.topics.append(topic)
        self.step, self.error = ("delivery", kafka_errors.MessageSizeTooLargeError()) if topic == "r" else (None, None)
        return super().send(topic, **message)


def test_what_is_too_large_for_the_review_topic_is_published_without_review(stage: Set) -> None:
    """And neither kept from its readers nor lost in silence."""
    producer = NoReviews()
    scene = stage(producer, review_topic="r")
    said = a_preference(review=Review(probability=0.5, chosen=True))
    first, second = scene.scored.messages
    chosen = replace(first, value=encode_preference(said), chosen=True)
    with capture_logs() as logs:
        assert scene.publisher.publish(replace(scene.scored, messages=(chosen, second))) is None
    assert producer.topics == ["preferences", "preferences", "r"]
    held = scene.publisher.held
    assert held is not None
    alone, same = held.scored.messages
    assert (same, alone.chosen) == (second, False)
    assert decode_preference(alone.value or b"") == a_preference()
    assert scene.metrics.registry.get_sample_value("prefstream_reviews_refused_total") == 1
    [told] = [line for line in logs if "too large for the review topic" in line["event"]]
    assert (told["topic"], told["preferences"], told["largest"]) == ("r", 1, chosen.size)
    published = scene.publisher.publish(held.scored)
    assert published is not None
    assert [message.reason for message in published.messages] == [None, None]


def test_what_can_not_be_mended_ends_it(stage: Set) -> None:
    scene = stage(failing("commit_transaction", kafka_errors.ProducerFencedError()))
    with pytest.raises(FencedError):
        scene.publisher.publish(scene.scored)


def test_the_next_batch_starts_with_a_clean_sheet(stage: Set, clock: FakeClock) -> None:
    """How long an earlier one failed counts for that one alone."""
    scene = stage(failing("commit_transaction", PASSING), ScriptedProducer("commit_transaction", None))
    scene.publisher.publish(scene.scored)
    scene.publisher.publish(scene.scored)
    clock.now += 1000
    scene.producers[1].error = PASSING
    later = replace(scene.scored, padded_tokens=1)
    assert scene.publisher.publish(later) is None
    assert scene.publisher.state == Retrying(
        later, due=clock.now + FIRST_BACKOFF_S, backoff_s=FIRST_BACKOFF_S, failing_since=clock.now
    )


def test_a_position_behind_a_marker_is_committed_once_nothing_is_in_flight(stage: Set, clock: FakeClock) -> None:
    scene = stage()
    scene.consumer.positions = {P0: 9}
    scene.publisher.commit_positions(at_once=True)
    assert scene.committed() == []
    scene.publisher.publish(scene.scored)
    scene.consumer.positions = {P0: 10}
    scene.publisher.commit_positions(at_once=True)
    scene.publisher.commit_positions(at_once=True)
    assert scene.committed() == [9, 10]
    assert isinstance(scene.publisher.state, Idle)


def test_positions_alone_are_committed_only_so_long_after_the_last_commit(stage: Set, clock: FakeClock) -> None:
    """But at once where partitions may be about to leave us."""
    scene = stage()
    scene.publisher.publish(scene.scored)
    for position in (8, 9, 10):
        scene.consumer.positions = {P0: position}
        scene.publisher.commit_positions()
        clock.now += POSITIONS_EVERY_S / 2
    assert scene.committed() == [7, 10]
    scene.consumer.positions = {P0: 11}
    scene.publisher.commit_positions(at_once=True)
    assert scene.committed() == [7, 10, 11]


def test_who_is_no_member_commits_no_position_and_holds_nothing_up(stage: Set) -> None:
    scene = stage()
    scene.publisher.publish(scene.scored)
    scene.consumer.positions = {P0: 10}
    scene.consumer.known_generation = -1
    scene.consumer.generation_id += 1
    scene.publisher.commit_positions(at_once=True)
    assert scene.committed() == [7]
    assert isinstance(scene.publisher.state, Idle)


def test_a_position_that_could_not_be_committed_is_tried_again(stage: Set) -> None:
    scene = stage(failing("commit_transaction", PASSING))
    scene.producers[0].step = None
    scene.publisher.publish(scene.scored)
    scene.producers[0].step = "commit_transaction"
    scene.consumer.positions = {P0: 10}
    scene.publisher.commit_positions(at_once=True)
    assert scene.publisher.held is not None
    assert scene.publisher.held.scored.messages == ()
    assert scene.publisher.publish(scene.publisher.held.scored) is not None
    assert scene.committed() == [7, 10, 10]


def test_a_position_of_whose_commit_nobody_knows_the_end_is_looked_up(stage: Set) -> None:
    scene = stage(failing("commit_transaction", PASSING, abort=kafka_errors.KafkaTimeoutError()))
    scene.producers[0].step = None
    scene.publisher.publish(scene.scored)
    scene.producers[0].step = "commit_transaction"
    scene.consumer.positions = {P0: 10}
    scene.publisher.commit_positions(at_once=True)
    assert isinstance(scene.publisher.state, Unsettled)
    scene.consumer.committed_offsets = {P0: OffsetAndMetadata(7, "", -1)}
    assert scene.publisher.held is not None
    assert scene.publisher.publish(scene.publisher.held.scored) is not None
    scene.publisher.commit_positions(at_once=True)
    assert scene.committed() == [7, 10, 10]
