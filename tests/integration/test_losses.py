"""Records that get no answer: told and counted, at every start, until a person has decided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kafka import OffsetAndMetadata, TopicPartition

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DataLossError
from prefstream.consumer.observe.metrics import SKIP_REASONS
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_events,
    committed_offsets,
    delete_before,
    end_offsets,
    produce,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]


def skipped(service: Running) -> dict[str, float]:
    """Offsets that are counted as skipped, by reason."""
    sample = service.service.metrics.registry.get_sample_value
    counts = {reason: sample("prefstream_records_skipped_total", {"reason": reason}) for reason in SKIP_REASONS}
    assert None not in counts.values(), "each reason is counted from 0 on"
    return {reason: count for reason, count in counts.items() if count}


def told(policy: str, config: StreamConfig) -> StreamConfig:
    return config.model_copy(update={"on_data_loss": policy})


def test_what_comes_after_a_skip_to_the_end_is_answered_by_the_next_start(
    stream_config: MakeConfig, admin: Any
) -> None:
    """The skip is committed at once: else the next start would skip again."""
    config = stream_config(partitions=1)
    answered = produce(config, battle_events(2))
    with running(config) as service:
        service.wait_published(2)
    produce(config, battle_events(5, first=2))
    delete_before(admin, config, 4)
    with running(told("latest", config)) as service:
        wait_until(lambda: committed_offsets(config, 1) == end_offsets(config, 1), what="the skip to be committed")
        assert skipped(service) == {"deleted_unread": 2, "skipped_to_end": 3}
    answered += produce(config, battle_events(3, first=7))
    with running(told("latest", config)) as service:
        service.wait_published(3)
        assert skipped(service) == {}
    assert_exactly_once(config, answered)


def test_what_was_deleted_unread_is_counted_where_reading_goes_on_as_told(
    stream_config: MakeConfig, admin: Any
) -> None:
    config = stream_config(partitions=1)
    answered = produce(config, battle_events(2))
    with running(config) as service:
        service.wait_published(2)
    answered += produce(config, battle_events(5, first=2))[2:]
    delete_before(admin, config, 4)
    with running(told("earliest", config)) as service:
        service.wait_published(3)
        assert skipped(service) == {"deleted_unread": 2}
    assert_exactly_once(config, answered)


def test_what_was_gone_before_a_partition_was_first_read_is_told_at_every_start_until_a_person_decides(
    stream_config: MakeConfig, admin: Any
) -> None:
    config = stream_config(partitions=1)
    answered = produce(config, battle_events(6))[4:]
    delete_before(admin, config, 4)
    with running(config) as service:
        service.wait_published(2)
        assert skipped(service) == {"deleted_before_first_read": 4}
    for _ in range(2):
        with running(config) as service:
            wait_until(lambda: skipped(service) == {"deleted_before_first_read": 4}, what="the loss to be told again")
    with running(told("earliest", config)) as service:
        service.wait_ready()
        wait_until(lambda: "skipped" not in note(admin, config), what="the decision to be noted")
        assert skipped(service) == {}
    with running(config) as service:
        service.wait_ready()
        answered += produce(config, battle_events(1, first=6))
        service.wait_published(1)
        assert skipped(service) == {}
    assert_exactly_once(config, answered)


def note(admin: Any, config: StreamConfig) -> str:
    """What is noted with the committed offset of partition 0."""
    committed = admin.list_group_offsets({config.group_id: None})[config.group_id]
    return str(committed[TopicPartition(config.battles_topic, 0)].metadata)


def test_an_offset_that_was_beyond_the_end_stops_every_start_although_the_topic_has_grown_past_it(
    stream_config: MakeConfig, admin: Any
) -> None:
    config = stream_config(partitions=1)
    sent = produce(config, battle_events(2))
    admin.alter_group_offsets(config.group_id, {TopicPartition(config.battles_topic, 0): OffsetAndMetadata(4, "", -1)})
    for _ in range(2):
        with running(config) as service:
            error = service.wait_ended()
        assert isinstance(error, DataLossError)
        assert f"{config.battles_topic}/0 offset 4" in str(error)
        sent += produce(config, battle_events(3, first=len(sent)))
    with running(told("earliest", config)) as service:
        service.wait_published(8)
    with running(config) as service:
        service.wait_ready()
        sent += produce(config, battle_events(1, first=8))
        service.wait_published(1)
    assert_exactly_once(config, sent)
