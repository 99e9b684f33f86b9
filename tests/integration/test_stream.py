"""The whole stream in one process: every input leaves exactly once, in order, soon, and says where it came from."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from kafka import KafkaProducer

from prefstream.consumer.client import clients as kafka_client
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import BrokerUnreachableError, DataLossError, TopicMissingError
from prefstream.consumer.stream import telemetry
from prefstream.schemas import Battle, KafkaSource, Provenance, decode_preference
from prefstream.schemas.dead_letter import (
    ERROR_HEADERS,
    HEADER_EXCEPTION,
    HEADER_MESSAGE,
    HEADER_OFFSET,
    HEADER_ORIGINAL_TIMESTAMP,
    HEADER_PARTITION,
    HEADER_REASON,
    HEADER_STACKTRACE,
    HEADER_TOPIC,
    header,
)
from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import HeldJudge, prior_panel
from tests.support.streams import (
    MALFORMED,
    MARKERS,
    Running,
    assert_exactly_once,
    battle_event,
    battle_events,
    committed_offsets,
    delete_before,
    end_offsets,
    malformed_events,
    produce,
    read_outcome,
    read_topic,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]


def test_valid_and_malformed_events_leave_exactly_once(
    stream_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """N battles and all kinds of malformed events become N preferences and one dead letter each."""
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0)  # asking for the lag at every turn must not disturb
    config = stream_config()
    events: list[bytes | None] = list(battle_events(300))
    for position, (value, _) in enumerate(malformed_events(2 * len(MALFORMED))):
        events.insert(position * 10, value)
    sent = produce(config, events)
    with running(config) as service:
        service.wait_published(len(sent))
    outcome = assert_exactly_once(config, sent)
    assert len(outcome.preferences) == 300
    assert outcome.reasons() == {
        reason.value: 2 * sum(other is reason for _, other in MALFORMED.values()) for _, reason in MALFORMED.values()
    }
    assert committed_offsets(config) == end_offsets(config)


@pytest.mark.parametrize("publish_models", [True, False])
def test_a_preference_says_what_is_known_of_its_battle(stream_config: MakeConfig, publish_models: bool) -> None:
    """On the topic, in each message alone: whoever reads it needs no other."""
    config = stream_config(publish_models=publish_models)
    said = {"language": "de", "occurred_at": "2026-11-20T10:00:00Z", "response_id_a": "zqresponse"}
    produce(config, [battle_event(0, response_a="# zqanswera\n- **one**", **said)])
    panel = prior_panel(judges=2)
    with running(config, lambda: panel) as service:
        service.wait_published(1)
    [record] = read_topic(config.bootstrap_servers, config.preferences_topic)
    preference = decode_preference(record.value)
    models = ("zqmodel-one", "zqmodel-two") if publish_models else (None, None)
    assert (preference.model_a, preference.model_b) == models
    assert preference.language == "de"
    assert preference.occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert preference.style is not None
    style = preference.style.a
    assert (style.characters, style.headings, style.list_items, style.bold) == (21, 1, 1, 1)
    assert preference.panel == panel.identity
    assert [judge.weight for judge in preference.judges] == [0.5, 0.5]
    assert preference.uncertainty is not None
    assert preference.uncertainty.entropy > 1.5
    text = record.value.decode()
    assert [marker for marker in ("zqprompt", "zqanswer", "zqresponse", "zqkey") if marker in text] == []


def test_a_dead_letter_is_the_record_as_it_came_and_why(stream_config: MakeConfig) -> None:
    """Key, value and headers untouched, Kafka's own error headers, and a timestamp that retention won't touch."""
    config = stream_config()
    yesterday_ms = int(time.time() - 86_400) * 1000
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as to:
        own = [("zqheader", b"\x00\xff"), ("twice", b"1"), ("twice", b"2")]
        at = to.send(
            config.battles_topic, b"zqprompt, no JSON", b"zqkey", own, partition=3, timestamp_ms=yesterday_ms
        ).get(100)
    started_ms = time.time() * 1000
    with running(config) as service:
        service.wait_published(1)
    (record,) = read_topic(config.bootstrap_servers, config.dead_letters_topic)
    assert (record.key, record.value) == (b"zqkey", b"zqprompt, no JSON")
    assert [item for item in record.headers if item[0] not in ERROR_HEADERS] == own
    assert header(record, HEADER_REASON) == "not_json"
    assert header(record, HEADER_EXCEPTION) == "prefstream.schemas.errors.InvalidEventError"
    assert "not JSON at line 1" in (header(record, HEADER_MESSAGE) or "")
    assert "decode_battle (" in (header(record, HEADER_STACKTRACE) or "")
    assert header(record, HEADER_TOPIC) == config.battles_topic
    assert header(record, HEADER_PARTITION) == "3"
    assert header(record, HEADER_OFFSET) == str(at.offset)
    assert header(record, HEADER_ORIGINAL_TIMESTAMP) == str(yesterday_ms)
    assert record.timestamp >= started_ms - 1_000


def test_a_battle_behind_the_frame_of_a_schema_registry_is_answered_where_the_setting_says_so(
    stream_config: MakeConfig,
) -> None:
    config = stream_config(battles_framing="confluent")
    sent = produce(config, [b"\0\0\0\0\7" + battle_event(0), battle_event(1)])
    with running(config) as service:
        service.wait_published(2)
    assert len(assert_exactly_once(config, sent).preferences) == 2


def test_headers_of_dead_letters_hold_nothing_of_the_event(stream_config: MakeConfig) -> None:
    """Headers are shown in tools and logged by them; what a user wrote is in the value alone."""
    config = stream_config()
    produce(config, [value for value, _ in MALFORMED.values()])
    with running(config) as service:
        service.wait_published(len(MALFORMED))
    for record in read_topic(config.bootstrap_servers, config.dead_letters_topic):
        text = repr(record.headers)
        assert not [marker for marker in MARKERS if marker in text]


def test_a_preference_names_its_battle_and_carries_cloudevents_and_the_trace(stream_config: MakeConfig) -> None:
    """Binary mode: consumers route by header, and a trace goes on where the battle's ended."""
    config = stream_config()
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    ((topic, partition, offset),) = produce(
        config, battle_events(1), headers=[("traceparent", trace), ("zqheader", b"not passed on")]
    )
    with running(config) as service:
        service.wait_published(1)
    (record,) = read_topic(config.bootstrap_servers, config.preferences_topic)
    headers = dict(record.headers)
    assert record.key == b"battle-0"
    assert datetime.fromisoformat(headers.pop("ce_time").decode()).tzinfo is not None
    assert headers == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_type": b"prefstream.preference.v1",
        "ce_source": f"/prefstream/{config.group_id}".encode(),
        "ce_id": f"{topic}/{partition}/{offset}".encode(),
        "traceparent": trace,
    }
    (preference,) = read_outcome(config).preferences
    assert preference.source == KafkaSource(topic=topic, partition=partition, offset=offset)
    assert preference.timings is not None
    # Who wrote the answers is passed on; what was written is not.
    assert [marker for marker in MARKERS if marker in record.value.decode()] == ["zqmodel"]


def test_batches_close_on_count(stream_config: MakeConfig) -> None:
    """A full batch is scored at once, however long it might linger."""
    config = stream_config(partitions=1, max_batch_battles=10, linger_ms=60_000)
    produce(config, battle_events(30))
    with running(config) as service:
        service.wait_published(30)
    assert [len(batch.messages) for batch in service.committed] == [10, 10, 10]


def test_batches_close_on_tokens(stream_config: MakeConfig) -> None:
    """Long battles fill a batch before its count is reached."""
    config = stream_config(partitions=1, max_batch_tokens=1_000, linger_ms=60_000)
    produce(config, [battle_event(number, prompt=["zqprompt" * 200]) for number in range(9)])
    with running(config) as service:
        service.wait_published(9)
    assert [len(batch.messages) for batch in service.committed] == [3, 3, 3]


def test_a_lone_battle_leaves_at_once_and_those_that_follow_wait_for_company(stream_config: MakeConfig) -> None:
    """However long they might linger; none has to come to the first."""
    config = stream_config(partitions=1, max_batch_battles=3, linger_ms=600_000)
    with running(config) as service:
        produce(config, battle_events(1))
        service.wait_published(1)
        produce(config, battle_events(1, first=1))
        wait_consumed(service, 2)
        produce(config, battle_events(2, first=2))
        service.wait_published(4)
    assert [len(batch.messages) for batch in service.committed] == [1, 3]


def test_a_batch_stays_open_while_the_judges_are_busy(stream_config: MakeConfig) -> None:
    """It could begin no sooner, only smaller."""
    config = stream_config(partitions=1, linger_ms=0)
    judge = HeldJudge()
    with running(config, lambda: Panel([judge])) as service:
        for number in range(4):
            produce(config, battle_events(1, first=number))
            wait_consumed(service, number + 1)
        judge.let()
        service.wait_published(4)
    assert [len(batch.messages) for batch in service.committed] == [1, 3]


def test_a_batch_that_is_full_is_prepared_while_the_judges_are_busy(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=1, max_batch_battles=2, linger_ms=0)
    judge = HeldJudge()
    with running(config, lambda: Panel([judge])) as service:
        sample = service.service.metrics.registry.get_sample_value
        produce(config, battle_events(2))
        wait_consumed(service, 2)
        produce(config, battle_events(2, first=2))
        wait_until(lambda: sample("prefstream_batches_in_flight") == 2, what="two full batches")
        judge.let()
        service.wait_published(4)


def wait_consumed(service: Running, count: int) -> None:
    """Wait until so many records were read."""
    sample = service.service.metrics.registry.get_sample_value
    wait_until(lambda: sample("prefstream_battles_consumed_total") == count, what=f"{count} records")


def test_partitions_are_committed_in_order(stream_config: MakeConfig) -> None:
    """Although batches are prepared while others are scored."""
    config = stream_config(max_batch_battles=7, linger_ms=1)
    sent = produce(config, battle_events(200))
    with running(config, lambda: prior_panel(seconds_per_batch=0.01)) as service:
        service.wait_published(200)
    last: dict[int, int] = {}
    for batch in service.committed:
        for event in (message.event for message in batch.messages):
            assert event.record.offset == last.get(event.record.partition, -1) + 1
            last[event.record.partition] = event.record.offset
    assert sum(last.values()) == len(sent) - len(last)


def test_scoring_may_take_longer_than_the_poll_interval(stream_config: MakeConfig) -> None:
    """Reading pauses when enough batches are in flight, polling goes on: the group is kept, nothing is read twice."""
    config = stream_config(partitions=2, max_batch_battles=5, max_in_flight=2, linger_ms=1, max_poll_interval_ms=3_000)
    sent = produce(config, battle_events(15))
    judge = HeldJudge()
    with running(config, lambda: Panel([judge])) as service:
        sample = service.service.metrics.registry.get_sample_value
        wait_until(lambda: sample("prefstream_battles_consumed_total"), what="the first batch")
        time.sleep(4.0)  # longer than the interval
        judge.let()
        service.wait_published(15)
        assert service.read_before_commit[0] <= 10
        assert sample("prefstream_stale_records_dropped_total") == 0
        assert sample("prefstream_transactions_aborted_total") == 0
    assert_exactly_once(config, sent)


class BrokenJudge:
    """Answers so many batches, then breaks down for good."""

    name = "broken"
    weight = 1.0
    provenance = Provenance(kind="prior")
    settings: ClassVar[dict[str, object]] = {}
    symmetric = True

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        return JudgeBatch(len(battles), 0)

    def score(self, batch: JudgeBatch) -> Scores:
        raise JudgeFaultError(self.name, "its card fell off the bus", transient=False)

    def close(self) -> None:
        pass


def test_a_judge_that_fails_for_good_ends_the_stream_and_commits_nothing(stream_config: MakeConfig) -> None:
    """What it could not judge stays on the topic for its successor, who judges it once."""
    config = stream_config()
    sent = produce(config, battle_events(5))
    with running(config, lambda: Panel([BrokenJudge()])) as service:
        error = service.wait_ended()
    assert isinstance(error, JudgeFaultError)
    assert "broken" in str(error)
    assert service.service.metrics.registry.get_sample_value("prefstream_judge_faults_total", {"judge": "broken"}) == 1
    assert set(committed_offsets(config).values()) <= {None, 0}  # 0 where a partition was found empty
    assert not read_outcome(config).positions
    with running(config) as service:
        service.wait_published(5)
    assert_exactly_once(config, sent)


def test_battles_that_share_an_id_have_an_answer_each(stream_config: MakeConfig) -> None:
    """Ids are upstream's business: each record is answered, in its order, under its own position."""
    config = stream_config(partitions=1)
    sent = produce(config, [battle_event(7), battle_event(7, prompt=["zqprompt again"]), battle_event(7)])
    with running(config) as service:
        service.wait_published(3)
    outcome = assert_exactly_once(config, sent)
    assert [preference.id for preference in outcome.preferences] == ["battle-7"] * 3


def test_a_stop_finishes_the_batches_in_flight(stream_config: MakeConfig) -> None:
    """What was read is published before the service returns."""
    config = stream_config(partitions=1, max_batch_battles=5, linger_ms=1)
    sent = produce(config, battle_events(5))
    judge = HeldJudge()
    with running(config, lambda: Panel([judge])) as service:
        consumed = "prefstream_battles_consumed_total"
        wait_until(lambda: service.service.metrics.registry.get_sample_value(consumed) == 5)
        threading.Timer(0.5, judge.let).start()  # while it is being stopped
        service.stop()
    assert not service.service.gave_up
    assert_exactly_once(config, sent)


def test_a_stop_gives_up_a_batch_that_takes_too_long(stream_config: MakeConfig) -> None:
    """It was not committed: the next process scores it again."""
    config = stream_config(partitions=1, max_batch_battles=5, linger_ms=1, drain_seconds=0.2)
    sent = produce(config, battle_events(5))
    with running(config, lambda: prior_panel(seconds_per_batch=5.0)) as service:
        consumed = "prefstream_battles_consumed_total"
        wait_until(lambda: service.service.metrics.registry.get_sample_value(consumed) == 5)
        service.stop()
    assert service.service.gave_up
    assert not read_outcome(config).positions
    with running(config) as service:
        service.wait_published(5)
    assert_exactly_once(config, sent)


@pytest.fixture
def lossy(stream_config: MakeConfig, admin: Any) -> StreamConfig:
    """A group that stands at offset 5 of a partition whose records before 10 are gone."""
    config = stream_config(partitions=1)
    produce(config, battle_events(5))
    with running(config) as service:
        service.wait_published(5)
    produce(config, battle_events(10, first=5))
    delete_before(admin, config, 10)
    return config


def test_records_that_were_deleted_unread_stop_the_stream(lossy: StreamConfig) -> None:
    """Going on unasked would hide that battles were lost."""
    with running(lossy) as service:
        error = service.wait_ended()
    assert isinstance(error, DataLossError)
    assert f"{lossy.battles_topic}/0 offset 5" in str(error)
    assert "--on-data-loss" in str(error)
    assert committed_offsets(lossy, 1) == {0: 5}


def test_told_to_the_stream_goes_on_with_the_earliest_record(lossy: StreamConfig) -> None:
    with running(lossy.model_copy(update={"on_data_loss": "earliest"})) as service:
        service.wait_published(5)
    assert sorted(p.source.offset for p in read_outcome(lossy).preferences if isinstance(p.source, KafkaSource)) == [
        *range(5),
        *range(10, 15),
    ]


def test_told_to_the_stream_goes_on_with_the_latest_record(
    lossy: StreamConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "REPORT_EVERY_S", 0.1)
    with running(lossy.model_copy(update={"on_data_loss": "latest"})) as service:
        sample = service.service.metrics.registry.get_sample_value
        lag = {"topic": lossy.battles_topic, "partition": "0"}
        wait_until(lambda: sample("prefstream_consumer_lag_records", lag) == 0, what="the end of the topic")
        produce(lossy, battle_events(1, first=15))
        service.wait_published(1)
    offsets = [p.source.offset for p in read_outcome(lossy).preferences if isinstance(p.source, KafkaSource)]
    assert sorted(offsets) == [*range(5), 15]


def test_a_missing_topic_is_told_before_judges_are_loaded(stream_config: MakeConfig) -> None:
    config = stream_config().model_copy(update={"dead_letters_topic": "no-such-topic"})

    def load() -> Panel:
        raise AssertionError("judges were loaded for nothing")

    with running(config, load) as service:
        error = service.wait_ended()
    assert isinstance(error, TopicMissingError)
    assert "no-such-topic" in str(error)


def test_an_unreachable_broker_is_told_with_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "CONNECT_TIMEOUT_MS", 1_000)
    config = StreamConfig.load(bootstrap_servers="127.0.0.1:1", http=False)
    with running(config) as service:
        error = service.wait_ended()
    assert isinstance(error, BrokerUnreachableError)
    assert "127.0.0.1:1" in str(error)
    assert "nothing listens there" in str(error)


def test_output_order_follows_input_order_for_one_key(stream_config: MakeConfig) -> None:
    """Preferences of battles with one id land on one partition in the order of the battles."""
    config = stream_config(max_batch_battles=3, linger_ms=1)
    produce(config, [battle_event(number, id="same") for number in range(20)], partition=2)
    with running(config) as service:
        service.wait_published(20)
    offsets = [p.source.offset for p in read_outcome(config).preferences if isinstance(p.source, KafkaSource)]
    assert all(first < second for first, second in pairwise(offsets))
