"""The lag that an autoscaler finds, from outside and with a client of its own: 0 wherever nothing waits.

KEDA's scaler for Kafka asks for the end of each partition as readers of uncommitted records do, so that markers of
transactions and aborted records count, and subtracts what the group has committed. A consumer that commits what it read
and no more never gets to 0 there, and is never stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import NamedTuple

from confluent_kafka import Consumer, KafkaException, TopicPartition
from kafka import KafkaProducer
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed

from prefstream.consumer.config import StreamConfig
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import HeldJudge
from tests.support.streams import (
    assert_exactly_once,
    battle_events,
    produce,
    running,
    visible_count,
    wait_until,
    write_transaction,
)

MakeConfig = Callable[..., StreamConfig]


class Scaling(NamedTuple):
    """What decides on replicas.

    Attributes:
        lag: of all partitions; above the activation threshold, 0, it starts a pod where there is none.
        partitions: with lag; no more pods than these.
    """

    lag: int
    partitions: int


NOTHING_WAITS = Scaling(0, 0)


@retry(retry=retry_if_exception_type(KafkaException), wait=wait_fixed(0.1), stop=stop_after_delay(60), reraise=True)
def committed(client: Consumer, places: list[TopicPartition]) -> list[TopicPartition]:
    """What the group has committed. A new cluster's first question has no coordinator yet."""
    found: list[TopicPartition] = client.committed(places, timeout=60)
    return found


def asked_by_keda(config: StreamConfig, partitions: int) -> Scaling:
    """What its scaler finds by the settings of the chart; `offsetResetPolicy: earliest` among them."""
    places = [TopicPartition(config.battles_topic, number) for number in range(partitions)]
    lags = []
    # It joins no group: it asks, as an administrator does.
    asking = {"bootstrap.servers": config.bootstrap_servers, "group.id": config.group_id}
    with closing(Consumer({**asking, "isolation.level": "read_uncommitted"})) as client:
        for place in committed(client, places):
            _, end = client.get_watermark_offsets(place, timeout=60, cached=False)
            lags.append(end - max(0, place.offset))  # below 0 where nothing is committed: all of it waits
    return Scaling(sum(lags), sum(lag > 0 for lag in lags))


def wait_idle(config: StreamConfig, partitions: int) -> None:
    wait_until(lambda: asked_by_keda(config, partitions) == NOTHING_WAITS, what="a lag of 0 as an autoscaler finds it")


def test_nothing_waits_after_a_run_behind_markers_aborted_records_and_an_empty_partition(
    stream_config: MakeConfig,
) -> None:
    """While the stream idles, and when it was stopped: the last pod goes, and none is started for what is no record."""
    config = stream_config(partitions=3, max_batch_battles=4)
    sent = write_transaction(config, battle_events(6))
    sent += produce(config, battle_events(5, first=6), partition=1)
    assert asked_by_keda(config, 3) == Scaling(6 + 1 + 5, 2)
    with running(config) as service:
        service.wait_published(11)
        write_transaction(config, battle_events(3, first=11), commit=False)
        wait_idle(config, 3)
    assert asked_by_keda(config, 3) == NOTHING_WAITS
    assert_exactly_once(config, sent)


def test_a_stop_at_once_leaves_no_lag_that_would_start_it_again(stream_config: MakeConfig) -> None:
    """However short it idled behind the marker."""
    config = stream_config(partitions=1)
    sent = write_transaction(config, battle_events(4))
    with running(config) as service:
        service.wait_published(4)
    assert asked_by_keda(config, 1) == NOTHING_WAITS
    assert_exactly_once(config, sent)


def test_at_zero_an_aborted_transaction_is_lag_until_a_pod_has_read_over_it(stream_config: MakeConfig) -> None:
    """Nobody can tell from outside that nothing is to be read there: a pod starts, finds nothing, and may go."""
    config = stream_config(partitions=2)
    sent = write_transaction(config, battle_events(2))
    with running(config) as service:
        service.wait_published(2)
        wait_idle(config, 2)
    write_transaction(config, battle_events(3, first=2), commit=False)
    assert asked_by_keda(config, 2) == Scaling(3 + 1, 1)
    with running(config):
        wait_idle(config, 2)
    assert asked_by_keda(config, 2) == NOTHING_WAITS
    assert_exactly_once(config, sent)


def test_a_transaction_that_is_open_upstream_keeps_a_pod_waiting(stream_config: MakeConfig) -> None:
    """Its records are lag, and none is read before it ends."""
    config = stream_config(partitions=1)
    with running(config) as service:
        service.wait_ready()
        wait_idle(config, 1)
        upstream = KafkaProducer(bootstrap_servers=config.bootstrap_servers, transactional_id=f"{config.group_id}-open")
        with closing(upstream):
            upstream.init_transactions()
            upstream.begin_transaction()
            for value in battle_events(2):
                upstream.send(config.battles_topic, value, partition=0)
            upstream.flush()
            wait_until(lambda: asked_by_keda(config, 1) == Scaling(2, 1), what="the open transaction's records")
            assert visible_count(config) == 0
            upstream.commit_transaction()
        service.wait_published(2)
        wait_idle(config, 1)


def test_battles_that_are_being_scored_are_lag_so_that_no_pod_is_stopped_with_them(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=1, max_batch_battles=2)
    judge = HeldJudge()
    produce(config, battle_events(4))
    with running(config, lambda: Panel([judge])) as service:
        wait_until(lambda: service.service.health.ready, what="a member of the group")
        assert asked_by_keda(config, 1) == Scaling(4, 1)
        judge.let()
        service.wait_published(4)
        wait_idle(config, 1)
