"""Topics that are deleted, recreated, cut off or refuse a write: told in one line, and nothing is lost in silence."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest
from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from prefstream.consumer.client.patches import unknown_topics
from prefstream.consumer.client.topic_aware_consumer import TopicAwareConsumer
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DataLossError, StreamError, TopicMissingError
from prefstream.consumer.stream.partitions.topic_identity import TopicIdentity
from prefstream.schemas import KafkaSource, Reason
from prefstream.schemas.dead_letter import HEADER_REASON, HEADER_VALUE_SHA256, HEADER_VALUE_SIZE, header
from prefstream.scoring.panel.panel import Panel
from tests.conftest import Kafka
from tests.support.figures import record
from tests.support.priors import HeldJudge, prior_panel
from tests.support.streams import (
    Running,
    assert_exactly_once,
    battle_event,
    battle_events,
    committed_offsets,
    delete_before,
    produce,
    read_outcome,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

BAD = b"zqprompt, no JSON"
UNKNOWN_TOPIC_OR_PARTITION = 3


def exists(admin: Any, topic: str) -> bool:
    (described,) = admin.describe_topics([topic])
    return bool(described["error_code"] != UNKNOWN_TOPIC_OR_PARTITION)


def identity(admin: Any, topic: str) -> UUID:
    (described,) = admin.describe_topics([topic])
    return UUID(str(described["topic_id"]))


def delete(admin: Any, topic: str) -> None:
    admin.delete_topics([topic])
    wait_until(lambda: not exists(admin, topic), what="the topic to go")


def create(admin: Any, topic: str, **configs: Any) -> None:
    settings = {name.replace("_", "."): str(setting) for name, setting in configs.items()}
    admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1, "configs": settings}})
    wait_until(lambda: exists(admin, topic), what="the topic to be there")


def make_anew_while_scoring(admin: Any, config: StreamConfig, service: Running) -> None:
    """Delete the input topic and recreate it once its five battles were read."""
    consumed = "prefstream_battles_consumed_total"
    wait_until(lambda: service.service.metrics.registry.get_sample_value(consumed) == 5, what="battles to be read")
    delete(admin, config.battles_topic)
    create(admin, config.battles_topic)


@pytest.fixture
def adopted(monkeypatch: pytest.MonkeyPatch) -> list[UUID | None]:
    """Identities of the input topic that streams took up, one after the other."""
    taken_up: list[UUID | None] = []
    adopt = TopicIdentity.adopt

    def note(identity: TopicIdentity, topic_id: UUID | None) -> None:
        adopt(identity, topic_id)
        taken_up.append(topic_id)

    monkeypatch.setattr(TopicIdentity, "adopt", note)
    return taken_up


def battles_seen(config: StreamConfig) -> Counter[str]:
    """How often each battle was answered: in a topic that was recreated, offsets name others."""
    return Counter(preference.id for preference in read_outcome(config).preferences)


def each_once(*ranges: range) -> Counter[str]:
    return Counter(f"battle-{number}" for numbers in ranges for number in numbers)


def offsets_seen(config: StreamConfig) -> list[int]:
    sources = [preference.source for preference in read_outcome(config).preferences]
    return sorted(source.offset for source in sources if isinstance(source, KafkaSource))


def readiness(service: Running) -> str:
    return service.service.health.readiness().reason


def test_an_input_topic_that_is_deleted_is_told_at_once_and_ends_the_stream_if_it_stays_away(
    stream_config: MakeConfig, admin: Any
) -> None:
    """Nobody recreates it by asking for it, not even where brokers create what is asked for."""
    config = stream_config(partitions=1, broker_timeout_s=5.0)
    produce(config, battle_events(5))
    with running(config) as service:
        service.wait_published(5)
        delete(admin, config.battles_topic)
        wait_until(lambda: "is gone" in readiness(service), what="readiness to tell")
        error = service.wait_ended()
    assert isinstance(error, TopicMissingError)
    assert config.battles_topic in str(error)
    assert not exists(admin, config.battles_topic)


@pytest.mark.parametrize("refilled", [0, 20])
def test_an_input_topic_recreated_stops_the_stream(
    stream_config: MakeConfig, admin: Any, kafka: Kafka, refilled: int
) -> None:
    """Empty, or with more than was read before: whatever stood unread in the old one is lost.

    Each start stops, until a person has decided.
    """
    config = stream_config(partitions=1)
    produce(config, battle_events(10))
    with running(config) as service:
        service.wait_published(10)
        delete(admin, config.battles_topic)
        create(admin, config.battles_topic)
        produce(config, battle_events(refilled, first=10))
        error = service.wait_ended()
    with running(config) as service:
        again = service.wait_ended()
    for found in (error, again):
        assert isinstance(found, DataLossError)
        assert f"topic {config.battles_topic} was deleted and recreated" in str(found)
    assert battles_seen(config) == each_once(range(10))
    config = config.model_copy(update={"on_data_loss": "earliest"})
    produce(config, battle_events(5, first=10 + refilled))
    started = time.monotonic()
    with running(config) as service:
        service.wait_published(refilled + 5)
    record(
        f"input topic recreated, {kafka.name}", time.monotonic() - started, "stop with DataLossError, then all of it"
    )
    assert battles_seen(config) == each_once(range(15 + refilled))


@pytest.mark.parametrize("policy", ["earliest", "latest"])
def test_told_to_the_stream_goes_on_with_an_input_topic_recreated(
    stream_config: MakeConfig, admin: Any, kafka: Kafka, policy: str
) -> None:
    """From its beginning: nothing of it was answered yet."""
    config = stream_config(partitions=1, on_data_loss=policy)
    produce(config, battle_events(10))
    with running(config) as service:
        service.wait_published(10)
        delete(admin, config.battles_topic)
        create(admin, config.battles_topic)
        started = time.monotonic()
        produce(config, battle_events(20, first=10))
        service.wait_published(30)
        record(f"input topic recreated, told to go on, {kafka.name}", time.monotonic() - started, "an error line")
    assert battles_seen(config) == each_once(range(30))


def test_what_is_scored_while_the_input_topic_is_recreated_is_dropped(
    stream_config: MakeConfig, admin: Any, adopted: list[UUID | None]
) -> None:
    """Its offsets, committed, would skip as many records of the new one. No fetch tells, because reading is paused."""
    config = stream_config(partitions=1, on_data_loss="earliest", max_batch_battles=5, max_in_flight=1)
    produce(config, battle_events(5))
    judge = HeldJudge()
    with running(config, lambda: Panel([judge])) as service:
        make_anew_while_scoring(admin, config, service)
        wait_until(lambda: identity(admin, config.battles_topic) in adopted, what="the stream to see it")
        judge.let()
        produce(config, battle_events(5, first=5))
        service.wait_published(5)
    assert battles_seen(config) == each_once(range(5, 10))
    assert committed_offsets(config, 1) == {0: 5}


@pytest.mark.parametrize("policy", ["stop", "earliest"])
def test_what_is_committed_before_the_new_topic_is_known_skips_nothing_of_it(
    stream_config: MakeConfig,
    admin: Any,
    monkeypatch: pytest.MonkeyPatch,
    adopted: list[UUID | None],
    policy: str,
) -> None:
    """Answers to the old topic come out, with offsets that mean other records now; these are answered all the same."""
    ask, committed, held_back = TopicAwareConsumer.ask_for_topics, threading.Event(), list[TopicAwareConsumer]()
    monkeypatch.setattr(
        TopicAwareConsumer,
        "ask_for_topics",
        lambda consumer: ask(consumer) if committed.is_set() else held_back.append(consumer),
    )
    config = stream_config(partitions=1, on_data_loss=policy, max_batch_battles=5, max_in_flight=1)
    produce(config, battle_events(5))
    judge = HeldJudge()
    with running(config, lambda: Panel([judge])) as service:
        # A member asks of itself when it has joined; from then on nobody asks but what is held back here.
        wait_until(lambda: held_back and not held_back[0]._cluster.need_update, what="the stream to know its topic")
        make_anew_while_scoring(admin, config, service)
        judge.let(1)
        produce(config, battle_events(15, first=5))
        service.wait_published(5)
        assert battles_seen(config) == each_once(range(5))
        committed.set()
        if policy == "stop":
            threading.Timer(5.0, judge.let).start()  # the stream sees it within one
            assert isinstance(service.wait_ended(), DataLossError)
        else:
            wait_until(lambda: identity(admin, config.battles_topic) in adopted, what="the stream to see it")
            judge.let()
            service.wait_published(20)
    if policy == "stop":
        with running(config) as service:
            assert isinstance(service.wait_ended(), DataLossError)
        with running(config.model_copy(update={"on_data_loss": "earliest"})) as service:
            service.wait_published(15)
    assert battles_seen(config) == each_once(range(20))


def test_a_committed_offset_beyond_the_end_of_the_topic_stops_the_stream(stream_config: MakeConfig) -> None:
    """A topic that was cut off, or filled anew while nobody read: going on at its end would hide that."""
    config = stream_config(partitions=1)
    sent = produce(config, battle_events(5))
    with closing(
        KafkaConsumer(bootstrap_servers=config.bootstrap_servers, group_id=config.group_id, enable_auto_commit=False)
    ) as consumer:
        consumer.assign([partition := TopicPartition(config.battles_topic, 0)])
        consumer.commit({partition: OffsetAndMetadata(50, "", -1)})
    with running(config) as service:
        error = service.wait_ended()
    assert isinstance(error, DataLossError)
    assert f"{config.battles_topic}/0 offset 50" in str(error)
    with running(config.model_copy(update={"on_data_loss": "earliest"})) as service:
        service.wait_published(5)
    assert_exactly_once(config, sent)


@pytest.fixture
def cut_off(stream_config: MakeConfig, admin: Any) -> Callable[..., Running]:
    """Takes records that are not read yet away from a stream that runs."""

    def start(config: StreamConfig) -> Running:
        produce(config, [battle_event(number, prompt=["zqprompt" * 20_000]) for number in range(40)])
        service = Running(config, lambda: prior_panel(seconds_per_batch=0.2))
        service.wait_published(5)
        delete_before(admin, config, 38)
        return service

    return start


def test_records_deleted_in_front_of_a_running_stream_stop_it(
    stream_config: MakeConfig, cut_off: Callable[..., Running]
) -> None:
    """What was read before is answered; the line says from where on records are lost."""
    service = cut_off(config := stream_config(partitions=1, max_batch_battles=5, max_in_flight=1))
    error = service.wait_ended()
    assert isinstance(error, DataLossError)
    seen = offsets_seen(config)
    assert seen == list(range(len(seen)))
    assert len(seen) < 38
    assert f"{config.battles_topic}/0 offset" in str(error)


def test_told_to_a_running_stream_goes_on_behind_deleted_records(
    stream_config: MakeConfig, cut_off: Callable[..., Running], kafka: Kafka
) -> None:
    config = stream_config(partitions=1, max_batch_battles=5, max_in_flight=1, on_data_loss="earliest")
    service = cut_off(config)
    started = time.monotonic()
    wait_until(lambda: committed_offsets(config, 1) == {0: 40}, what="the last record")
    record(f"input deleted in front of a running stream, {kafka.name}", time.monotonic() - started, "an error line")
    service.stop()
    seen = offsets_seen(config)
    assert seen == [*range(len(seen) - 2), 38, 39]


@pytest.mark.parametrize("which", ["preferences", "dead_letters"])
def test_an_output_topic_that_is_deleted_ends_the_stream_by_its_name(
    stream_config: MakeConfig, admin: Any, kafka: Kafka, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Not by a time-out that names nobody; and we don't recreate it, with too few partitions."""
    monkeypatch.setattr(unknown_topics, "UNKNOWN_TOPIC_S", 0.5)
    config = stream_config(partitions=1)
    produce(config, [*battle_events(3), BAD])
    with running(config) as service:
        service.wait_published(4)
        topic = getattr(config, f"{which}_topic")
        delete(admin, topic)
        later = produce(config, [*battle_events(3, first=4), BAD])
        error = service.wait_ended()
    assert isinstance(error, TopicMissingError)
    assert topic in str(error)
    assert not exists(admin, topic)
    assert committed_offsets(config, 1) == {0: 4}
    create(admin, topic)
    started = time.monotonic()
    with running(config) as service:
        service.wait_published(4)
    record(
        f"{which} topic deleted, {kafka.name}", time.monotonic() - started, "nothing new; stop with TopicMissingError"
    )
    counts = read_outcome(config).positions
    assert {position: counts[position] for position in later} == dict.fromkeys(later, 1)


def test_an_output_topic_that_was_deleted_while_nothing_was_sent_is_missed_at_the_next_battle(
    stream_config: MakeConfig, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The producer asks for its partitions then, and would wait for as long as brokers may be away."""
    monkeypatch.setattr(unknown_topics, "UNKNOWN_TOPIC_S", 0.5)
    config = stream_config(partitions=1, broker_timeout_s=12.0)
    with running(config) as service:
        service.wait_ready()
        delete(admin, config.preferences_topic)
        produce(config, battle_events(1))
        error = service.wait_ended()
    assert isinstance(error, TopicMissingError)
    assert service.stalled is None
    assert config.preferences_topic in str(error)


def test_a_preference_too_large_for_its_topic_becomes_a_dead_letter(stream_config: MakeConfig, admin: Any) -> None:
    """Only the large one; those that share its batch are published."""
    config = stream_config(partitions=1, linger_ms=200)
    delete(admin, config.preferences_topic)
    create(admin, config.preferences_topic, max_message_bytes=1_500)
    sent = produce(config, [*battle_events(5), battle_event(5, id="x" * 1_000), *battle_events(4, first=6)])
    with running(config) as service:
        service.wait_published(10)
    outcome = assert_exactly_once(config, sent)
    assert outcome.reasons() == {Reason.PREFERENCE_TOO_LARGE.value: 1}
    assert outcome.dead_letters[0].value == battle_event(5, id="x" * 1_000)


def test_a_dead_letter_too_large_for_its_topic_goes_without_its_value(stream_config: MakeConfig, admin: Any) -> None:
    """Its size and hash stand in headers, so that the original can be found and recognised."""
    config = stream_config(partitions=1, linger_ms=200)
    delete(admin, config.dead_letters_topic)
    create(admin, config.dead_letters_topic, max_message_bytes=3_000)
    large = b"zqprompt" * 1_000
    sent = produce(config, [*battle_events(3), large, BAD, *battle_events(3, first=5)])
    with running(config) as service:
        service.wait_published(8)
    outcome = assert_exactly_once(config, sent)
    told = {
        bytes(letter.value): (header(letter, HEADER_VALUE_SIZE), header(letter, HEADER_VALUE_SHA256))
        for letter in outcome.dead_letters
    }
    assert told == {b"": (str(len(large)), sha256(large).hexdigest()), BAD: (None, None)}
    assert {header(letter, HEADER_REASON) for letter in outcome.dead_letters} == {Reason.NOT_JSON.value}


def test_a_dead_letter_too_large_even_without_its_value_stops_the_stream(
    stream_config: MakeConfig, admin: Any, kafka: Kafka
) -> None:
    """Until a person raises the topic's limit; then it is there, once."""
    config = stream_config(partitions=1)
    delete(admin, config.dead_letters_topic)
    create(admin, config.dead_letters_topic, max_message_bytes=200)
    sent = produce(config, [BAD])
    with running(config) as service:
        error = service.wait_ended()
    assert isinstance(error, StreamError)
    assert f"{config.battles_topic}/0/0" in str(error)
    assert "max.message.bytes" in str(error)
    delete(admin, config.dead_letters_topic)
    create(admin, config.dead_letters_topic)
    started = time.monotonic()
    with running(config) as service:
        service.wait_published(1)
    record(f"dead letter larger than its topic allows, {kafka.name}", time.monotonic() - started, "stop, names record")
    assert_exactly_once(config, sent)
