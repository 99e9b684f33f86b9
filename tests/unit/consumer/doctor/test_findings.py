"""The doctor's checks that need no broker: each wrong thing is named with its remedy, each right thing passes."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kafka import errors as kafka_errors
from prometheus_client import CollectorRegistry

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor import Finding, memory
from prefstream.consumer.doctor.cluster import Cluster, check_permissions, check_retention, check_time_outs
from prefstream.consumer.doctor.finding import Problem, attempt, judged
from prefstream.consumer.doctor.judges import examine_judges
from prefstream.consumer.doctor.machine import (
    check_configuration,
    check_devices,
    check_http_port,
    check_process,
    check_versions,
)
from prefstream.consumer.doctor.memory import check_bounds, parts_of
from prefstream.consumer.doctor.topics import StreamTopic, check_topic, roles_of
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.health import HealthServer, HealthState
from prefstream.scoring.adapters.merge import merge_adapter
from tests.support.features_judges import make_features_adapter
from tests.support.models import make_tiny_judge
from tests.support.priors import prior_entry
from tests.support.served import serve

PRIOR = prior_entry("p", (0.4, 0.4, 0.2))


def test_a_check_that_raises_our_error_fails_with_its_message() -> None:
    def check() -> Finding:
        raise StreamError("what was wrong; what to do")

    assert attempt("x", check) == Finding("x", "fail", "what was wrong; what to do")


def test_a_check_that_breaks_down_is_a_finding_without_the_values() -> None:
    def check() -> Finding:
        raise ValueError("secret text")

    finding = attempt("x", check)
    assert finding.state == "fail"
    assert "ValueError at test_findings.py:" in finding.found
    assert "secret" not in finding.found


def test_several_problems_make_one_finding_as_bad_as_the_worst() -> None:
    problems = [Problem("warn", "a", "do a"), Problem("fail", "b", "do b"), Problem("warn", "c", "do a")]
    assert judged("x", "found", problems) == Finding("x", "fail", "found; a; b; c", "do a; do b")


def test_configuration_shows_values_and_origins_but_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_SASL_PASSWORD", "hunter2")
    config = StreamConfig.load(security_protocol="SASL_SSL", sasl_mechanism="PLAIN", sasl_username="me", group_id="g")
    finding = check_configuration(config, {"group_id": "prefstream.yaml", "sasl_password": "PREFSTREAM_SASL_PASSWORD"})
    assert finding.found.splitlines() == [
        "sasl_password = (secret) (PREFSTREAM_SASL_PASSWORD)",
        "group_id = g (prefstream.yaml)",
    ]


def test_versions_names_python_and_packages() -> None:
    finding = check_versions()
    assert finding.state == "ok"
    assert "kafka-python 3." in finding.found


def test_process_warns_when_the_fast_settings_are_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PREFSTREAM_NO_REEXEC", "1")
    assert check_process().state == "warn"
    monkeypatch.setenv("MALLOC_TOP_PAD_", "1000")
    assert check_process().state == "ok"


def test_devices_of_a_panel_of_priors_are_processor_and_memory() -> None:
    finding = check_devices(with_torch=False)
    assert "GiB memory free" in finding.found
    assert "CUDA" not in finding.found


@pytest.fixture
def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def test_a_free_http_port_is_fine(free_port: int) -> None:
    assert check_http_port(StreamConfig.load(http_port=free_port)).state == "ok"


def test_a_port_that_a_stranger_has_fails(free_port: int) -> None:
    with socket.create_server(("127.0.0.1", free_port)) as stranger:
        stranger.settimeout(0)
        finding = check_http_port(StreamConfig.load(http_port=free_port))
    assert finding.state == "fail"
    assert "--http-port" in finding.found


def test_a_port_that_a_running_service_has_is_a_warning() -> None:
    with HealthServer(HealthState(), CollectorRegistry()) as service:
        assert check_http_port(StreamConfig.load(http_port=service.port)).state == "warn"


def test_no_http_needs_no_port() -> None:
    assert check_http_port(StreamConfig.load(http=False)).found == "off"


@pytest.fixture
def examine(tmp_path: Path) -> Callable[..., dict[str, Finding]]:
    """Writes a panel file and examines it; findings by check."""

    def examine(*judges: dict[str, Any], load: bool = False, **panel: Any) -> dict[str, Finding]:
        path = tmp_path / "panel.yaml"
        path.write_text(yaml.safe_dump({"judges": list(judges), **panel}), encoding="utf-8")
        return {finding.check: finding for finding in examine_judges(StreamConfig.load(panel=path), load=load)}

    return examine


@pytest.fixture
def judge(tmp_path: Path) -> dict[str, Any]:
    """A tiny Gemma 2 judge that is right."""
    return make_tiny_judge(tmp_path / "gemma", "gemma2", "pairwise")


def test_a_panel_file_that_does_not_exist_fails() -> None:
    findings = {f.check: f for f in examine_judges(StreamConfig.load(panel=Path("nowhere.yaml")), load=True)}
    assert findings["panel"].state == "fail"
    assert "nowhere.yaml" in findings["panel"].found
    assert findings["scoring"].state == "skipped"


def test_demo_judges_that_are_not_prepared_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFSTREAM_CACHE_DIR", str(tmp_path))
    findings = {finding.check: finding for finding in examine_judges(StreamConfig.load(panel="demo"), load=False)}
    assert findings["panel"].state == "warn"
    assert findings["judge gemma"].state == "warn"
    assert findings["judge gemma"].found == "demo:gemma is not on this machine yet"
    assert "`run` fetches it at its start" in findings["judge gemma"].remedy


def test_a_panel_of_priors_is_a_warning_and_scores(examine: Callable[..., dict[str, Finding]]) -> None:
    findings = examine(PRIOR, load=True)
    assert findings["panel"].state == "warn"
    assert "model_a 0.40" in findings["scoring"].found


def test_a_judge_of_features_is_read_whole(examine: Callable[..., dict[str, Finding]], tmp_path: Path) -> None:
    entry = {"name": "lexical", "kind": "features", "adapter": str(make_features_adapter(tmp_path / "lexical"))}
    found = examine(entry, load=True)
    assert found["judge lexical"].state == found["scoring"].state == "ok"
    assert found["judge lexical"].found == "features, no device, features-1 with 256 buckets, trained weights"
    (tmp_path / "lexical" / "prefstream.json").unlink()
    assert "has no prefstream.json" in examine(entry)["judge lexical"].found


def test_a_judge_on_a_server_is_asked_and_found_missing_where_nobody_answers(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any], tmp_path: Path
) -> None:
    merge_adapter(Path(judge["adapter"]), tmp_path / "merged", base=judge["base"], dtype="float32")
    entry = {key: judge[key] for key in ("base", "adapter", "max_length")}
    entry |= {"name": "there", "kind": "remote", "layout": judge["kind"]}
    with serve(tmp_path / "merged") as served:
        found = examine(entry | {"url": served.url})["judge there"]
        assert found == Finding(
            "judge there", "ok", f"pairwise, judge by vllm 0.12.1 at {served.url}, layout gemma-pairwise-1"
        )
    gone = examine(entry | {"url": served.url})["judge there"]
    assert gone.state == "fail"
    assert f"its server {served.url} /v1/models: ConnectError" in gone.found


def test_a_missing_calibration_file_fails(examine: Callable[..., dict[str, Finding]]) -> None:
    assert examine(PRIOR, calibration="./nowhere.json")["panel"].state == "fail"


def test_a_judge_that_is_right_passes_without_loading_its_weights(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safetensors.torch.load_file", None)
    findings = examine(judge)
    found = findings["judge gemma"]
    assert found.state == "ok"
    for part in ("pairwise, float32 on cpu", "gemma2", "layout gemma-pairwise-1", "adapter with trained head"):
        assert part in found.found
    assert findings["memory"].state == "ok"


def test_loading_for_real_tells_times_and_probabilities(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any]
) -> None:
    finding = examine(judge, load=True)["scoring"]
    assert finding.state == "ok"
    assert "panel loaded in" in finding.found


def _remove_head(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "adapter" / "adapter_model.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if ".lora_" in name}, path)


def _pickle_base(folder: Path) -> None:
    for path in (folder / "base").glob("*.safetensors"):
        path.rename(path.with_suffix(".bin"))


def _cut_base(folder: Path) -> None:
    path = next((folder / "base").glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-100])


def _lose_a_shard(folder: Path) -> None:
    index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "base" / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")


def _change_layout(folder: Path) -> None:
    path = folder / "adapter" / "prefstream.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(record | {"template_hash": "0" * 64}), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (_remove_head, "classification head is missing"),
        (_pickle_base, "pickled"),
        (_cut_base, "its header says"),
        (_lose_a_shard, "lacks model-00002-of-00002.safetensors"),
        (_change_layout, "layout"),
    ],
)
def test_a_judge_that_could_not_be_loaded_fails(
    examine: Callable[..., dict[str, Finding]],
    judge: dict[str, Any],
    tmp_path: Path,
    damage: Callable[[Path], None],
    named: str,
) -> None:
    damage(tmp_path / "gemma")
    finding = examine(judge)["judge gemma"]
    assert finding.state == "fail"
    assert named in finding.found


def test_one_wrong_judge_does_not_hide_the_other(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any], tmp_path: Path
) -> None:
    other = make_tiny_judge(tmp_path / "llama", "llama", "pairwise")
    _remove_head(tmp_path / "gemma")
    findings = examine(judge, other)
    assert (findings["judge gemma"].state, findings["judge llama"].state) == ("fail", "ok")


def test_an_untrained_judge_is_a_warning_if_allowed_and_else_fails(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any]
) -> None:
    del judge["adapter"]
    assert examine(judge)["judge gemma"].state == "fail"
    assert examine(judge | {"allow_untrained": True})["judge gemma"].state == "warn"


def test_a_hub_model_that_is_not_here_yet_is_a_warning(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    finding = examine(judge | {"base": "someone/absent", "revision": "0" * 40})["judge gemma"]
    assert finding.state == "warn"
    assert "someone/absent" in finding.found


def test_a_device_that_is_not_there_fails_and_the_judges_are_still_looked_at(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any]
) -> None:
    findings = examine(judge | {"device": "cuda:77"})
    assert findings["placement"].state == "fail"
    assert findings["judge gemma"].state == "ok"


def test_each_replica_of_a_judge_takes_memory(
    examine: Callable[..., dict[str, Finding]], judge: dict[str, Any]
) -> None:
    findings = examine(judge | {"device": ["cpu", "cpu"]})
    assert findings["judge gemma"].found.startswith("pairwise, float32 on cpu, float32 on cpu, quantization none")
    assert re.search(r"cpu: judges need .*\(gemma \S+ and \S+ a pass, gemma#2 \S+ and .*\)", findings["memory"].found)


def _topic(name: str = "battles", **changes: Any) -> StreamTopic:
    partitions = [{"partition_index": 0, "leader_id": 1, "replica_nodes": [1, 2, 3], "isr_nodes": [1, 2, 3]}]
    settings = {"cleanup.policy": "delete", "min.insync.replicas": "2", "max.message.bytes": "1000"}
    fields: dict[str, Any] = {
        "name": name,
        "role": "read",
        "partitions": tuple(partition | changes.pop("partition", {}) for partition in partitions),
        "operations": frozenset({"READ", "DESCRIBE"}),
        "settings": settings | changes.pop("settings", {}),
    }
    return StreamTopic(**(fields | changes))


def _check_topic(topic: StreamTopic, brokers: int = 3) -> Finding:
    config = StreamConfig.load(review_topic="battles.review")
    others = [_topic(name) for name in roles_of(config) if name != topic.name]
    return check_topic(topic, (topic, *others), brokers, config)


def test_a_topic_that_is_right_passes() -> None:
    assert _check_topic(_topic()).state == "ok"


def test_of_a_shadow_its_own_topic_is_looked_at_and_none_that_it_does_not_need() -> None:
    config = StreamConfig.load(shadow=True, review_topic="battles.review")
    roles = roles_of(config)
    assert {name: roles[name] for name in ("battles", "preferences.shadow")} == {
        "battles": "read",
        "preferences.shadow": "written",
    }
    assert not {"preferences", "battles.dead-letters", "battles.review"} & roles.keys()
    absent = _topic("preferences.shadow", error=kafka_errors.UnknownTopicOrPartitionError)
    finding = check_topic(absent, (absent,), 3, config)
    assert finding.state == "fail"
    assert finding.remedy.endswith("--shadow")
    compacted = _topic("preferences.shadow", settings={"cleanup.policy": "compact"})
    assert "share an id" in check_topic(compacted, (compacted,), 3, config).found


@pytest.mark.parametrize(
    ("topic", "state", "named"),
    [
        (_topic(error=kafka_errors.UnknownTopicOrPartitionError), "fail", "does not exist"),
        (_topic(error=kafka_errors.TopicAuthorizationFailedError), "fail", "denies"),
        (_topic(error=kafka_errors.LeaderNotAvailableError), "fail", "LeaderNotAvailable"),
        (_topic(partition={"leader_id": -1}), "fail", "no leader for partitions [0]"),
        (_topic(partition={"isr_nodes": [1]}), "fail", "only 1 replicas are in sync, 2 are needed"),
        (_topic(partition={"isr_nodes": [1, 2]}), "warn", "only 2 of 3"),
        (
            _topic(partition={"replica_nodes": [1], "isr_nodes": [1]}, settings={"min.insync.replicas": "1"}),
            "warn",
            "one",
        ),
        (_topic(settings={"min.insync.replicas": "1"}), "warn", "min.insync.replicas 1"),
        (_topic(settings={"cleanup.policy": "compact"}), "warn", "compaction"),
        (_topic("preferences", settings={"cleanup.policy": "compact,delete"}), "warn", "share an id"),
        (_topic("battles.dead-letters", settings={"cleanup.policy": "compact"}), "fail", "without a key"),
        (_topic("battles.dead-letters", settings={"max.message.bytes": "999"}), "warn", "smaller messages"),
        (_topic("battles.review", error=kafka_errors.UnknownTopicOrPartitionError), "fail", "does not exist"),
        (_topic("battles.review", settings={"cleanup.policy": "compact"}), "warn", "share an id"),
        (_topic("battles.review", settings={"max.message.bytes": "999"}), "warn", "will not be chosen for review"),
        (_topic("votes", partition={"leader_id": -1}), "fail", "no leader for partitions [0]"),
        (_topic("votes", settings={"cleanup.policy": "compact"}), "warn", "one vote per battle"),
        (_topic("votes.dead-letters", settings={"cleanup.policy": "compact"}), "fail", "without a key"),
        (_topic("votes.dead-letters", settings={"max.message.bytes": "999"}), "warn", "smaller messages than votes"),
    ],
)
def test_what_is_wrong_with_a_topic_is_named_with_a_remedy(topic: StreamTopic, state: str, named: str) -> None:
    finding = _check_topic(topic)
    assert finding.state == state
    assert named in finding.found
    assert finding.remedy


@pytest.mark.parametrize("name", ["votes", "votes.dead-letters"])
@pytest.mark.parametrize(
    "error", [kafka_errors.UnknownTopicOrPartitionError, kafka_errors.TopicAuthorizationFailedError]
)
def test_run_needs_no_topic_of_votes(name: str, error: type[kafka_errors.KafkaError]) -> None:
    finding = _check_topic(_topic(name, error=error))
    assert finding.state == "ok"
    assert "votes and the board need it, run does not" in finding.found


def test_settings_that_may_not_be_seen_are_no_fault() -> None:
    finding = _check_topic(StreamTopic(name="battles", role="read", partitions=_topic().partitions))
    assert finding.state == "ok"
    assert "not visible" in finding.found


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ({}, "ok"),
        ({"group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000"}, "ok"),
        ({"group.max.session.timeout.ms": "1000"}, "fail"),
        ({"transaction.max.timeout.ms": "1000"}, "fail"),
    ],
)
def test_time_outs_are_held_against_the_brokers_bounds(settings: dict[str, str], state: str) -> None:
    assert check_time_outs(Cluster(None, (1,), (), settings), StreamConfig.load()).state == state


def test_a_missing_right_is_named() -> None:
    topic = _topic(operations=frozenset({"DESCRIBE"}))
    finding = check_permissions(Cluster(None, (1,), (topic,), {}), StreamConfig.load(), may_join_group=False)
    assert finding.state == "fail"
    assert finding.remedy == "grant Read on topic battles; grant Read on group prefstream"


def test_rights_that_the_broker_does_not_tell_are_called_unknown() -> None:
    topic = _topic(operations=None)
    finding = check_permissions(Cluster(None, (1,), (topic,), {}), StreamConfig.load(), may_join_group=None)
    assert finding.state == "ok"
    assert "does not say: Read on topic battles, Read on group prefstream" in finding.found


@pytest.mark.parametrize(
    ("retention_ms", "offsets_minutes", "state", "found"),
    [
        ("604800000", "10080", "ok", "battles are kept for 7 days, offsets of a group without members for 7 days"),
        ("2592000000", "10080", "warn", "battles are kept for 30 days"),
        ("-1", "10080", "warn", "battles are kept for ever"),
        ("604800000", None, "ok", "not visible"),
        (None, "10080", "ok", "not visible"),
        ("1000", None, "warn", "battles are kept for 1 s"),
        ("1000", "10080", "warn", "what is not answered within 1 s is deleted unread"),
        ("5400000", "1440", "ok", "battles are kept for 1.5 h, offsets of a group without members for 1 day"),
    ],
)
def test_offsets_that_expire_before_the_battles_that_they_are_for_are_told(
    retention_ms: str | None, offsets_minutes: str | None, state: str, found: str
) -> None:
    battles = _topic(settings={} if retention_ms is None else {"retention.ms": retention_ms})
    cluster = Cluster(
        None, (1,), (battles,), {} if offsets_minutes is None else {"offsets.retention.minutes": offsets_minutes}
    )
    finding = check_retention(cluster, StreamConfig.load())
    assert finding.state == state
    assert found in finding.found


def test_without_the_topic_nothing_is_said_of_its_retention() -> None:
    absent = replace(_topic(), error=kafka_errors.UnknownTopicOrPartitionError)
    assert check_retention(Cluster(None, (1,), (absent,), {}), StreamConfig.load()).state == "skipped"


def test_the_bounds_of_memory_follow_from_the_settings() -> None:
    small = StreamConfig(max_unpacked_bytes=2**20, max_in_flight_bytes=2**20)
    needs = [
        sum(part.bytes for part in parts_of(config, with_torch=with_torch))
        for config, with_torch in ((small, False), (StreamConfig(), False), (StreamConfig(), True))
    ]
    assert needs == sorted(set(needs))
    assert needs[1] < 2**30, "a process without torch is to live within a gigabyte"
    assert needs[1] - needs[0] == (4 + 1) * 31 * 2**20 + 5 * 31 * 2**20


def test_too_little_memory_for_the_worst_that_may_come_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_bounds(StreamConfig(), with_torch=False).state == "ok"
    monkeypatch.setattr(memory, "available_bytes", lambda: 2**29)
    finding = check_bounds(StreamConfig(), with_torch=False)
    assert finding.state == "warn"
    assert "this process needs about 7" in finding.found
    assert "512 MB are free" in finding.found
    assert "max_unpacked_bytes" in finding.remedy
