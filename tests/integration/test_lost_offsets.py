"""A group that has lost its committed offsets answers nothing twice: its answers say how far it was."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from kafka import TopicPartition

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import OffsetsLostError
from prefstream.consumer.stream.lost_offsets import find_starts
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import prior_panel
from tests.support.streams import (
    Position,
    assert_exactly_once,
    battle_events,
    delete_before,
    produce,
    produce_ahead,
    read_outcome,
    running,
    visible_count,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

BAD = b"zqprompt, no JSON"


def lose_offsets(admin: Any, config: StreamConfig) -> None:
    """As when nobody was a member for longer than offsets are kept, or when a person deletes the group."""

    def deleted() -> bool:
        admin.delete_groups([config.group_id])
        return not admin.list_group_offsets({config.group_id: None})[config.group_id]

    wait_until(deleted, what="the group to be gone")


def answer(config: StreamConfig, sent: list[Position]) -> None:
    with running(config) as service:
        service.wait_published(len(sent))


def recreate(admin: Any, config: StreamConfig) -> None:
    """Delete the input topic and make it anew, which takes the group's offsets with it."""
    admin.delete_topics([config.battles_topic])
    time.sleep(1.0)  # until all of the cluster has heard of it
    create(admin, config)


def create(admin: Any, config: StreamConfig) -> None:
    def created() -> bool:
        try:
            admin.create_topics({config.battles_topic: {"num_partitions": 1, "replication_factor": 1}})
        except Exception:  # noqa: BLE001 - it is still being deleted
            return False
        return True

    wait_until(created, what="the topic")


def test_reading_goes_on_behind_what_the_group_has_answered(stream_config: MakeConfig, admin: Any) -> None:
    """Also where the last answer of a partition is a dead letter, and where another partition has none."""
    config = stream_config(partitions=3)
    sent = produce(config, battle_events(5), partition=0) + produce(config, [*battle_events(2), BAD], partition=1)
    answer(config, sent)
    lose_offsets(admin, config)
    sent += produce(config, battle_events(2, first=5), partition=0) + produce(config, battle_events(3), partition=2)
    assert find_starts(config) == {
        TopicPartition(config.battles_topic, 0): 5,
        TopicPartition(config.battles_topic, 1): 3,
    }
    with running(config) as service:
        service.wait_published(5)
    assert_exactly_once(config, sent)


def test_told_to_stop_the_stream_does_not_start(stream_config: MakeConfig, admin: Any) -> None:
    config = stream_config(partitions=1, on_lost_offsets="stop")
    answer(config, sent := produce(config, battle_events(3)))
    lose_offsets(admin, config)
    with running(config) as service:
        error = service.wait_ended()
    assert isinstance(error, OffsetsLostError)
    assert f"{config.battles_topic}/0" in str(error)
    assert "--on-lost-offsets resume" in str(error)
    assert_exactly_once(config, sent)


def test_told_to_the_stream_answers_again_from_the_beginning(stream_config: MakeConfig, admin: Any) -> None:
    config = stream_config(partitions=1, on_lost_offsets="earliest")
    answer(config, sent := produce(config, battle_events(3)))
    lose_offsets(admin, config)
    answer(config, sent)
    assert set(read_outcome(config).positions.values()) == {2}


def test_answers_of_another_group_are_none_of_ours(stream_config: MakeConfig) -> None:
    other = stream_config(partitions=1)
    answer(other, sent := produce(other, [*battle_events(3), BAD]))
    config = other.model_copy(update={"group_id": f"{other.group_id}-b", "on_lost_offsets": "stop"})
    assert find_starts(config) == {}
    answer(config, sent)


def test_battles_whose_time_is_of_the_future_are_not_answered_again_unasked(
    stream_config: MakeConfig, admin: Any
) -> None:
    """Whether they are the ones that were answered can't be told by their times."""
    config = stream_config(partitions=1)
    answer(config, produce_ahead(admin, config, battle_events(3)))
    lose_offsets(admin, config)
    with pytest.raises(OffsetsLostError, match="can't be told"):
        find_starts(config)


def test_answers_to_a_topic_of_the_same_name_that_was_deleted_prove_nothing(
    stream_config: MakeConfig, admin: Any
) -> None:
    """Going on behind their offsets would skip battles of the new one."""
    config = stream_config(partitions=1)
    answer(config, produce(config, battle_events(3)))
    recreate(admin, config)
    produce(config, battle_events(2, first=10))
    for already_there in (2, 5):  # fewer than were answered, and more
        assert visible_count(config) == 3
        with running(config) as service:
            error = service.wait_ended()
        assert isinstance(error, OffsetsLostError), already_there
        assert "can't be told" in str(error)
        produce(config, battle_events(3, first=12))
    with running(config.model_copy(update={"on_lost_offsets": "earliest"})) as service:
        service.wait_published(8)


def test_offsets_that_are_lost_while_judges_are_loaded_are_missed_too(stream_config: MakeConfig, admin: Any) -> None:
    """That takes minutes, and a group that has no other member may be gone after them."""
    config = stream_config(partitions=1)
    answer(config, sent := produce(config, battle_events(5)))

    def load() -> Panel:
        lose_offsets(admin, config)
        return prior_panel()

    sent += produce(config, battle_events(1, first=5))
    with running(config, load) as service:
        service.wait_published(1)
    assert_exactly_once(config, sent)


def test_where_the_group_was_says_nothing_of_a_topic_that_is_made_anew_while_the_stream_runs(
    stream_config: MakeConfig, admin: Any
) -> None:
    """Its partition leaves with the topic, comes back with the new one, and has no committed offset again."""
    config = stream_config(partitions=1, on_data_loss="earliest")
    answer(config, produce(config, battle_events(5)))
    lose_offsets(admin, config)
    produce(config, battle_events(1, first=5))
    with running(config) as service:
        service.wait_published(1)
        admin.delete_topics([config.battles_topic])
        lag = partial(
            service.service.metrics.registry.get_sample_value,
            "prefstream_consumer_lag_records",
            {"topic": config.battles_topic, "partition": "0"},
        )
        wait_until(lambda: lag() is None, what="the partition to be taken away")
        create(admin, config)
        sent = produce(config, battle_events(10, first=10))
        service.wait_published(1 + len(sent))
    answered = Counter(preference.id for preference in read_outcome(config).preferences)
    assert answered == Counter(f"battle-{number}" for number in (*range(6), *range(10, 20)))


def test_where_all_that_was_answered_is_gone_the_rest_is_read_without_a_stop(
    stream_config: MakeConfig, admin: Any
) -> None:
    config = stream_config(partitions=1, on_lost_offsets="stop")
    sent = produce(config, battle_events(3))
    answer(config, sent)
    lose_offsets(admin, config)
    delete_before(admin, config, 3)
    sent += produce(config, battle_events(2, first=3))
    with running(config) as service:
        service.wait_published(2)
        counts = "prefstream_records_skipped_total", {"reason": "deleted_before_first_read"}
        assert service.service.metrics.registry.get_sample_value(*counts) == 0
    assert_exactly_once(config, sent)


@pytest.mark.parametrize("left", [0, 1])
def test_of_what_is_gone_the_answers_tell_how_much_had_none(stream_config: MakeConfig, admin: Any, left: int) -> None:
    """Also where nothing is left on the topic, and where the answers are far older than what is left."""
    config = stream_config(partitions=1)
    answer(config, produce(config, battle_events(3)))
    lose_offsets(admin, config)
    produce(config, battle_events(4, first=3))
    delete_before(admin, config, 7 - left)
    partition = TopicPartition(config.battles_topic, 0)
    assert find_starts(config) == {partition: 3}
    with running(config) as service:
        service.wait_published(left)
        count = partial(
            service.service.metrics.registry.get_sample_value,
            "prefstream_records_skipped_total",
            {"reason": "deleted_before_first_read"},
        )
        wait_until(lambda: count() == 4 - left, what="the loss to be counted")


def test_answers_of_an_empty_topics_predecessor_say_nothing_of_it(stream_config: MakeConfig, admin: Any) -> None:
    config = stream_config(partitions=1, on_lost_offsets="stop")
    answer(config, produce(config, battle_events(5)))
    recreate(admin, config)
    produce(config, battle_events(2, first=10))
    delete_before(admin, config, 2)
    assert find_starts(config) == {}
