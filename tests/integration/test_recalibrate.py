"""Votes change what a running service answers by, while it runs; where the choice is pinned they don't.

Killed at any moment, live calibration has chosen or it has not: never twice, and no vote is lost with it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.broker.faults import ApiName
from prefstream.consumer.broker.node.errors import ErrorCode
from prefstream.consumer.client.topic_creation import make_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import NotAuthorizedError, UnconfirmedError
from prefstream.consumer.panels.choices import publish_choice, read_choice
from prefstream.consumer.votes.live import service as live_service
from prefstream.schemas import PanelChoice, decode_panel_choice
from tests.conftest import Kafka
from tests.support.panel_folders import choice, loader_of, write_panels
from tests.support.processes import START_S, Prefstream, prefstream
from tests.support.recalibrated import calibration_of, decided, following, vote
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_events,
    fresh_config,
    produce,
    read_topic,
    running,
    wait_until,
)

VOTES = 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_panels(tmp_path, "one")


@pytest.fixture
def config(kafka: Kafka, folder: Path) -> StreamConfig:
    return calibrated_config(kafka.bootstrap_servers, folder)


def calibrated_config(bootstrap_servers: str, folder: Path) -> StreamConfig:
    """A stream that takes over what is chosen; with topics of its own."""
    config = fresh_config(bootstrap_servers, panels=folder, max_batch_battles=64)
    own = {"votes_topic": f"{config.group_id}.votes", "votes_dead_letters_topic": f"{config.group_id}.votes.dead"}
    config = config.model_copy(update=own)
    make_topics(config, partitions=1)
    return config


def voted_on(broker: EmbeddedBroker, folder: Path) -> StreamConfig:
    """A stream that answered battles, with enough votes on them for a choice."""
    config = calibrated_config(broker.bootstrap_servers, folder)
    with running(config, loader_of(folder)) as service:
        produce(config, battle_events(VOTES))
        service.wait_published(VOTES)
    vote(config, VOTES)
    return config


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


# --- killed, and started again -------------------------------------------------------------------------------------


@contextmanager
def calibrating(config: StreamConfig, folder: Path, log: Path) -> Iterator[Prefstream]:
    """Live calibration in a process of its own, which may choose at once."""
    named = ("bootstrap_servers", "group_id", "preferences_topic", "votes_topic", "panels_topic")
    topics = {name: getattr(config, name) for name in named}
    settings = topics | {
        "panel": folder / "one.yaml",
        "panels": folder,
        "later_votes": 60,
        "every": "1s",
        "http_port": 0,
        "log_format": "json",
    }
    options = (part for name, setting in settings.items() for part in (f"--{name.replace('_', '-')}", str(setting)))
    with prefstream("recalibrate", *options, log=log) as process:
        yield process


def wait_decided(process: Prefstream, *, after: int = 0) -> dict[str, Any]:
    """What came of its first look after so many."""
    wait_until(lambda: len(process.log_events("decided")) > after or process.ended, START_S, what="a look")
    decided = process.log_events("decided")
    assert len(decided) > after, process.log
    return decided[after]


def chosen(config: StreamConfig) -> list[PanelChoice]:
    """All that was ever chosen for the group."""
    records = read_topic(config.bootstrap_servers, config.panels_topic)
    return [decode_panel_choice(record.value) for record in records if record.key == config.group_id.encode()]


def test_killed_again_and_again_it_chooses_once_and_keeps_its_window(
    config: StreamConfig, folder: Path, tmp_path: Path
) -> None:
    with running(config, loader_of(folder)) as service:
        produce(config, battle_events(VOTES + 80))
        service.wait_published(VOTES + 80)
    vote(config, VOTES)
    wait = random.Random(1)
    for turn in range(1, 13):
        with calibrating(config, folder, tmp_path / "log") as process:
            wait_until(lambda: process.log_events("following") or process.ended, START_S, what="the start")
            time.sleep(wait.uniform(0.0, 0.1 * turn))
            assert not process.ended, process.log
        if chosen(config):
            break
    made = bool(chosen(config))  # where the machine is busy, each may have been killed before it came to that
    with calibrating(config, folder, tmp_path / "log") as process:
        assert wait_decided(process)["outcome"] in ({"too_soon", "too_few_later_votes"} if made else {"published"})
        time.sleep(1.5)  # the next look is allowed by then, and there is nothing new to look at
    assert len(chosen(config)) == 1
    # Eighty votes are far too few to fit anything to: what they are held against was read again.
    vote(config, 80, first=VOTES)
    with calibrating(config, folder, tmp_path / "log") as process:
        decided = wait_decided(process)
    assert decided["outcome"] in {"published", "not_better"}
    assert decided["votes"] > 200
    assert len(chosen(config)) == 1 + (decided["outcome"] == "published")


@pytest.mark.parametrize("written", [True, False], ids=["written", "not written"])
def test_killed_while_a_choice_is_on_its_way_it_is_made_once(folder: Path, tmp_path: Path, *, written: bool) -> None:
    with EmbeddedBroker() as broker:
        config = voted_on(broker, folder)
        broker.faults.delay("Produce", seconds=30.0, after_apply=written)
        with calibrating(config, folder, tmp_path / "log") as process:
            wait_until(lambda: not broker.faults.pending("Produce") or process.ended, START_S, what="the choice")
            assert not process.log_events("decided")
        assert len(chosen(config)) == written
        with calibrating(config, folder, tmp_path / "log") as process:
            decided = wait_decided(process)
        assert decided["outcome"] in ({"too_soon", "too_few_later_votes"} if written else {"published"})
        assert len(chosen(config)) == 1


def test_a_choice_that_no_broker_confirms_is_told_as_one_that_may_be_written(folder: Path) -> None:
    with EmbeddedBroker() as broker:
        config = calibrated_config(broker.bootstrap_servers, folder)
        broker.faults.fail("Produce", error_code=ErrorCode.INVALID_RECORD)
        with pytest.raises(UnconfirmedError, match=f"writing to {config.panels_topic} failed"):
            publish_choice(config, choice(config.group_id))


@pytest.mark.parametrize(
    ("api", "error_code"),
    [("Produce", ErrorCode.TOPIC_AUTHORIZATION_FAILED), ("InitProducerId", ErrorCode.CLUSTER_AUTHORIZATION_FAILED)],
    ids=["on this topic", "on any topic"],
)
def test_a_right_to_write_that_is_taken_away_ends_it_and_is_named(
    folder: Path, api: ApiName, error_code: ErrorCode
) -> None:
    with EmbeddedBroker() as broker:
        config = voted_on(broker, folder)
        broker.faults.fail(api, error_code=error_code)
        with pytest.raises(NotAuthorizedError, match=f"Write on topic {config.panels_topic}"):
            calibration_of(config, folder).run()


def test_a_choice_that_no_broker_confirmed_is_made_when_they_are_well_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_service, "AGAIN_S", 0.2)
    with EmbeddedBroker() as broker:
        config = voted_on(broker, folder)
        broker.faults.fail("Produce", error_code=ErrorCode.INVALID_RECORD)
        with following(config, folder) as live:
            wait_until(lambda: decided(live, "published"))
            assert decided(live, "failed") == 1
        assert len(chosen(config)) == 1
