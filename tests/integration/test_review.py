"""Preferences that a person should look at: on a topic of their own, with their preferences, exactly once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient
from structlog.testing import capture_logs

from prefstream.consumer.client.patches import unknown_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.draw import draw
from prefstream.consumer.errors import TopicMissingError
from prefstream.consumer.stream.choice.review import PURPOSE
from tests.conftest import Kafka
from tests.support.hash_judge import hash_panel
from tests.support.streams import (
    Running,
    assert_exactly_once,
    assert_reviews_exact,
    battle_event,
    battle_events,
    malformed_events,
    produce,
    read_topic,
    running,
)

MakeConfig = Callable[..., StreamConfig]


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Any]:
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as client:
        yield client


def counted(service: Running, name: str) -> float | None:
    return service.service.metrics.registry.get_sample_value(name)


def test_every_preference_tells_its_probability_and_the_chosen_ones_are_there_once_more(
    stream_config: MakeConfig,
) -> None:
    config = stream_config(review_topic="yes", review_share=0.2, review_above=1.4, review_share_above=0.7)
    sent = produce(config, [*battle_events(300), *(value for value, _ in malformed_events(11))])
    with running(config, hash_panel) as service:
        service.wait_published(len(sent))
    outcome = assert_exactly_once(config, sent)
    reviewed = assert_reviews_exact(config)
    probabilities = set()
    for preference in outcome.preferences:
        assert preference.review is not None
        assert preference.uncertainty is not None
        assert preference.review.probability == (0.7 if preference.uncertainty.entropy >= 1.4 else 0.2)
        assert preference.review.chosen == (draw(preference.id, PURPOSE) < preference.review.probability)
        probabilities.add(preference.review.probability)
    assert probabilities == {0.2, 0.7}
    assert 0 < sum(reviewed.values()) < 300
    assert counted(service, "prefstream_reviews_published_total") == sum(reviewed.values())


def test_another_group_chooses_the_same(stream_config: MakeConfig) -> None:
    """Whoever answers, and in whatever batches."""
    first = stream_config(review_topic="yes", review_share=0.3, review_share_above=0.3)
    second = first.model_copy(
        update={
            **{
                name: f"{getattr(first, name)}.2"
                for name in ("preferences_topic", "dead_letters_topic", "review_topic")
            },
            "group_id": f"{first.group_id}.2",
            "max_batch_battles": 7,
        }
    )
    with closing(KafkaAdminClient(bootstrap_servers=first.bootstrap_servers)) as admin:
        topics = (second.preferences_topic, second.dead_letters_topic, second.review_topic)
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1} for name in topics})
    sent = produce(first, battle_events(100))
    for config in (first, second):
        with running(config) as service:
            service.wait_published(len(sent))
    assert assert_reviews_exact(first) == assert_reviews_exact(second)


def test_without_a_review_topic_a_preference_says_nothing_of_review(stream_config: MakeConfig) -> None:
    config = stream_config()
    sent = produce(config, battle_events(3))
    with running(config) as service:
        service.wait_published(len(sent))
    assert [preference.review for preference in assert_exactly_once(config, sent).preferences] == [None] * 3


def test_what_is_too_large_for_the_review_topic_is_published_all_the_same(
    stream_config: MakeConfig, admin: Any
) -> None:
    """Without its review; those that share its batch keep theirs."""
    config = stream_config(partitions=1, review_topic="yes", review_share=1, review_share_above=1, linger_ms=200)
    config = config.model_copy(update={"review_topic": f"{config.review_topic}.small"})
    settings = {"max.message.bytes": "2500"}
    admin.create_topics(
        {config.review_topic: {"num_partitions": 1, "replication_factor": 1, "configs": settings}},
        wait_for_metadata=True,
    )
    sent = produce(config, [*battle_events(5), battle_event(5, id="x" * 1_000), *battle_events(4, first=6)])
    with capture_logs() as logs, running(config) as service:
        service.wait_published(10)
    outcome = assert_exactly_once(config, sent)
    assert outcome.reasons() == {}
    assert {preference.id for preference in outcome.preferences if preference.review is None} == {"x" * 1_000}
    assert sum(assert_reviews_exact(config).values()) == 9
    assert counted(service, "prefstream_reviews_refused_total") == 1
    assert [line["log_level"] for line in logs if "too large for the review topic" in line["event"]] == ["warning"]


def test_a_review_topic_that_is_missing_is_named_at_the_start(stream_config: MakeConfig) -> None:
    config = stream_config().model_copy(update={"review_topic": "no-such-topic"})
    with running(config) as service:
        error = service.wait_ended()
    assert isinstance(error, TopicMissingError)
    assert f"no topic {config.review_topic} at" in str(error)
    assert f"--review-topic {config.review_topic}" in str(error)


def test_a_review_topic_that_is_deleted_ends_the_stream_by_its_name_and_nothing_is_half_done(
    stream_config: MakeConfig, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unknown_topics, "UNKNOWN_TOPIC_S", 0.5)
    config = stream_config(
        partitions=1, broker_timeout_s=12.0, review_topic="yes", review_share=1, review_share_above=1
    )
    with running(config) as service:
        service.wait_ready()
        admin.delete_topics([config.review_topic])
        produce(config, battle_events(1))
        error = service.wait_ended()
    assert isinstance(error, TopicMissingError)
    assert str(config.review_topic) in str(error)
    assert read_topic(config.bootstrap_servers, config.preferences_topic) == []
