"""`prefstream audit`: it finds nothing where all is well, and every break that is made on purpose."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import OffsetSpec
from typer.testing import CliRunner

from prefstream.consumer.audit.audit import audit_range
from prefstream.consumer.audit.ledger import Break
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.cli import app
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.schemas import KafkaSource, decode_preference, encode_preference
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_ORIGINAL_TIMESTAMP, HEADER_PARTITION
from tests.support.hash_judge import TOO_LARGE, hash_panel
from tests.support.streams import (
    Position,
    battle_event,
    battle_events,
    committed_offsets,
    end_offsets,
    malformed_events,
    produce,
    produce_ahead,
    read_topic,
    running,
    wait_until,
    write_transaction,
)

Served = tuple[StreamConfig, list[Position]]


@pytest.fixture
def served(stream_config: Callable[..., StreamConfig]) -> Served:
    """A topic whose every record is answered: battles, what is none, markers and an aborted transaction among them."""
    config = stream_config(partitions=2)
    sent = produce(config, battle_events(12))
    sent += write_transaction(config, battle_events(3, first=12))
    write_transaction(config, battle_events(2, first=900), commit=False)
    sent += produce(config, [battle_event(15, prompt=TOO_LARGE), *(value for value, _ in malformed_events(4))])
    with running(config, hash_panel) as service:
        service.wait_published(len(sent))
        wait_until(lambda: committed_offsets(config, 2) == end_offsets(config, 2), what="all offsets")
    return config, sent


def audited(config: StreamConfig, bounds: str = "earliest..latest") -> AuditReport:
    return audit_range(config, TopicSpan.parse(f"{config.battles_topic}@{bounds}"))


def found(report: AuditReport) -> dict[Break, int]:
    """What is broken, and how often."""
    return {kind: places.count for kind, places in report.breaks.items() if places.count}


def answers(config: StreamConfig, topic: str) -> list[Any]:
    return read_topic(config.bootstrap_servers, topic)


def write(config: StreamConfig, topic: str, records: Sequence[Any]) -> None:
    """Write records, or what stands in their place, each as key, value and headers."""
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for key, value, headers in records:
            producer.send(topic, key=key, value=value, headers=list(headers))
        producer.flush()


def test_where_all_is_well_every_record_has_one_answer_and_who_gave_it_is_told(served: Served) -> None:
    config, sent = served
    report = audited(config)
    assert (report.verdict, found(report), report.records) == ("kept", {}, len(sent))
    assert (report.open, report.untold, report.deleted, report.of_others, report.outside) == (0, 0, 0, 0, 0)
    assert sum(one.preferences for one in report.partitions) == 15
    assert sum(report.reasons.values()) == sum(one.dead_letters for one in report.partitions) == 5
    assert report.reasons["too_large_for_judge"] == 1
    [panel] = report.panels
    assert (panel.answers, panel.judges, panel.calibration) == (15, ("hash",), None)
    preferences = [decode_preference(record.value) for record in answers(config, config.preferences_topic)]
    assert {panel.hash} == {one.panel.hash for one in preferences if one.panel}
    assert report.judges["hash"].answers == 15


def test_what_is_not_due_is_no_break(served: Served) -> None:
    config, sent = served
    produce(config, battle_events(7, first=50), partition=1)
    report = audited(config)
    assert (report.verdict, report.open, report.records) == ("kept", 7, len(sent) + 7)
    # Of a group that has committed nothing, all is open; the answers are those of another one.
    report = audited(config.model_copy(update={"group_id": "nobody"}))
    assert (report.verdict, report.open, report.of_others) == ("kept", len(sent) + 7, len(sent))


def test_a_part_of_the_topic_is_held_against_its_own_answers(served: Served) -> None:
    config, sent = served
    first = sum(partition == 0 and offset in range(2, 6) for _, partition, offset in sent)
    report = audited(config, "0:2..0:6")
    assert (report.verdict, report.records) == ("kept", first)
    assert report.outside == len(sent) - first


def test_a_preference_that_is_there_twice_is_found_and_one_of_another_group_is_not_counted(served: Served) -> None:
    config, _ = served
    one, other = answers(config, config.preferences_topic)[:2]
    others = [(name, b"/prefstream/rescored" if name == "ce_source" else value) for name, value in other.headers]
    twice = (one.key, one.value, one.headers)
    write(config, config.preferences_topic, [twice, twice, (other.key, other.value, others)])
    report = audited(config)
    assert found(report) == {Break.DOUBLED: 1}
    source = decode_preference(one.value).source
    assert report.breaks[Break.DOUBLED].first == [
        f"{config.battles_topic}/{source.partition}/{source.offset} (3 preferences, 0 dead letters)"  # type: ignore[union-attr]
    ]
    assert (report.verdict, report.of_others) == ("broken", 1)


def test_a_dead_letter_beside_a_preference_is_found(served: Served) -> None:
    config, _ = served
    [one, *_] = answers(config, config.preferences_topic)
    source = decode_preference(one.value).source
    [letter, *_] = answers(config, config.dead_letters_topic)
    assert isinstance(source, KafkaSource)
    battles = {(record.partition, record.offset): record for record in answers(config, config.battles_topic)}
    headers = {
        **dict(letter.headers),
        HEADER_PARTITION: b"%d" % source.partition,
        HEADER_OFFSET: b"%d" % source.offset,
        HEADER_ORIGINAL_TIMESTAMP: b"%d" % battles[source.partition, source.offset].timestamp,
    }
    write(config, config.dead_letters_topic, [(letter.key, letter.value, headers.items())])
    assert found(audited(config)) == {Break.BOTH: 1}


def test_answers_that_are_for_nothing_there_or_contradict_themselves_are_found(served: Served) -> None:
    config, _ = served
    [one, two, *_] = answers(config, config.preferences_topic)
    preference = decode_preference(one.value)
    source = preference.source
    beyond = preference.model_copy(update={"source": source.model_copy(update={"offset": 10**6})})
    elsewhere = preference.model_copy(update={"source": source.model_copy(update={"topic": "other.battles"})})

    def as_answer(said: Any) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
        place = f"{said.source.topic}/{said.source.partition}/{said.source.offset}".encode()
        return one.key, encode_preference(said), [(n, place if n == "ce_id" else v) for n, v in one.headers]

    write(
        config,
        config.preferences_topic,
        [
            as_answer(beyond),
            as_answer(elsewhere),
            (one.key, b"{}", one.headers),
            # The value of one, the headers of the other.
            (two.key, two.value, one.headers),
            # The battle of one, the place of the other.
            as_answer(preference.model_copy(update={"source": decode_preference(two.value).source})),
        ],
    )
    report = audited(config)
    assert found(report) == {
        Break.FOREIGN: 2,
        Break.MALFORMED: 1,
        Break.CONTRADICTING: 1,
        Break.OTHER_BATTLE: 1,
        Break.DOUBLED: 1,  # the second one's record, three times
    }
    [contradiction] = report.breaks[Break.CONTRADICTING].first
    assert contradiction.endswith(": ce_id is not its source")


def test_an_answer_that_was_never_written_is_lost_and_one_that_is_deleted_can_not_be_told(
    served: Served, admin: Any
) -> None:
    """Both look alike on the topic: what tells them apart is whether anything as old was deleted."""
    config, _ = served
    mute = config.model_copy(update={"preferences_topic": f"{config.preferences_topic}.empty"})
    topics = {mute.preferences_topic: {"num_partitions": 2, "replication_factor": 1}}
    admin.create_topics(topics, wait_for_metadata=True)
    report = audited(mute)
    assert (report.verdict, found(report)) == ("broken", {Break.LOST: 15})
    kept = answers(config, config.preferences_topic)
    last = max(record.offset for record in kept if record.partition == 0) + 1
    admin.delete_records({TopicPartition(config.preferences_topic, 0): last})
    gone = sum(record.partition == 0 for record in kept)
    report = audited(config)

    assert (report.verdict, found(report), report.untold) == ("untold", {}, gone)
    end = admin.list_partition_offsets({TopicPartition(config.preferences_topic, 1): OffsetSpec.LATEST})
    admin.delete_records({partition: at.offset for partition, at in end.items()})
    report = audited(config)
    assert (report.verdict, found(report), report.untold) == ("untold", {}, len(kept))
    admin.delete_records({TopicPartition(config.battles_topic, 0): 4})
    report = audited(config, "0:0..0:6")
    assert (report.verdict, report.deleted) == ("untold", 4)


def test_answers_to_battles_whose_time_is_of_the_future_are_found_and_never_lost(
    stream_config: Callable[..., StreamConfig], admin: Any
) -> None:
    config = stream_config(partitions=2)
    produce_ahead(admin, config, battle_events(20))
    with running(config, hash_panel) as service:
        service.wait_published(20)
        wait_until(lambda: committed_offsets(config, 2) == end_offsets(config, 2), what="all offsets")
    report = audited(config)
    assert (report.verdict, found(report)) == ("kept", {})
    kept = answers(config, config.preferences_topic)
    first = [record for record in kept if record.partition == 0]
    admin.delete_records({TopicPartition(config.preferences_topic, 0): first[len(first) // 2].offset})
    report = audited(config)
    assert (report.verdict, found(report), report.untold) == ("untold", {}, len(first) // 2)


def test_the_command_prints_a_page_or_an_object_and_ends_by_what_was_found(served: Served) -> None:
    config, _ = served
    options = [
        *("--bootstrap-servers", config.bootstrap_servers, "--group-id", config.group_id),
        *("--preferences-topic", config.preferences_topic, "--dead-letters-topic", config.dead_letters_topic),
    ]
    span = f"{config.battles_topic}@earliest..latest"
    page = CliRunner().invoke(app, ["audit", span, *options], env={"COLUMNS": "100"})
    assert page.exit_code == 0, page.exception
    assert page.stdout.startswith("Every record that is due has exactly one answer.")
    assert "hash" in page.stdout
    [one, *_] = answers(config, config.preferences_topic)
    write(config, config.preferences_topic, [(one.key, one.value, one.headers)])
    page = CliRunner().invoke(app, ["audit", span, *options], env={"COLUMNS": "100"})
    assert page.exit_code == 1
    assert "records with several answers of one kind: 1" in page.stdout
    told = CliRunner().invoke(app, ["audit", span, *options, "--json"])
    assert told.exit_code == 1
    fields = json.loads(told.stdout)
    assert (fields["verdict"], fields["breaks"]["doubled"]["count"], fields["open"]) == ("broken", 1, 0)
