"""`prefstream doctor` against a broker: what it says, its exit code, and that it leaves everything as it is."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import typer
from kafka import OffsetAndMetadata, TopicPartition
from typer.testing import CliRunner, Result

from prefstream.consumer.cli.doctor import doctor
from prefstream.consumer.client.clients import admin_client, make_consumer, make_producer, make_transactional_producer
from prefstream.consumer.config import StreamConfig
from tests.support.priors import write_prior_panel
from tests.support.streams import battle_events, delete_before, poll, produce, wait_until
from tests.support.streams import running as running_stream

app = typer.Typer()
app.command()(doctor)


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the command from starting the test process again with other malloc settings."""
    monkeypatch.setenv("PREFSTREAM_NO_REEXEC", "1")
    monkeypatch.setenv("MALLOC_TOP_PAD_", "268435456")


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    return write_prior_panel(tmp_path)


@pytest.fixture
def examine(panel: Path) -> Callable[..., Result]:
    """Runs the command for a configuration."""

    def examine(config: StreamConfig, *arguments: str, columns: int = 100, **environment: str) -> Result:
        options = {
            "--bootstrap-servers": config.bootstrap_servers,
            "--group-id": config.group_id,
            "--battles-topic": config.battles_topic,
            "--preferences-topic": config.preferences_topic,
            "--dead-letters-topic": config.dead_letters_topic,
            "--panel": str(panel),
            "--http-port": "0",
        }
        flags = [text for option in options.items() for text in option]
        return CliRunner().invoke(app, [*flags, *arguments], env={"COLUMNS": str(columns), **environment})

    return examine


def _findings(result: Result) -> dict[str, dict[str, Any]]:
    return {finding["check"]: finding for finding in json.loads(result.stdout)["findings"]}


def test_all_is_well(examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]) -> None:
    config = stream_config()
    result = examine(config, "--load", "--json")
    findings = _findings(result)
    assert {name: f["found"] for name, f in findings.items() if f["state"] in {"fail", "skipped"}} == {}
    assert result.exit_code == 0
    assert "4 partitions" in findings[f"topic {config.battles_topic}"]["found"]
    assert "nothing committed" in findings[f"group {config.group_id}"]["found"]


def test_without_a_panel_run_would_not_start(stream_config: Callable[..., StreamConfig]) -> None:
    arguments = ["--bootstrap-servers", stream_config().bootstrap_servers, "--no-http", "--json"]
    finding = _findings(CliRunner().invoke(app, arguments, env={"PREFSTREAM_PANEL": ""}))["panel"]
    assert finding["state"] == "fail"
    assert "no panel: say who judges, by --panel FILE" in finding["found"]


def test_the_demo_judges_are_well_only_for_trying_out(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]
) -> None:
    finding = _findings(examine(stream_config(), "--panel", "demo", "--json"))["panel"]
    assert finding["state"] == "warn"
    assert "the demo's small judges" in finding["found"]
    assert "name" in finding["remedy"]


def test_settings_without_effect_are_told(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]
) -> None:
    finding = _findings(examine(stream_config(), "--no-http", "--json"))["configuration"]
    assert finding["state"] == "warn"
    assert "http_port: no effect with http off" in finding["found"]


@pytest.mark.parametrize("columns", [80, 120])
def test_the_report_fits_the_terminal(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig], columns: int
) -> None:
    result = examine(stream_config(), columns=columns)
    assert "All is well. 1 warning." in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= columns
    assert "…" not in result.stdout


def test_without_a_broker_what_needs_one_is_skipped_and_the_rest_is_checked(
    examine: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.consumer.client.clients.CONNECT_TIMEOUT_MS", 500)
    result = examine(StreamConfig.load(bootstrap_servers="127.0.0.1:1"), "--json")
    findings = _findings(result)
    assert result.exit_code == 1
    assert "nothing listens there" in findings["broker"]["found"]
    assert {findings[name]["state"] for name in ("topics", "group", "permissions", "transactions")} == {"skipped"}
    assert findings["HTTP port"]["state"] == "ok"


def test_missing_topics_fail_with_the_command_that_creates_them(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]
) -> None:
    config = stream_config()
    name = f"absent-{uuid.uuid4().hex[:8]}"
    result = examine(config, "--battles-topic", name, "--json")
    finding = _findings(result)[f"topic {name}"]
    assert result.exit_code == 1
    assert finding["remedy"].startswith("prefstream topics create --bootstrap-servers ")
    assert f"--battles-topic {name}" in finding["remedy"]
    with admin_client(config) as admin:
        assert name not in admin.list_topics()


def test_lag_and_members_are_told(examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]) -> None:
    config = stream_config(partitions=1)
    with closing(make_producer(config)) as producer:
        for _ in range(5):
            producer.send(config.battles_topic, b"{}")
        producer.flush()
    _commit(config, 2)
    assert "lag 3 battles" in _findings(examine(config, "--json"))[f"group {config.group_id}"]["found"]


def test_of_a_lag_is_told_how_much_is_left_and_how_much_was_deleted(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig], admin: Any
) -> None:
    config = stream_config(partitions=1)
    produce(config, battle_events(6))
    _commit(config, 1)
    delete_before(admin, config, 3)
    finding = _findings(examine(config, "--json"))[f"group {config.group_id}"]
    assert "lag 5: 3 battles left, 2 deleted unread" in finding["found"]


@pytest.mark.parametrize(
    ("policy", "state", "told"),
    [
        ("resume", "warn", "run goes on behind them, in partition 0 at 3"),
        ("stop", "fail", "Start once with --on-lost-offsets resume"),
        ("earliest", "warn", "run answers 3 battles again"),
    ],
)
def test_offsets_that_were_lost_are_told_with_what_run_will_do(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig], policy: str, state: str, told: str
) -> None:
    config = stream_config(partitions=2)
    produce(config, battle_events(3), partition=0)
    with running_stream(config) as service:
        service.wait_published(3)
    with admin_client(config) as admin:
        wait_until(lambda: _deleted(admin, config), what="the group to be gone")
    produce(config, battle_events(2, first=3), partition=0)
    finding = _findings(examine(config, "--on-lost-offsets", policy, "--json"))[f"group {config.group_id}"]
    assert finding["state"] == state
    assert told in finding["found"]
    assert "starts at the beginning" not in finding["found"]
    if policy == "resume":
        assert "lag 2 battles" in finding["found"]


def _deleted(admin: Any, config: StreamConfig) -> bool:
    admin.delete_groups([config.group_id])
    return not admin.list_group_offsets({config.group_id: None})[config.group_id]


def test_committed_offsets_that_are_gone_fail(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]
) -> None:
    config = stream_config(partitions=1)
    _commit(config, 99)
    finding = _findings(examine(config, "--json"))[f"group {config.group_id}"]
    assert finding["state"] == "fail"
    assert "--on-data-loss" in finding["remedy"]


def _commit(config: StreamConfig, offset: int) -> None:
    partition = TopicPartition(config.battles_topic, 0)
    with closing(make_consumer(config, group_id=config.group_id)) as consumer:
        consumer.assign([partition])
        consumer.commit({partition: OffsetAndMetadata(offset, "", -1)})


def test_a_group_with_another_assignor_fails(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]
) -> None:
    from kafka.coordinator.assignors.range import RangePartitionAssignor

    config = stream_config()
    with closing(
        make_consumer(
            config,
            group_id=config.group_id,
            partition_assignment_strategy=[RangePartitionAssignor],
            auto_offset_reset="earliest",
        )
    ) as consumer:
        consumer.partitions_for_topic(config.battles_topic)  # joining before it knows them, it may be left without any
        consumer.subscribe([config.battles_topic])
        while not consumer.assignment():
            poll(consumer)
        finding = _findings(examine(config, "--json"))[f"group {config.group_id}"]
    assert finding["state"] == "fail"
    assert "share partitions by range" in finding["found"]


@pytest.fixture
def running(stream_config: Callable[..., StreamConfig]) -> Iterator[tuple[StreamConfig, Any]]:
    """A configuration, and the producer of a service that runs with it."""
    config = stream_config(instance_id="doctor")
    with closing(make_transactional_producer(config, "doctor")) as producer:
        producer.init_transactions()
        yield config, producer


def test_a_running_service_is_not_fenced(examine: Callable[..., Result], running: tuple[StreamConfig, Any]) -> None:
    config, producer = running
    producer.begin_transaction()
    assert _findings(examine(config, "--json"))["transactions"]["state"] == "ok"
    producer.send(config.preferences_topic, b"x")
    producer.commit_transaction()


def test_a_transaction_time_out_that_the_broker_refuses_fails(
    examine: Callable[..., Result], stream_config: Callable[..., StreamConfig]
) -> None:
    finding = _findings(examine(stream_config(), "--transaction-timeout-ms", "999999999", "--json"))["transactions"]
    assert finding["state"] == "fail"
    assert "transaction_timeout_ms" in finding["found"]


def test_origins_of_settings_are_told_and_secrets_are_not(
    examine: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.consumer.client.clients.CONNECT_TIMEOUT_MS", 300)
    file = tmp_path / "prefstream.yaml"
    file.write_text("linger_ms: 7\nssl_password: filed-secret\n", encoding="utf-8")
    result = examine(
        StreamConfig.load(bootstrap_servers="127.0.0.1:1"),
        *("--config", str(file), "--security-protocol", "SASL_PLAINTEXT", "--json"),
        PREFSTREAM_SASL_MECHANISM="PLAIN",
        PREFSTREAM_SASL_USERNAME="me",
        PREFSTREAM_SASL_PASSWORD="env-secret",  # noqa: S106 - made up
    )
    found = _findings(result)["configuration"]["found"]
    assert "security_protocol = SASL_PLAINTEXT (command line)" in found
    assert "sasl_username = me (PREFSTREAM_SASL_USERNAME)" in found
    assert f"linger_ms = 7 ({file})" in found
    assert "env-secret" not in result.output
    assert "filed-secret" not in result.output
