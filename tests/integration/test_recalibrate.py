"""Votes change what a running service answers by, while it runs; where the choice is pinned they don't."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer

from prefstream.consumer.client.topic_creation import make_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.panels.choices import publish_choice, read_choice
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.consumer.votes.live.service import LiveCalibration
from tests.conftest import Kafka
from tests.support.panel_folders import choice, loader_of, write_panels
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_events,
    fresh_config,
    produce,
    running,
    wait_until,
)

VOTES = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_panels(tmp_path, "one")


@pytest.fixture
def config(kafka: Kafka, folder: Path) -> StreamConfig:
    config = fresh_config(kafka.bootstrap_servers, panels=folder, max_batch_battles=64)
    own = {"votes_topic": f"{config.group_id}.votes", "votes_dead_letters_topic": f"{config.group_id}.votes.dead"}
    config = config.model_copy(update=own)
    make_topics(config, partitions=1)
    return config


@contextmanager
def following(config: StreamConfig, folder: Path, *, dry_run: bool = False) -> Iterator[LiveCalibration]:
    """Live calibration in a thread, which may choose at once."""
    names = {
        name: getattr(config, name) for name in RecalibrateConfig.model_fields if name in type(config).model_fields
    }
    settings = RecalibrateConfig.load(
        **names,
        recalibrate_later_votes=60,
        recalibrate_every="1s",
        recalibrate_http_port=0,
    )
    service = LiveCalibration(settings, loader_of(folder), dry_run=dry_run)
    thread = threading.Thread(target=service.run, name="recalibrate", daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.stop()
        thread.join(20)
        assert not thread.is_alive()


def vote(config: StreamConfig, count: int, first: int = 0) -> None:
    """Say of battles, mostly, that they are a tie, each time as another person."""
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for number in range(first, first + count):
            winner = ("model_a", "tie", "tie", "model_b", "tie", "tie", "tie", "tie", "tie", "tie")[number % 10]
            said = {"id": f"battle-{number}", "winner": winner, "voter": f"person {number}"}
            producer.send(config.votes_topic, json.dumps(said).encode(), key=said["id"].encode())
        producer.flush(60)


def decided(service: LiveCalibration, outcome: str) -> float:
    """How often a look came to that."""
    labels = {"outcome": outcome}
    return service.metrics.registry.get_sample_value("prefstream_recalibrate_decisions_total", labels) or 0.0


def ties(service: Running) -> set[float]:
    """The probabilities of a tie that were answered."""
    return {round(answer.probabilities.tie, 2) for batch in service.committed for answer in batch.answers}


def test_a_service_answers_by_the_calibration_that_votes_led_to_each_battle_once(
    config: StreamConfig, folder: Path
) -> None:
    with running(config, loader_of(folder)) as service:
        sent = produce(config, battle_events(VOTES))
        service.wait_published(VOTES)
        vote(config, VOTES)
        with following(config, folder, dry_run=True) as live:
            wait_until(lambda: decided(live, "would_publish"))
        assert read_choice(config, config.group_id) is None
        with following(config, folder) as live:
            wait_until(lambda: decided(live, "published"))
            wait_until(
                lambda: service.service.metrics.registry.get_sample_value(
                    "prefstream_panel_changes_total", {"outcome": "taken"}
                )
            )
            sent += produce(config, battle_events(10, first=VOTES))
            service.wait_published(VOTES + 10)
    assert ties(service) == {0.31, 0.43}  # odds of .31 / .69, and half a nat more: as far as one version goes
    assert_exactly_once(config, sent)
    heard = read_choice(config, config.group_id)
    assert heard is not None
    assert heard.choice.chosen_by == "calibrate"
    assert "votes after" in (heard.choice.why or "")


def test_what_is_pinned_stays(config: StreamConfig, folder: Path) -> None:
    pinned = choice(config.group_id, pinned=True)
    with running(config, loader_of(folder)) as service:
        sent = produce(config, battle_events(VOTES))
        service.wait_published(VOTES)
        publish_choice(config, pinned)
        with following(config, folder) as live:
            vote(config, VOTES)
            wait_until(lambda: decided(live, "pinned"))
            sent += produce(config, battle_events(10, first=VOTES))
            service.wait_published(VOTES + 10)
    assert ties(service) == {0.31}
    assert_exactly_once(config, sent)
    heard = read_choice(config, config.group_id)
    assert heard is not None
    assert heard.choice == pinned
