"""Another panel takes over while the stream runs: at one offset a partition, every record answered once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.panels.choices import publish_choice, read_choice
from prefstream.schemas import Canary, KafkaSource, Preference
from prefstream.scoring.errors import LoadError, MisuseError
from prefstream.scoring.panel.panel import Panel
from tests.conftest import Kafka
from tests.support import panel_folders
from tests.support.panel_folders import choice, loader_of, write_panels
from tests.support.streams import (
    Position,
    Running,
    assert_exactly_once,
    battle_events,
    fresh_config,
    produce,
    running,
    wait_until,
)

PARTITIONS = 2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_panels(tmp_path, "one", "two", "three")


@pytest.fixture
def config(kafka: Kafka, folder: Path) -> StreamConfig:
    return fresh_config(kafka.bootstrap_servers, partitions=PARTITIONS, panels=folder, max_batch_battles=8)


@contextmanager
def load_of(config: StreamConfig, sent: list[Position]) -> Iterator[None]:
    """Battles come, some at a time, until the block ends."""
    stop = threading.Event()

    def produce_on() -> None:
        while not stop.is_set():
            sent.extend(produce(config, battle_events(20, first=len(sent))))

    producer = threading.Thread(target=produce_on, name="load")
    producer.start()
    try:
        yield
    finally:
        stop.set()
        producer.join()


def name_of(preference: Preference) -> str:
    """Of the judge that answered, which is that of its panel."""
    [judge] = preference.judges
    return judge.name


def answered_by(service: Running, name: str) -> None:
    """Wait until a panel has answered."""
    wait_until(lambda: service.error or any(a.judges[0].name == name for b in service.committed for a in b.answers))


def order_of(preferences: list[Preference]) -> list[list[str]]:
    """By partition, who answered, in the order of offsets, each once for each stretch."""
    at: dict[int, list[tuple[int, str]]] = {}
    for preference in preferences:
        source = preference.source
        assert isinstance(source, KafkaSource)
        at.setdefault(source.partition, []).append((source.offset, name_of(preference)))
    stretches = []
    for answers in at.values():
        names = [name for _, name in sorted(answers)]
        stretches.append([names[0], *(after for before, after in pairwise(names) if after != before)])
    return stretches


def metric(service: Running, name: str, **labels: str) -> float | None:
    return service.service.metrics.registry.get_sample_value(name, labels)


def counted(service: Running, outcome: str, choices: int) -> bool:
    """Whether so many choices have come to that."""
    return metric(service, "prefstream_panel_changes_total", outcome=outcome) == choices


def test_what_is_chosen_under_load_answers_from_one_offset_on(config: StreamConfig, folder: Path) -> None:
    sent: list[Position] = []
    with running(config, loader_of(folder)) as service:
        with load_of(config, sent):
            answered_by(service, "one")
            for name in ("two", "three"):
                publish_choice(config, choice(config.group_id, name))
                answered_by(service, name)
        service.wait_published(len(sent))
        serving = [
            sample.labels["panel"]
            for family in service.service.metrics.registry.collect()
            if family.name == "prefstream_panel_info"
            for sample in family.samples
        ]
    outcome = assert_exactly_once(config, sent)
    assert order_of(outcome.preferences) == [["one", "two", "three"]] * PARTITIONS
    assert {(name_of(one), one.panel and one.panel.name) for one in outcome.preferences} == {
        ("one", None),
        ("two", "two"),
        ("three", "three"),
    }
    assert serving == ["three"]


def test_a_panel_that_can_not_be_loaded_leaves_the_one_that_serves(config: StreamConfig, folder: Path) -> None:
    (folder / "broken.yaml").write_text("judges: []\n")
    with running(config, loader_of(folder)) as service:
        sent = produce(config, battle_events(10))
        service.wait_published(10)
        for number, broken in enumerate(["broken", "nowhere"], start=1):
            publish_choice(config, choice(config.group_id, broken))
            wait_until(partial(counted, service, "failed", number))
        assert metric(service, "prefstream_panel_change_failed") == 1
        sent += produce(config, battle_events(10, first=10))
        service.wait_published(20)
        publish_choice(config, choice(config.group_id, "two"))
        wait_until(partial(counted, service, "taken", 1))
        assert metric(service, "prefstream_panel_change_failed") == 0
    assert {name_of(one) for one in assert_exactly_once(config, sent).preferences} == {"one"}


def test_a_process_that_starts_later_takes_what_was_chosen(config: StreamConfig, folder: Path) -> None:
    publish_choice(config, choice("another-group", "three"))
    publish_choice(config, choice(config.group_id, "one"))
    publish_choice(config, choice(config.group_id, "two"))
    with running(config, loader_of(folder)) as service:
        sent = produce(config, battle_events(10))
        service.wait_published(10)
    assert {name_of(one) for one in assert_exactly_once(config, sent).preferences} == {"two"}


def test_a_start_goes_back_to_what_served_before_where_the_choice_can_not_be_loaded(
    config: StreamConfig, folder: Path
) -> None:
    publish_choice(config, choice(config.group_id, "nowhere", earlier=(choice("x", "three").serving,)))
    with running(config, loader_of(folder)) as service:
        sent = produce(config, battle_events(10))
        service.wait_published(10)
        assert metric(service, "prefstream_panel_change_failed") == 1
    assert {name_of(one) for one in assert_exactly_once(config, sent).preferences} == {"three"}


def test_a_canary_answers_its_share_and_says_so_and_then_serves(config: StreamConfig, folder: Path) -> None:
    with running(config, loader_of(folder)) as service:
        service.wait_ready()
        publish_choice(config, choice(config.group_id, canary=Canary(panel="two", share=0.25)))
        wait_until(partial(counted, service, "taken", 1))
        sent = produce(config, battle_events(200))
        service.wait_published(200)
        publish_choice(config, choice(config.group_id, "two"))
        wait_until(partial(counted, service, "taken", 2))
        sent += produce(config, battle_events(10, first=200))
        service.wait_published(210)
    preferences = assert_exactly_once(config, sent).preferences
    tried = [one for one in preferences if one.panel and one.panel.canary]
    assert {name_of(one) for one in tried} == {"two"}
    assert 25 <= len(tried) <= 75  # 50 by expectation; outside by less than one in ten thousand
    rest = [one for one in preferences if not (one.panel and one.panel.canary)]
    assert sum(name_of(one) == "two" for one in rest) == 10


def test_what_does_not_fit_beside_takes_over_when_the_old_one_is_through(config: StreamConfig, folder: Path) -> None:
    loaded: list[Panel] = []

    def load_alone(described: Any, calibration: Any, beside: Any) -> Panel:
        names = [judge.name for judge in described.judges]
        if loaded:
            with pytest.raises(MisuseError, match="closed"):
                loaded[-1].submit(loaded[-1].judges[0], lambda: None)
        if names == ["three"]:
            raise LoadError("three can't be loaded today")
        loaded.append(panel_folders.load(described, calibration, beside))
        return loaded[-1]

    sent: list[Position] = []
    with running(config, loader_of(folder, loads=load_alone, fits=False)) as service:
        with load_of(config, sent):
            answered_by(service, "one")
            publish_choice(config, choice(config.group_id, "two"))
            answered_by(service, "two")
            publish_choice(config, choice(config.group_id, "three"))
            wait_until(lambda: metric(service, "prefstream_panel_change_failed") == 1)
        service.wait_published(len(sent))
    outcome = assert_exactly_once(config, sent)
    assert order_of(outcome.preferences) == [["one", "two"]] * PARTITIONS
    assert [panel.judges[0].name for panel in loaded] == ["one", "two", "two"]


def test_a_calibration_is_taken_over_without_loading(config: StreamConfig, folder: Path) -> None:
    loads: list[Panel] = []

    def noted(described: Any, calibration: Any, beside: Any) -> Panel:
        loads.append(panel_folders.load(described, calibration, beside))
        return loads[-1]

    with running(config, loader_of(folder, loads=noted)) as service:
        sent = produce(config, battle_events(10))
        service.wait_published(10)
        calibration = {"format": 1, "panel": {"temperature": 1.0, "tie_bias": 2.0}}
        publish_choice(config, choice(config.group_id, calibration=calibration))
        wait_until(partial(counted, service, "taken", 1))
        sent += produce(config, battle_events(10, first=10))
        service.wait_published(20)
    preferences = assert_exactly_once(config, sent).preferences
    assert len(loads) == 1
    assert sorted({round(one.probabilities.tie, 2) for one in preferences}) == [0.31, 0.77]


def test_a_group_reads_its_own_last_choice(config: StreamConfig) -> None:
    assert read_choice(config, config.group_id) is None
    first, second = choice(config.group_id, "one", why="first"), choice(config.group_id, "two", pinned=True)
    publish_choice(config, first)
    publish_choice(config, choice("another-group", "three"))
    publish_choice(config, second)
    heard = read_choice(config, config.group_id)
    assert heard is not None
    assert heard.choice == second
