"""A flood of events that can't be scored stops the stream, and stays on the topic until somebody has acted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DeadLetterFloodError, TransactionFailedError
from prefstream.consumer.stream import telemetry
from prefstream.consumer.stream.partitions import committed_offsets as committed_offsets_module
from prefstream.consumer.stream.publisher import Publisher
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_event,
    battle_events,
    committed_offsets,
    fresh_config,
    produce,
    read_outcome,
    running,
    visible_count,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

BAD = b"zqprompt, no JSON"


def bad(count: int) -> list[bytes]:
    return [BAD] * count


@pytest.fixture
def small(stream_config: MakeConfig) -> StreamConfig:
    """One partition, batches of 5 that wait to be full, and no more than 10 dead letters among 20 records."""
    return stream_config(partitions=1, max_batch_battles=5, linger_ms=2_000, dead_letter_window=20)


def test_a_flood_stops_the_stream_and_nothing_of_its_batch_is_published(small: StreamConfig) -> None:
    """Ten dead letters of twenty may be; the batch with the eleventh stays on the topic, as all behind it."""
    produce(small, battle_events(10) + bad(50))
    with running(small) as service:
        error = service.wait_ended()
    assert isinstance(error, DeadLetterFloodError)
    assert f"{small.battles_topic}/0/20" in str(error)
    assert "not_json" in str(error)
    assert committed_offsets(small, 1) == {0: 20}
    assert read_outcome(small).positions == {(small.battles_topic, 0, offset): 1 for offset in range(20)}


def test_no_number_of_restarts_gets_past_it_until_somebody_acts(small: StreamConfig) -> None:
    """Each start knows what was published before; without the limit the flood becomes dead letters, once each."""
    sent = produce(small, battle_events(10) + bad(50) + battle_events(5))
    for batch in (5, 3, 1, 7):
        with running(small.model_copy(update={"max_batch_battles": batch, "linger_ms": 1})) as service:
            assert isinstance(service.wait_ended(), DeadLetterFloodError)
    assert visible_count(small) == 20
    with running(small.model_copy(update={"dead_letter_limit": 1.0})) as service:
        service.wait_published(45)
    outcome = assert_exactly_once(small, sent)
    assert outcome.reasons() == {"not_json": 50}
    sent += produce(small, battle_events(5) + bad(5))
    with running(small) as service:  # what passed without a limit is not held against what comes
        service.wait_published(10)
    assert_exactly_once(small, sent)


def test_a_raised_limit_lets_it_go_on(small: StreamConfig) -> None:
    sent = produce(small, battle_events(10) + bad(15) + battle_events(10))
    with running(small) as service:
        assert isinstance(service.wait_ended(), DeadLetterFloodError)
    with running(small.model_copy(update={"dead_letter_limit": 0.75})) as service:
        service.wait_published(15)
    assert_exactly_once(small, sent)


def test_a_few_bad_records_never_stop_it(stream_config: MakeConfig) -> None:
    """A third of all, evenly spread, under a limit of a half."""
    config = stream_config(dead_letter_window=20)
    sent = produce(config, [BAD if number % 3 == 0 else battle_event(number) for number in range(300)], partition=1)
    with running(config) as service:
        service.wait_published(300)
    assert_exactly_once(config, sent)


def test_one_bad_record_on_a_quiet_topic_does_nothing(stream_config: MakeConfig) -> None:
    config = stream_config()
    sent = produce(config, bad(1))
    with running(config) as service:
        service.wait_published(1)
    assert_exactly_once(config, sent)


def test_a_partition_takes_its_window_along_to_another_process(small: StreamConfig) -> None:
    """The second process has seen one dead letter, and knows of the ten before."""
    produce(small, bad(10))
    with running(small.model_copy(update={"instance_id": "one"})) as service:
        service.wait_published(10)
    produce(small, bad(1))
    with running(small.model_copy(update={"instance_id": "two"})) as service:
        error = service.wait_ended()
    assert isinstance(error, DeadLetterFloodError)
    assert "11 of the last 20" in str(error)
    assert visible_count(small) == 10


ILLEGAL_GENERATION = 22
COORDINATOR_LOADING = 14


def on(broker: EmbeddedBroker, **settings: Any) -> StreamConfig:
    """One partition, and no more than 5 dead letters among 10 records; faults meet the client `g-one`."""
    defaults = {"group_id": "g", "instance_id": "one", "dead_letter_window": 10}
    return fresh_config(broker.bootstrap_servers, **{**defaults, **settings})


def ask_only_for_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let committed offsets be asked for by batches alone, and soon given up; positions alone would ask before."""
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    monkeypatch.setattr(committed_offsets_module, "COMMITTED_TIMEOUT_MS", 200)
    monkeypatch.setattr(Publisher, "commit_positions", lambda *_, **__: None)


def wait_reading(service: Running, config: StreamConfig) -> None:
    """Wait until the service knows where to read, so that it asks for committed offsets only to publish."""
    lag = {"topic": config.battles_topic, "partition": "0"}
    sample = service.service.metrics.registry.get_sample_value
    wait_until(lambda: sample("prefstream_consumer_lag_records", lag) == 0, what="the end of the topic")


def test_a_batch_that_was_aborted_and_sent_again_counts_once() -> None:
    """Five dead letters of ten are no flood; counted twice they would be one."""
    with EmbeddedBroker() as broker:
        config = on(broker, max_batch_battles=5, linger_ms=2_000)
        sent = produce(config, bad(5))
        broker.faults.fail("TxnOffsetCommit", error_code=ILLEGAL_GENERATION, client_id="g-one")
        with running(config) as service:
            service.wait_published(5)
            aborted = service.service.metrics.registry.get_sample_value("prefstream_transactions_aborted_total")
        assert aborted == 1
        assert_exactly_once(config, sent)


def test_while_the_window_is_not_known_nothing_is_published(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only_for_a_batch(monkeypatch)
    with EmbeddedBroker() as broker:
        config = on(broker)
        with running(config) as service:
            wait_reading(service, config)
            broker.faults.fail("OffsetFetch", error_code=COORDINATOR_LOADING, times=10_000, client_id="g-one")
            sent = produce(config, battle_events(2))
            wait_until(lambda: broker.faults.pending() < 9_995, what="several tries")
            assert visible_count(config) == 0
            broker.faults.clear()
            service.wait_published(2)
        assert_exactly_once(config, sent)


def test_a_window_that_is_not_told_for_too_long_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    ask_only_for_a_batch(monkeypatch)
    with EmbeddedBroker() as broker:
        config = on(broker, broker_timeout_s=10.0)
        with running(config) as service:
            wait_reading(service, config)
            broker.faults.fail("OffsetFetch", error_code=COORDINATOR_LOADING, times=10_000, client_id="g-one")
            produce(config, battle_events(2))
            error = service.wait_ended()
        assert isinstance(error, TransactionFailedError)
        assert f"what was committed for {config.battles_topic}/0 is not known" in str(error)
        assert service.stalled is None
        assert visible_count(config) == 0
