"""Brokers that are away while the board reads: it says so and waits, goes on, or ends with a line."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import pytest
from kafka import KafkaProducer

from prefstream.consumer.board.watch.watch import StreamWatch
from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.errors import BrokersSilentError
from prefstream.schemas import encode_preference
from tests.conftest import NO_APACHE
from tests.support.board import preference_record
from tests.support.board_topics import board_names, ingesting
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.streams import wait_until


def publish(servers: str, topic: str, number: int) -> None:
    producer = KafkaProducer(bootstrap_servers=servers)
    producer.send(topic, encode_preference(preference_record(number, random.Random(number)).preference))
    producer.flush()
    producer.close()


def test_a_broker_that_stays_away_ends_reading_with_a_line(tmp_path: Path) -> None:
    told: list[str | None] = []
    with ExitStack() as running:
        broker = running.enter_context(EmbeddedBroker())
        names = board_names(broker.bootstrap_servers)
        publish(broker.bootstrap_servers, names.preferences_topic, 1)
        with ingesting(names, tmp_path / "board.db", broker_timeout_s=10.0, on_obstacle=told.append) as board:
            board.wait(lambda counted: counted.get("preferences") == 1, "the preference")
            running.close()
            wait_until(lambda: board.error, what="the end")
            assert isinstance(board.error.pop(), BrokersSilentError)
            assert "no broker at" in str(told[-1])
            assert board.counters()["preferences"] == 1


@pytest.mark.skipif(kafka_home() is None, reason=NO_APACHE)
def test_a_broker_that_comes_back_is_read_on(tmp_path: Path) -> None:
    home = kafka_home()
    assert home is not None
    told: list[str | None] = []
    with KafkaCluster(home, tmp_path / "kafka") as cluster:
        names = board_names(cluster.bootstrap_servers)
        publish(cluster.bootstrap_servers, names.preferences_topic, 1)
        with (
            StreamWatch(names, "stream", lambda *_: None) as watch,
            ingesting(names, tmp_path / "board.db", on_obstacle=told.append) as board,
        ):
            board.wait(lambda counted: counted.get("preferences") == 1, "the preference")
            wait_until(lambda: watch.now().dead_letters, what="that the stream is watched")
            (broker,) = cluster.brokers.values()
            broker.kill()
            wait_until(lambda: told and told[-1] and "no broker at" in told[-1], what="that it is told")
            wait_until(lambda: "no broker at" in str(watch.now().why_no_dead_letters), what="that this is told, too")
            broker.start()
            cluster.wait_ready()
            publish(cluster.bootstrap_servers, names.preferences_topic, 2)
            board.wait(lambda counted: counted.get("preferences") == 2, "what came meanwhile")
            wait_until(lambda: told[-1] is None, what="that it goes on")
            wait_until(lambda: watch.now().dead_letters, what="that the stream is watched again")
            wait_until(lambda: "has committed nothing" in str(watch.now().why_no_lag), what="that its group is, too")
            assert "duplicate_battles" not in board.counters()
