"""A shadow beside who serves: each answers exactly once what is its own to answer, and neither sees the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer, TopicPartition
from structlog.testing import capture_logs
from typer.testing import CliRunner, Result

from prefstream.consumer.audit.audit import audit_range
from prefstream.consumer.audit.ledger import Break
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.audit.words import verdict_in_words
from prefstream.consumer.cli import app
from prefstream.consumer.client.clients import admin_client, make_consumer
from prefstream.consumer.client.topics import wait_until_led
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import DeadLetterFloodError, UsageError
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.consumer.stream.messages import source_of
from prefstream.consumer.stream.shadow import ShadowRule
from prefstream.schemas import KafkaSource, Preference, decode_preference
from prefstream.schemas.dead_letter import header
from tests.support.hash_judge import TOO_LARGE, hash_panel
from tests.support.priors import write_prior_panel
from tests.support.processes import ANNOUNCES_SCORING, PREFSTREAM, prefstream, run_arguments
from tests.support.streams import (
    Position,
    Running,
    assert_exactly_once,
    battle_event,
    battle_events,
    committed_offsets,
    end_offsets,
    malformed_events,
    produce,
    read_topic,
    running,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]


def shadow_of(config: StreamConfig, **settings: Any) -> StreamConfig:
    """A shadow of who serves with this configuration; its topic is made."""
    name = f"{config.group_id}.shadow"
    with admin_client(config) as admin:
        admin.create_topics({name: {"num_partitions": 2, "replication_factor": -1}})
        wait_until_led(admin, [name])
    return config.model_copy(update={"shadow": True, "shadow_topic": name, **settings})


def answers_of(shadow: StreamConfig) -> list[Preference]:
    """What a shadow has said, with the name of its group, to battles that nobody else has answered there."""
    records = read_topic(shadow.bootstrap_servers, shadow.shadow_topic)
    assert {header(record, "ce_source") for record in records} <= {source_of(shadow.group)}
    return [decode_preference(record.value) for record in records]


def places(preferences: list[Preference]) -> Counter[Position]:
    """Of the battles that were answered."""
    sources = [preference.source for preference in preferences]
    assert all(isinstance(source, KafkaSource) for source in sources)
    return Counter((s.topic, s.partition, s.offset) for s in sources if isinstance(s, KafkaSource))


def counted(service: Running, name: str, **labels: str) -> float:
    return service.service.metrics.registry.get_sample_value(name, labels) or 0.0


def wait_at_the_end(config: StreamConfig, partitions: int) -> None:
    """Wait until the group has committed all that there is."""
    battles = [TopicPartition(config.battles_topic, number) for number in range(partitions)]
    with closing(make_consumer(config, group_id=config.group)) as consumer:
        ends = consumer.end_offsets(battles)
        wait_until(lambda: {one: consumer.committed(one) for one in battles} == ends, what=f"{config.group} at the end")


def test_beside_who_serves_a_shadow_answers_what_the_hash_chooses_and_nothing_else(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=2)
    shadow = shadow_of(config, share=0.3, max_batch_battles=7)
    sent = produce(config, [*battle_events(300), *(value for value, _ in malformed_events(22))])
    with running(config) as serving, running(shadow, hash_panel) as beside:
        serving.wait_published(len(sent))
        wait_at_the_end(shadow, 2)
    outcome = assert_exactly_once(config, sent)
    assert len(outcome.dead_letters) == 22, "the shadow has written none"
    rule = ShadowRule(0.3)
    chosen = {f"battle-{number}" for number in range(300) if rule.chooses(f"battle-{number}")}
    answered = answers_of(shadow)
    assert 50 < len(chosen) < 130
    assert Counter(preference.id for preference in answered) == Counter(chosen)
    served = {(p.id, p.source) for p in outcome.preferences}
    assert {(p.id, p.source) for p in answered} <= served, "each stands where the other answer says that it stands"
    assert committed_offsets(config, 2) == end_offsets(config, 2)
    refused = sum(
        sample.value
        for metric in beside.service.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "prefstream_dead_letters_total"
    )
    assert 0 < refused < 22
    passed_over = counted(beside, "prefstream_records_passed_over_total")
    assert passed_over == len(sent) - len(chosen) - refused
    assert counted(beside, "prefstream_battles_consumed_total") == len(chosen) + refused


def test_a_smaller_share_is_part_of_a_larger_one_and_a_restart_changes_no_choice(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=1)
    smaller = shadow_of(config, share=0.1)
    sent = produce(config, battle_events(200))
    for _ in range(2):
        with running(smaller):
            wait_at_the_end(smaller, 1)
        sent += produce(config, battle_events(100, first=len(sent)))
    larger = smaller.model_copy(update={"share": 0.2})
    with running(larger):
        wait_at_the_end(larger, 1)
    by_share = {0.1: range(300), 0.2: range(300, 400)}
    chosen = [
        f"battle-{n}" for share, some in by_share.items() for n in some if ShadowRule(share).chooses(f"battle-{n}")
    ]
    assert sorted(preference.id for preference in answers_of(smaller)) == sorted(chosen)


def test_a_shadow_that_is_killed_takes_nothing_from_who_serves_and_goes_on_exactly_once(
    stream_config: MakeConfig, tmp_path: Path
) -> None:
    config = stream_config(partitions=1)
    shadow = shadow_of(config)
    sent = produce(config, battle_events(60))
    panel = write_prior_panel(tmp_path, 0.05)
    arguments = run_arguments(shadow, panel, max_batch_battles=5, instance_id="one")
    announcing = ANNOUNCES_SCORING + PREFSTREAM
    with running(config) as serving:
        with prefstream(*arguments, log=tmp_path / "killed", program=announcing) as killed:
            for _ in range(4):
                killed.wait_scoring()
            killed.kill()
        serving.wait_published(len(sent))
        assert_exactly_once(config, sent)
        sent += produce(config, battle_events(20, first=60))
        with running(shadow.model_copy(update={"instance_id": "one"})):
            wait_at_the_end(shadow, 1)
        serving.wait_published(len(sent))
    assert_exactly_once(config, sent)
    assert places(answers_of(shadow)) == Counter(sent)


def test_a_shadow_that_is_too_far_behind_skips_to_the_end_and_answers_exactly_once_what_comes_then(
    stream_config: MakeConfig,
) -> None:
    config = stream_config(partitions=1)
    shadow = shadow_of(config, max_lag=50)
    produce(config, battle_events(200))
    with capture_logs() as logs, running(shadow) as beside:
        wait_at_the_end(shadow, 1)
        late = produce(config, battle_events(40, first=200))
        beside.wait_published(40)
    assert places(answers_of(shadow)) == Counter(late)
    assert counted(beside, "prefstream_records_skipped_total", reason="too_far_behind") == 200
    [told] = [line for line in logs if line["event"] == "too far behind, going on at the end"]
    assert (told["skipped"], told["max_lag"], told["log_level"]) == (200, 50, "warning")
    with running(shadow) as again:
        again.wait_ready()
        late += produce(config, battle_events(5, first=240))
        again.wait_published(5)
    assert places(answers_of(shadow)) == Counter(late)


def test_a_shadow_that_can_score_nothing_ends_and_has_written_nothing(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=1)
    shadow = shadow_of(config, dead_letter_window=20)
    produce(config, [value for value, _ in malformed_events(33)])
    with running(shadow) as beside:
        error = beside.wait_ended()
    assert isinstance(error, DeadLetterFloodError)
    assert read_topic(config.bootstrap_servers, config.dead_letters_topic) == []
    assert answers_of(shadow) == []


# --- audited -------------------------------------------------------------------------------------------------------


def audited(config: StreamConfig) -> AuditReport:
    return audit_range(config, TopicSpan.parse(f"{config.battles_topic}@earliest..latest"))


def test_an_audit_misses_nothing_of_what_a_shadow_need_not_answer_and_finds_what_it_answers_twice(
    stream_config: MakeConfig,
) -> None:
    config = stream_config(partitions=2)
    shadow = shadow_of(config, share=0.3)
    sent = produce(config, [*battle_events(100), *(value for value, _ in malformed_events(10))])
    with running(config), running(shadow, hash_panel):
        wait_at_the_end(config, 2)
        wait_at_the_end(shadow, 2)
    chosen = sum(ShadowRule(0.3).chooses(f"battle-{number}") for number in range(100))
    report = audited(shadow)
    assert (report.verdict, report.group, report.share) == ("kept", f"{config.group_id}-shadow", 0.3)
    assert (report.records, report.passed_over, report.untold) == (len(sent), len(sent) - chosen, 0)
    assert sum(one.preferences for one in report.partitions) == chosen
    assert [panel.answers for panel in report.panels] == [chosen]
    # Who serves is audited as before, whatever its shadow does.
    assert (audited(config).verdict, audited(config).passed_over) == ("kept", 0)
    one, *_ = read_topic(shadow.bootstrap_servers, shadow.shadow_topic)
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        producer.send(shadow.shadow_topic, key=one.key, value=one.value, headers=one.headers).get(60)
    report = audited(shadow)
    assert (report.verdict, report.breaks[Break.DOUBLED].count, report.broken) == ("broken", 1, 1)


def test_what_a_shadow_could_not_score_is_not_called_lost_though_nothing_tells(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=2)
    shadow = shadow_of(config)
    produce(config, [*battle_events(10), battle_event(10, prompt=TOO_LARGE)])
    with running(shadow, hash_panel):
        wait_at_the_end(shadow, 2)
    report = audited(shadow)
    assert (report.verdict, report.untold, report.passed_over, report.broken) == ("untold", 1, 0, 0)
    assert verdict_in_words(report).endswith("of a shadow: some records have no answer.")


def test_a_shadows_topic_is_not_audited_as_that_of_who_serves(stream_config: MakeConfig) -> None:
    config = stream_config()
    shadow = shadow_of(config)
    span = f"{config.battles_topic}@earliest..latest"
    options = ["--bootstrap-servers", config.bootstrap_servers, "--shadow-topic", shadow.shadow_topic]
    with pytest.raises(UsageError, match="preferences_topic, shadow_topic: must be topics of their own"):
        invoke("audit", span, *options, "--group-id", shadow.group, "--preferences-topic", shadow.shadow_topic)
    with pytest.raises(UsageError, match="--preferences-topic: no effect with --shadow"):
        invoke("audit", span, *options, "--shadow", "--preferences-topic", config.preferences_topic)
    page = invoke("audit", span, *options, "--shadow", "--share", ".5", "--group-id", config.group_id)
    assert (page.exit_code, f"of group {config.group_id}-shadow" in page.stdout) == (0, True)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, catch_exceptions=False)
