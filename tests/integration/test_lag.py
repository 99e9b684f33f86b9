"""Lag is 0 when nothing waits, whoever asks: the process, the doctor, and Kafka's own tool."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from contextlib import closing

import pytest

from prefstream.consumer.client.clients import make_admin
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.dead_letters.plan import Choice
from prefstream.consumer.dead_letters.retry import make_plan, resubmit
from prefstream.consumer.doctor.cluster import describe_cluster
from prefstream.consumer.doctor.group import check_group, describe_group
from prefstream.consumer.stream import telemetry
from prefstream.scoring.panel.panel import Panel
from tests.conftest import Kafka
from tests.support.kafka.cluster import java, kafka_home
from tests.support.priors import HeldJudge
from tests.support.streams import Running, battle_events, produce, running, wait_until, write_transaction

MakeConfig = Callable[..., StreamConfig]


def told_by_metrics(service: Running) -> dict[str, float]:
    """The lag of each partition that the process reports."""
    (metric,) = [m for m in service.service.metrics.registry.collect() if m.name == "prefstream_consumer_lag_records"]
    return {sample.labels["partition"]: sample.value for sample in metric.samples}


def told_by_doctor(config: StreamConfig) -> int:
    """The lag of the group that `doctor` finds."""
    with closing(make_admin(config)) as admin:
        cluster = describe_cluster(admin, config)
        found = check_group(describe_group(admin, config), admin, cluster.topics, config).found
    lag = re.search(r"lag (\d+) battles", found)
    assert lag, found
    return int(lag[1])


def told_by_kafka(config: StreamConfig) -> dict[str, int]:
    """The lag of each partition that `kafka-consumer-groups.sh` finds."""
    home = kafka_home()
    assert home is not None
    tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    servers = ["--bootstrap-server", config.bootstrap_servers]
    done = subprocess.run(
        [*java(home), tool, *servers, "--describe", "--group", config.group_id],
        check=True,
        capture_output=True,
        text=True,
        timeout=100,
    )
    rows = [line.split() for line in done.stdout.splitlines() if config.battles_topic in line.split()]
    return {row[2]: int(row[5]) for row in rows}


def retry_dead_letters(config: StreamConfig) -> int:
    """Send dead letters back to the battles topic, in a transaction."""
    group = f"{config.group_id}-retry"
    plan = make_plan(config, config.dead_letters_topic, group, Choice())
    return resubmit(config, config.dead_letters_topic, group, plan)


def test_all_who_ask_find_no_lag_behind_transactions_aborted_records_and_retries(
    stream_config: MakeConfig, kafka: Kafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    config = stream_config(partitions=3, max_batch_battles=4)
    with running(config) as service:
        write_transaction(config, battle_events(6))
        write_transaction(config, battle_events(3, first=6), commit=False)
        produce(config, [*battle_events(3, first=9), b"zqprompt, no JSON"], partition=1)
        service.wait_published(10)
        assert retry_dead_letters(config) == 1
        service.wait_published(11)
        none = {"0": 0, "1": 0, "2": 0}
        wait_until(lambda: told_by_metrics(service) == none and told_by_doctor(config) == 0, what="no lag")
        if kafka_home() and "Apache" in kafka.name:
            assert told_by_kafka(config) == none


def test_what_is_in_flight_and_what_waits_is_lag_for_all_who_ask(
    stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    config = stream_config(partitions=1, max_batch_battles=2, max_in_flight=1)
    judge = HeldJudge()
    produce(config, battle_events(6))  # before: while reading is paused, nobody fetches, and so nobody hears of more
    with running(config, lambda: Panel([judge])) as service:
        wait_until(lambda: told_by_metrics(service) == {"0": 6}, what="the lag")
        assert told_by_doctor(config) == 6
        judge.let()
        wait_until(lambda: told_by_metrics(service) == {"0": 0}, what="no lag")
        assert told_by_doctor(config) == 0
