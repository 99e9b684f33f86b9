"""Positions behind markers and aborted records: they are committed, so that nobody takes them for lag or for losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.stream import publisher
from tests.support.streams import (
    assert_exactly_once,
    battle_events,
    committed_offsets,
    delete_before,
    end_offsets,
    produce,
    running,
    wait_until,
    write_transaction,
)

MakeConfig = Callable[..., StreamConfig]


def empty_by_retention(admin: Any, config: StreamConfig) -> None:
    """Delete every record of partition 0."""
    delete_before(admin, config, end_offsets(config, 1)[0])


@pytest.mark.parametrize("last", ["marker", "aborted"])
def test_a_service_that_idles_has_no_lag_behind_markers_and_aborted_records(
    stream_config: MakeConfig, last: str
) -> None:
    config = stream_config(partitions=1)
    sent = write_transaction(config, battle_events(5))
    with running(config) as service:
        service.wait_published(5)
        if last == "aborted":
            write_transaction(config, battle_events(3, first=5), commit=False)
        wait_until(lambda: committed_offsets(config, 1) == end_offsets(config, 1), what="the group to be at the end")
    assert_exactly_once(config, sent)


@pytest.mark.parametrize("last", ["marker", "aborted"])
def test_a_service_that_stops_has_no_lag_behind_markers_and_aborted_records(
    stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """However short it idled."""
    monkeypatch.setattr(publisher, "POSITIONS_EVERY_S", 1_000.0)
    config = stream_config(partitions=1)
    sent = write_transaction(config, battle_events(5))
    with running(config) as service:
        service.wait_published(5)
        if last == "aborted":
            write_transaction(config, battle_events(3, first=5), commit=False)
            sent += write_transaction(config, battle_events(1, first=8))
            service.wait_published(6)
    assert committed_offsets(config, 1) == end_offsets(config, 1)
    assert_exactly_once(config, sent)


@pytest.mark.parametrize("last", ["marker", "aborted"])
def test_retention_of_what_was_answered_is_no_loss(stream_config: MakeConfig, admin: Any, last: str) -> None:
    """The partition is emptied behind the last answer, and another process goes on with what comes then."""
    config = stream_config(partitions=1)
    sent = write_transaction(config, battle_events(5))
    if last == "aborted":
        write_transaction(config, battle_events(3, first=5), commit=False)
    with running(config) as service:
        service.wait_published(5)
        wait_until(lambda: committed_offsets(config, 1) == end_offsets(config, 1), what="the group to be at the end")
    empty_by_retention(admin, config)
    with running(config) as service:
        service.wait_ready()
        sent += produce(config, battle_events(2, first=8))
        service.wait_published(2)
    assert_exactly_once(config, sent)


def test_an_empty_partition_gets_a_committed_offset(stream_config: MakeConfig) -> None:
    """So that what comes and goes while nobody reads it is known to be lost."""
    config = stream_config(partitions=2)
    with running(config) as service:
        service.wait_ready()
        wait_until(lambda: committed_offsets(config, 2) == {0: 0, 1: 0}, what="both partitions")


def test_what_came_and_went_on_a_partition_that_was_empty_is_known_as_lost(
    stream_config: MakeConfig, admin: Any
) -> None:
    config = stream_config(partitions=1)
    with running(config) as service:
        service.wait_ready()
        wait_until(lambda: committed_offsets(config, 1) == {0: 0}, what="the partition")
    produce(config, battle_events(5))
    empty_by_retention(admin, config)
    with running(config) as service:
        error = service.wait_ended()
    assert f"{config.battles_topic}/0 offset 0" in str(error)
