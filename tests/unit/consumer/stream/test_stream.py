"""The loop, turn by turn: what it waits for, and what it takes for a judge that hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import errors as kafka_errors

from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StalledError
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.stream import publisher
from prefstream.consumer.stream import stream as stream_module
from prefstream.consumer.stream.batch import Batch
from prefstream.consumer.stream.free_way import FreeWay
from prefstream.consumer.stream.messages import Composer
from prefstream.consumer.stream.pipeline import Pipeline, Prepared
from prefstream.consumer.stream.publisher import Publisher
from prefstream.consumer.stream.sink import Sink
from prefstream.consumer.stream.source import Source
from prefstream.consumer.stream.stream import BUSY_POLL_S, RUN_UP, RUN_UP_POLL_S, Stream, next_look_s
from prefstream.consumer.stream.telemetry import Telemetry
from prefstream.schemas import Battle
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch
from prefstream.scoring.panel.scorer import Scorer
from prefstream.scoring.panel.turns import OnJudged
from tests.support.fake_clock import FakeClock
from tests.support.scripted_clients import ScriptedConsumer, ScriptedProducer
from tests.support.streams import make_event

P0 = TopicPartition("battles", 0)


class Unasked:
    """A panel for batches without a battle: what is no battle needs no judge."""

    def encode(self, battles: Sequence[Battle]) -> EncodedBatch:
        raise AssertionError("there are no battles")

    def score_encoded(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        raise AssertionError("there are no battles")


class Stage:
    """A stream with its real parts, on clients that do what they are told; the test turns the loop."""

    def __init__(self, watchdog: Watchdog, *producers: ScriptedProducer, **settings: Any) -> None:
        config = StreamConfig.load(**settings)
        self.consumer = ScriptedConsumer({P0: [make_event(offset=5).record]})
        self.source = Source(self.consumer, config)
        self.consumer.give(P0)
        (self.event,) = self.source.poll(0.1, 10)
        metrics = StreamMetrics()
        scripted = iter([*producers, *(ScriptedProducer() for _ in range(9))])
        self.pipeline = Pipeline(Unasked(), Composer("g"))
        self.publisher = Publisher(
            config, self.source, Sink(lambda: next(scripted), config, watchdog), metrics, watchdog
        )
        self.publisher.open()
        self.stream = Stream(config, self.source, self.pipeline, self.publisher, Telemetry(metrics), watchdog)

    def submit(self) -> None:
        """Put a batch into the pipeline, and wait until it is scored."""
        self.pipeline.submit(Batch((self.event,), 0.0))
        self.pipeline.wait_finished(60.0)


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    with closing(Watchdog(60, lambda *_: None)) as watchdog:
        yield watchdog


def test_a_batch_that_waits_behind_a_held_one_is_no_judge_that_hangs(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is scored; only nobody takes it before the one that is tried again."""
    monkeypatch.setattr(publisher, "FIRST_BACKOFF_S", 1_000.0)
    failing = ScriptedProducer("commit_transaction", kafka_errors.CoordinatorNotAvailableError())
    stage = Stage(watchdog, failing, score_timeout_s=0.01)
    with closing(stage.pipeline):
        stage.submit()
        stage.stream._publish()
        assert stage.publisher.held is not None
        stage.submit()
        time.sleep(0.02)
        stage.stream._publish()  # it is not due yet
        assert len(stage.pipeline) == 1


def test_a_batch_that_nobody_finishes_ends_the_stream(watchdog: Watchdog) -> None:
    stage = Stage(watchdog, score_timeout_s=0.01)
    with closing(stage.pipeline):
        stage.pipeline.submit(Batch((), 0.0))
        stage.pipeline.take = lambda: None  # type: ignore[method-assign]  # the judge is still at it
        time.sleep(0.02)
        with pytest.raises(StalledError, match="raise score_timeout_s"):
            stage.stream._publish()


def test_reading_pauses_while_what_is_in_flight_weighs_enough_and_goes_on_when_it_is_committed(
    watchdog: Watchdog,
) -> None:
    """One batch, although three may be in flight."""
    stage = Stage(watchdog, max_in_flight_bytes=2**20)
    with closing(stage.pipeline):
        stage.pipeline.submit(Batch((stage.event,), 0.0, weight_bytes=2**20))
        stage.stream._read()
        assert stage.consumer.held == {P0}
        stage.pipeline.wait_finished(60.0)
        stage.stream._publish()
        stage.stream._read()
        assert stage.consumer.held == set()


def test_a_batch_that_is_held_weighs_as_much_as_before(watchdog: Watchdog) -> None:
    failing = ScriptedProducer("commit_transaction", kafka_errors.CoordinatorNotAvailableError())
    stage = Stage(watchdog, failing, max_in_flight_bytes=2**20)
    with closing(stage.pipeline):
        stage.pipeline.submit(Batch((stage.event,), 0.0, weight_bytes=2**20))
        stage.pipeline.wait_finished(60.0)
        stage.stream._publish()
        assert stage.publisher.held is not None
        stage.stream._read()
        assert stage.consumer.held == {P0}


def test_what_taking_over_the_transactional_id_takes_is_no_time_in_which_the_stream_was_held_up(
    watchdog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A coordinator that comes late leaves the group all its time to let us in."""
    clock = FakeClock()
    monkeypatch.setattr(stream_module, "FreeWay", partial(FreeWay, clock=clock.monotonic))
    stage = Stage(watchdog)
    monkeypatch.setattr(stage.publisher, "open", lambda: setattr(clock, "now", clock.now + 1_000.0))
    stage.consumer.known_generation = -1
    stage.stream._on_poll = lambda: stage.stream.stop() if len(stage.consumer.timeouts_ms) > 2 else None
    with closing(stage.pipeline):
        stage.stream.run()


def test_while_the_source_backs_off_nothing_is_polled_and_then_it_is(watchdog: Watchdog) -> None:
    stage = Stage(watchdog)
    with closing(stage.pipeline):
        stage.source._back_off(60.0)
        stage.stream._read()
        assert len(stage.consumer.timeouts_ms) == 1  # the poll that the stage itself has made
        stage.source._back_off(0.0)
        stage.stream._read()
        assert len(stage.consumer.timeouts_ms) == 2


def test_a_drain_that_backs_off_does_not_spin(watchdog: Watchdog) -> None:
    failing = ScriptedProducer("commit_transaction", kafka_errors.CoordinatorNotAvailableError())
    stage = Stage(watchdog, failing, drain_seconds=5.0)
    with closing(stage.pipeline):
        stage.submit()
        stage.stream._publish()
        stage.source._back_off(60.0)
        turns: list[float] = []
        stage.stream._on_poll = lambda: turns.append(time.monotonic())
        stage.stream.stop()
        stage.stream._drain()
        assert stage.publisher.held is None  # it went out when it was due
        assert 1 < len(turns) <= 5.0 / BUSY_POLL_S + 1


@pytest.fixture
def judging(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """What a batch that is to be decoded waits for; a look for records would come an hour later."""
    free = threading.Event()
    prepare = Pipeline._prepare

    def wait_first(pipeline: Pipeline, batch: Batch, scorer: Scorer) -> Prepared:
        assert free.wait(60)
        return prepare(pipeline, batch, scorer)

    monkeypatch.setattr(Pipeline, "_prepare", wait_first)
    monkeypatch.setattr(stream_module, "BUSY_POLL_S", 3_600.0)
    return free


def test_a_result_ends_the_wait_for_it_at_once(watchdog: Watchdog, judging: threading.Event) -> None:
    stage = Stage(watchdog)
    with closing(stage.pipeline):
        stage.pipeline.submit(Batch((stage.event,), 0.0))
        threading.Timer(0.05, judging.set).start()
        stage.stream._read()
        assert stage.consumer.timeouts_ms[-1] == 0, "it is the result that is waited for, not a record"
        stage.stream._publish()
        assert not stage.pipeline


@pytest.mark.parametrize(("pass_s", "commit_s", "in_flight"), [(0.002, 0.01, 1), (0.07, 0.01, 2)])
def test_where_a_commit_takes_longer_than_a_pass_a_result_goes_out_before_a_batch_begins_that_is_not_full(
    watchdog: Watchdog, pass_s: float, commit_s: float, in_flight: int
) -> None:
    stage = Stage(watchdog, linger_ms=0)
    with closing(stage.pipeline):
        stage.stream._pass_s, stage.stream._commit_s = pass_s, commit_s
        stage.submit()
        stage.consumer.polls.append({P0: [make_event(offset=6).record]})
        stage.stream._read()
        assert len(stage.pipeline) == in_flight
        assert stage.consumer.timeouts_ms[-1] == 0, "a result waits to be published"
        stage.stream._publish()
        stage.stream._read()
        stage.pipeline.wait_finished(60.0)
        stage.stream._publish()
        assert not stage.pipeline
        assert stage.stream._batcher.wait_s() is None, "both batches were published"


def test_a_full_batch_begins_whatever_waits_to_be_published(watchdog: Watchdog) -> None:
    stage = Stage(watchdog, max_batch_battles=1)
    with closing(stage.pipeline):
        stage.stream._commit_s = 1.0
        stage.submit()
        stage.consumer.polls.append({P0: [make_event(offset=6).record]})
        stage.stream._read()
        assert len(stage.pipeline) == 2


def test_records_that_are_there_are_taken_while_a_batch_is_scored(watchdog: Watchdog, judging: threading.Event) -> None:
    stage = Stage(watchdog)
    stage.consumer.polls.append({P0: [make_event(offset=6).record]})
    with closing(stage.pipeline):
        stage.pipeline.submit(Batch((stage.event,), 0.0))
        stage.stream._read()
        assert stage.stream._batcher.wait_s() is not None, "they wait in the open batch"
        judging.set()


seconds = st.floats(0.0, 100.0)


@given(pass_s=seconds, age_s=seconds)
def test_looks_for_records_are_never_further_apart_than_before_and_close_where_a_pass_ends(
    pass_s: float, age_s: float
) -> None:
    next_s = next_look_s(pass_s, age_s)
    assert 0 < next_s <= BUSY_POLL_S
    run_up_s = min(RUN_UP * pass_s, BUSY_POLL_S)
    assert next_s <= max(RUN_UP_POLL_S, pass_s - run_up_s - age_s) or age_s >= pass_s + run_up_s


def test_the_first_passes_length_is_not_known_and_looks_are_as_far_apart_as_they_may_be() -> None:
    assert next_look_s(0.0, 0.02) == BUSY_POLL_S
