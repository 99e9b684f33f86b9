"""Dead letters that are sent back while a broker misbehaves: only what is on its topic is told and remembered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import errors as kafka_errors

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client import clients
from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.dead_letters import retry
from prefstream.consumer.dead_letters.plan import Choice
from prefstream.consumer.dead_letters.reader import read_dead_letters
from prefstream.consumer.dead_letters.retry import make_plan, resubmit
from prefstream.consumer.errors import StreamError
from prefstream.consumer.stream.messages import dead_letter
from prefstream.schemas import InvalidEventError, Reason
from tests.support.streams import fresh_config, make_event

COUNT = 20
OUT_OF_ORDER = kafka_errors.OutOfOrderSequenceNumberError
UNKNOWN_PRODUCER = kafka_errors.UnknownProducerIdError
NOT_LEADER = kafka_errors.NotLeaderForPartitionError


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A broker of the test's own: its faults are nobody else's."""
    with EmbeddedBroker() as broker:
        yield broker


@pytest.fixture
def config(broker: EmbeddedBroker) -> StreamConfig:
    """Topics with dead letters on them."""
    config = fresh_config(broker.bootstrap_servers)
    error = InvalidEventError(Reason.NOT_JSON, "not JSON at line 1 column 1")
    with closing(make_producer(config)) as producer:
        for offset in range(COUNT):
            event = make_event(b"[", offset=offset, topic=config.battles_topic, key=b"battle-%d" % offset)
            letter = dead_letter(event, Reason.NOT_JSON, error)
            producer.send(config.dead_letters_topic, value=letter.value, key=letter.key, headers=letter.headers)
        producer.flush()
    return config


def keys_on(topic: str, config: StreamConfig) -> list[bytes | None]:
    """What a read_committed reader sees."""
    return [letter.key for letter in read_dead_letters(config, topic)]


def send_back_all(config: StreamConfig) -> int:
    """Retry everything that was not retried; returns how many it says it sent."""
    group = f"{config.group_id}-retries"
    return resubmit(
        config, config.dead_letters_topic, group, make_plan(config, config.dead_letters_topic, group, Choice())
    )


@pytest.mark.parametrize(
    ("fault", "times"),
    [(OUT_OF_ORDER, 1), (UNKNOWN_PRODUCER, 1), (NOT_LEADER, 100_000)],
    ids=["refused once, out of order", "refused once, unknown producer", "the leader is away for too long"],
)
@pytest.mark.parametrize("transactions", [1, 2])
def test_a_record_that_did_not_arrive_is_not_told_as_sent_and_the_next_retry_sends_it(
    broker: EmbeddedBroker,
    config: StreamConfig,
    monkeypatch: pytest.MonkeyPatch,
    fault: type[kafka_errors.KafkaError],
    times: int,
    transactions: int,
) -> None:
    monkeypatch.setattr(retry, "MAX_TRANSACTION_RECORDS", COUNT // transactions)
    broker.faults.fail("Produce", error_code=fault.errno, times=times)
    with monkeypatch.context() as impatient:
        if times > 1:
            impatient.setattr(clients, "REQUEST_TIMEOUT_MS", 2_000)  # and with it the delivery time-out, 9 s
        with pytest.raises(StreamError):  # aborted, unsettled, or fenced by the client's own bump of its epoch
            send_back_all(config)
    assert keys_on(config.battles_topic, config) == []
    broker.faults.clear()
    assert send_back_all(config) == COUNT
    assert sorted(map(str, keys_on(config.battles_topic, config))) == sorted(
        str(b"battle-%d" % offset) for offset in range(COUNT)
    )
    assert send_back_all(config) == 0


def test_a_coordinator_that_is_away_at_the_commit_leaves_it_to_the_next_retry_to_find_out(
    broker: EmbeddedBroker, config: StreamConfig
) -> None:
    """Whether it was committed is what the committed offsets say, whatever this retry heard."""
    broker.faults.fail("EndTxn", error_code=kafka_errors.InvalidTxnStateError.errno, times=2, after_apply=True)
    with pytest.raises(StreamError):
        send_back_all(config)
    broker.faults.clear()
    send_back_all(config)
    assert len(keys_on(config.battles_topic, config)) == COUNT
