"""Exactly once whatever the broker answers: each test makes requests fail or get lost, and counts what readers see."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.broker.faults import ApiName
from prefstream.consumer.client import clients as kafka_client
from prefstream.consumer.client.instance import transactional_id
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import FencedError, NotAuthorizedError, TransactionFailedError
from prefstream.schemas import PrefstreamError
from tests.support.priors import prior_panel
from tests.support.streams import (
    assert_exactly_once,
    battle_events,
    committed_offsets,
    end_offsets,
    fresh_config,
    in_parallel,
    produce,
    read_outcome,
    running,
    wait_until,
)

NOT_LEADER_OR_FOLLOWER = 6


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of the test's own."""
    with EmbeddedBroker() as broker:
        yield broker


def on(broker: EmbeddedBroker, *, partitions: int = 1, **settings: Any) -> StreamConfig:
    """A configuration with a group and topics of its own."""
    defaults = {"instance_id": "one", "max_batch_battles": 8, "linger_ms": 5, "broker_timeout_s": 20.0}
    return fresh_config(broker.bootstrap_servers, partitions=partitions, **{**defaults, **settings})


def client_id(config: StreamConfig) -> str:
    """Of the service's consumer and producer: faults meet these, and not the clients of the test."""
    return f"{config.group_id}-one"


PASSING: dict[ApiName, tuple[int, ...]] = {
    "AddOffsetsToTxn": (51, 14, 15, 16),
    "AddPartitionsToTxn": (51, 14, 15, 16, 3),
    "EndTxn": (51, 14, 15, 16),
    "Fetch": (3, 6),
    "FindCoordinator": (15, 15, 15),
    "Heartbeat": (27, 25, 16, 22),
    "InitProducerId": (51, 14, 15, 16),
    "JoinGroup": (14, 15, 16, 25, 27),
    "ListOffsets": (6, 3),
    "Metadata": (5, 3),
    "OffsetFetch": (14, 16, 88),
    "Produce": (6, 7, 3, 19),
    "SyncGroup": (27, 22, 25, 16),
    "TxnOffsetCommit": (14, 15, 16),
}
"""Requests that the stream makes, and passing faults that a broker may answer them with."""


def serve_through_faults(broker: EmbeddedBroker, config: StreamConfig) -> None:
    """Serve records that are there before and records that come later, until every planned fault has happened."""
    sent = produce(config, battle_events(20))
    with running(config) as service:
        service.wait_published(20)
        wait_until(lambda: not broker.faults.pending(), what="every fault to happen")
        sent += produce(config, battle_events(20, first=20))
        service.wait_published(40)
    assert_exactly_once(config, sent)


def test_passing_errors_of_every_request_are_survived() -> None:
    """A broker that answers a request with passing errors costs time, never a record."""

    def check(api: ApiName, *codes: int) -> None:
        with EmbeddedBroker() as broker:
            config = on(broker, session_timeout_ms=1_500)
            for code in codes:
                broker.faults.fail(api, error_code=code, client_id=client_id(config))
            serve_through_faults(broker, config)

    in_parallel(check, [(api, *codes) for api, codes in PASSING.items()])


def test_lost_connections_at_every_request_are_survived() -> None:
    """A connection that ends before or after the broker did what was asked costs time, never a record."""

    def check(api: ApiName) -> None:
        with EmbeddedBroker() as broker:
            config = on(broker, session_timeout_ms=1_500)
            broker.faults.drop(api, client_id=client_id(config))
            broker.faults.drop(api, client_id=client_id(config), after_apply=True)
            serve_through_faults(broker, config)

    in_parallel(check, [(api,) for api in PASSING])


def serve_until_all_is_out(config: StreamConfig, count: int, *, restarts: int = 5) -> list[BaseException]:
    """Run services one after the other, as a supervisor would, until all is out; what ended each before the last."""
    errors: list[BaseException] = []
    while len(errors) <= restarts:
        seen = sum(read_outcome(config).positions.values())
        with running(config) as service:
            error = service.wait_ended_or_published(count - seen)
        if error is None:
            return errors
        assert isinstance(error, PrefstreamError), f"a supervisor would see a crash: {error!r}"
        errors.append(error)
    raise AssertionError(f"no end of it: {errors}")


REFUSED: dict[ApiName, tuple[int, ...]] = {
    "AddOffsetsToTxn": (30, 47, 48, 49, 53, 90),
    "AddPartitionsToTxn": (29, 47, 48, 49, 53, 55, 90),
    "EndTxn": (47, 48, 49, 53, 90),
    "Produce": (2, 29, 32, 45, 47, 48, 49, 59, 87),
    "TxnOffsetCommit": (12, 22, 25, 27, 30, 47, 48, 49, 82, 90),
}
"""Requests inside a transaction, and answers after which it can't be committed as it is."""

ENDS_IT: dict[int, type[PrefstreamError]] = {
    **dict.fromkeys((29, 30, 53), NotAuthorizedError),
    **dict.fromkeys((47, 82, 90), FencedError),
}
"""Answers that the process can't help itself after: a person has to, or the process with its name."""

DONE_AND_REFUSED: dict[ApiName, tuple[int, ...]] = {
    "EndTxn": (7, 47, 48, 49, 51, 90),
    "Produce": (7, 20, 45, 46, 47),
    "TxnOffsetCommit": (7, 27),
}
"""The same where the broker did what was asked, and says otherwise: a time-out, or an answer to a second try."""


def cases(table: dict[ApiName, tuple[int, ...]], *, after_apply: bool) -> list[tuple[ApiName, int, bool]]:
    return [(api, code, after_apply) for api, codes in table.items() for code in codes]


def test_lasting_errors_inside_a_transaction_lose_and_double_nothing(broker: EmbeddedBroker) -> None:
    """The process goes on, unless it was fenced or lacks a right: then its successor does; either way each once."""

    def check(api: ApiName, code: int, after_apply: bool) -> None:
        config = on(broker)
        sent = produce(config, battle_events(12))
        broker.faults.fail(api, error_code=code, client_id=client_id(config), after_apply=after_apply)
        ended = {type(error) for error in serve_until_all_is_out(config, 12)}
        assert ended <= ({ENDS_IT[code]} if code in ENDS_IT else set()), f"{api} {code}: ended by {ended}"
        assert_exactly_once(config, sent)
        assert committed_offsets(config, 1) == end_offsets(config, 1)

    in_parallel(check, cases(REFUSED, after_apply=False) + cases(DONE_AND_REFUSED, after_apply=True))


def test_a_message_that_can_not_be_delivered_in_time_keeps_its_batch_from_being_committed(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The partition's leader is away for longer than the delivery time-out while the coordinator answers."""
    monkeypatch.setattr(kafka_client, "REQUEST_TIMEOUT_MS", 400)
    config = on(broker, partitions=2)
    sent = produce(config, battle_events(12))
    broker.faults.fail("Produce", error_code=NOT_LEADER_OR_FOLLOWER, client_id=client_id(config), times=100_000)
    with running(config) as service:
        wait_until(
            lambda: service.service.metrics.registry.get_sample_value("prefstream_transactions_aborted_total"),
            what="the first aborted transaction",
        )
        broker.faults.clear()
        service.wait_ended_or_published(12)
    serve_until_all_is_out(config, 12)
    assert_exactly_once(config, sent)


def test_a_process_whose_transactional_id_was_taken_over_ends(broker: EmbeddedBroker) -> None:
    """Two live processes with one name would both publish: the older one ends and says why."""
    config = on(broker)
    sent = produce(config, battle_events(5))
    with running(config) as service:
        service.wait_published(5)
        with closing(
            KafkaProducer(
                bootstrap_servers=broker.bootstrap_servers, transactional_id=transactional_id(config.group_id, "one")
            )
        ) as usurper:
            usurper.init_transactions()
        sent += produce(config, battle_events(5, first=5))
        error = service.wait_ended()
    assert isinstance(error, FencedError | TransactionFailedError)
    assert sum(read_outcome(config).positions.values()) == 5
    serve_until_all_is_out(config, 10)
    assert_exactly_once(config, sent)


def test_a_fenced_process_says_so(broker: EmbeddedBroker) -> None:
    """Whatever kafka-python calls it: the message names the remedy."""
    config = on(broker)
    produce(config, battle_events(5))
    with running(config) as service:
        service.wait_published(5)
        broker.faults.fail("AddPartitionsToTxn", error_code=90, client_id=client_id(config))
        produce(config, battle_events(5, first=5))
        error = service.wait_ended()
    assert isinstance(error, FencedError)
    assert "instance_id" in str(error)


def test_a_denied_topic_ends_the_process_and_names_the_rights(broker: EmbeddedBroker) -> None:
    """Trying again would not help: a person has to grant the right."""
    config = on(broker)
    produce(config, battle_events(5))
    broker.faults.fail("Produce", error_code=29, client_id=client_id(config))
    with running(config) as service:
        error = service.wait_ended()
    assert isinstance(error, NotAuthorizedError)
    assert config.preferences_topic in str(error)


def test_a_broker_that_restarts_is_waited_for(broker: EmbeddedBroker) -> None:
    """Twice, in the middle of the work; what it was told before counts, nothing is sent twice."""
    config = on(broker, partitions=4, session_timeout_ms=3_000)
    sent = produce(config, battle_events(400))
    with running(config, lambda: prior_panel(seconds_per_batch=0.01)) as service:
        for published in (50, 200):
            service.wait_published(published)
            broker.stop()
            broker.start()
        service.wait_published(400)
    assert_exactly_once(config, sent)
    assert committed_offsets(config) == end_offsets(config)


def test_what_a_process_left_open_is_ended_by_its_successor_at_once(broker: EmbeddedBroker) -> None:
    """With one name over restarts, readers do not wait for the transaction time-out of a process that was killed."""
    config = on(broker)
    sent = produce(config, battle_events(5))
    killed = KafkaProducer(
        bootstrap_servers=broker.bootstrap_servers,
        transactional_id=transactional_id(config.group_id, "one"),
        linger_ms=0,
        transaction_timeout_ms=300_000,
    )
    try:
        killed.init_transactions()
        killed.begin_transaction()
        killed.send(config.preferences_topic, b"half of a batch").get(100)
        with running(config) as service:
            service.wait_published(5)
    finally:
        killed.close(timeout=0)
    assert_exactly_once(config, sent)
