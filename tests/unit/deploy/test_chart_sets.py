"""What the shipped sets of values change: the parts that are there, and what they say."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.cli.recalibrate import STOP_S
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.memory import MIB, parts_of
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.scoring.loading.sources import _SMALL_FILES, _WEIGHT_FILES
from tests.support.helm.chart import CHART, EXAMPLES, NAMESPACE, example, render, run_helm

RULES = yaml.safe_load((CHART / "files" / "rules.yaml").read_text(encoding="utf-8"))
BASE = ["ConfigMap", "Pod", "PodDisruptionBudget", "Service", "ServiceAccount", "StatefulSet"]


def kinds(name: str) -> list[str]:
    return sorted({document["kind"] for document in example(name).documents})


def stream(name: str) -> dict[str, Any]:
    [container] = example(name).pod("StatefulSet")["containers"]
    assert isinstance(container, dict)
    return container


def changed(*settings: str) -> Any:
    """The set with everything, and something else."""
    rendered = render(EXAMPLES["everything"], *settings)
    assert not rendered.error
    return rendered


# --- the sets ------------------------------------------------------------------------------------------------------


def test_only_the_set_with_everything_needs_operators() -> None:
    assert [kinds(name) for name in EXAMPLES if name != "everything"] == [BASE] * 5
    assert sorted(set(kinds("everything")) - set(BASE)) == [
        *("Deployment", "Ingress", "NetworkPolicy", "PersistentVolumeClaim"),
        *("PrometheusRule", "ScaledObject", "ServiceMonitor", "TriggerAuthentication"),
    ]


def test_cards_are_asked_for_where_the_panel_names_devices() -> None:
    cards = {name: stream(name)["resources"]["limits"].get("nvidia.com/gpu") for name in EXAMPLES}
    assert cards == {
        "demo": None,
        "everything": None,
        "one-card-8bit": 1,
        "priors": None,
        "shadow": None,
        "two-cards": 2,
    }
    assert example("two-cards").pod("StatefulSet")["runtimeClassName"] == "nvidia"
    assert [key for name in ("one-card-8bit", "two-cards") for key in example(name).pod("StatefulSet")["tolerations"]]
    assert "tolerations" not in example("priors").pod("StatefulSet")


def test_eight_bits_come_from_the_panel() -> None:
    [panel] = [one for one in example("one-card-8bit").all_of("ConfigMap") if "panel.yaml" in one["data"]]
    judges = yaml.safe_load(panel["data"]["panel.yaml"])["judges"]
    assert [(judge["device"], judge["quantization"]) for judge in judges] == [("cuda:0", "4bit"), ("cuda:0", "8bit")]


def test_the_demos_panel_is_the_packages_own() -> None:
    settings = yaml.safe_load(example("demo").of("ConfigMap")["data"]["settings.yaml"])
    assert settings["panel"] == "demo"
    assert all(not mount["mountPath"].startswith("/panel") for mount in stream("demo")["volumeMounts"])


def test_weights_are_kept_by_a_claim_a_pod_a_claim_for_all_or_not_at_all() -> None:
    templates = {
        name: [
            one["metadata"]["name"] for one in example(name).of("StatefulSet")["spec"].get("volumeClaimTemplates", ())
        ]
        for name in EXAMPLES
    }
    assert templates == {
        "demo": ["cache"],
        "two-cards": ["cache"],
        "everything": [],
        "one-card-8bit": [],
        "priors": [],
        "shadow": [],
    }
    caches = {
        name: [volume for volume in example(name).pod("StatefulSet")["volumes"] if volume["name"] == "cache"]
        for name in EXAMPLES
    }
    assert caches["priors"] == [{"name": "cache", "emptyDir": {"sizeLimit": "100Mi"}}]
    assert caches["one-card-8bit"] == [{"name": "cache", "persistentVolumeClaim": {"claimName": "prefstream-cache"}}]
    offline = {"name": "HF_HUB_OFFLINE", "value": "1"}
    assert [name for name in EXAMPLES if offline in stream(name)["env"]] == ["one-card-8bit"]


def test_adapters_are_fetched_pinned_before_the_judges_are_loaded() -> None:
    fetching = example("two-cards").pod("StatefulSet")["initContainers"]
    assert [one["name"] for one in fetching] == ["adapter-gemma", "adapter-llama"]
    for container in fetching:
        assert "--revision" in container["command"]
        assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/adapters", "/tmp"}  # noqa: S108 - the pod's own
    mounts = {mount["mountPath"]: mount for mount in stream("two-cards")["volumeMounts"]}
    assert mounts["/panel/adapters"] == {"name": "adapters", "mountPath": "/panel/adapters", "readOnly": True}
    assert "initContainers" not in example("one-card-8bit").pod("StatefulSet")


def test_of_an_adapter_those_files_are_fetched_that_a_judge_reads() -> None:
    for container in example("two-cards").pod("StatefulSet")["initContainers"]:
        words = container["args"]
        wanted = [words[number + 1] for number, word in enumerate(words) if word == "--include"]
        assert sorted(wanted) == sorted([*_SMALL_FILES, _WEIGHT_FILES])


@pytest.mark.parametrize("name", EXAMPLES)
def test_memory_is_enough_for_what_the_doctor_counts_beside_weights(name: str) -> None:
    with_torch = name not in {"priors", "shadow", "everything"}
    bound = sum(part.bytes for part in parts_of(StreamConfig(), with_torch=with_torch))
    units = {"Mi": MIB, "Gi": 1024 * MIB}
    limit = stream(name)["resources"]["limits"]["memory"]
    assert int(limit[:-2]) * units[limit[-2:]] > bound


def test_pods_have_names_that_come_back_and_differ_between_namespaces() -> None:
    for name in EXAMPLES:
        variables = {one["name"]: one for one in stream(name)["env"]}
        assert variables["PREFSTREAM_INSTANCE_ID"]["value"] == "$(POD_NAMESPACE).$(POD_NAME)"
        assert list(variables).index("POD_NAME") < list(variables).index("PREFSTREAM_INSTANCE_ID")
        assert example(name).of("StatefulSet")["spec"]["podManagementPolicy"] == "Parallel"


# --- changes that pods must see, and those that must not move them -------------------------------------------------


def checksums(rendered: Any) -> dict[str, str]:
    annotations: dict[str, str] = rendered.of("StatefulSet")["spec"]["template"]["metadata"]["annotations"]
    return annotations


def test_pods_are_replaced_where_what_they_read_changes_and_not_otherwise() -> None:
    before = checksums(example("everything"))
    assert checksums(changed("config.linger_ms=20"))["checksum/settings"] != before["checksum/settings"]
    assert checksums(changed('panel.calibration="{}"'))["checksum/panel"] != before["checksum/panel"]
    for other in ("keda.maxReplicas=3", 'board.config.board_vote_window="9d"', 'metrics.job="b"', "replicas=4"):
        assert (
            changed(other).of("StatefulSet")["spec"]["template"]
            == example("everything").of("StatefulSet")["spec"]["template"]
        )


def test_the_board_is_one_process_on_a_claim_of_its_own() -> None:
    board = example("everything").of("Deployment", "judges-board")
    assert (board["spec"]["replicas"], board["spec"]["strategy"]) == (1, {"type": "Recreate"})
    claim = example("everything").of("PersistentVolumeClaim")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    [container] = board["spec"]["template"]["spec"]["containers"]
    assert container["ports"][0]["containerPort"] == BoardConfig().board_http_port
    assert changed('board.persistence.existingClaim="old"').all_of("PersistentVolumeClaim") == []


def test_the_board_is_shown_under_its_path() -> None:
    [rule] = example("everything").of("Ingress")["spec"]["rules"]
    [path] = rule["http"]["paths"]
    assert (rule["host"], path["path"]) == ("chat.example.org", "/board")
    at_the_root = changed('board.ingress.path="/"').of("ConfigMap", "judges-board")
    assert "board_root_path" not in yaml.safe_load(at_the_root["data"]["settings.yaml"])


# --- live calibration ----------------------------------------------------------------------------------------------


def test_live_calibration_is_one_process_that_keeps_nothing_and_has_no_card() -> None:
    made = changed("gpu.count=1").of("Deployment", "judges-recalibrate")
    assert (made["spec"]["replicas"], made["spec"]["strategy"]) == (1, {"type": "Recreate"})
    pod = made["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["ports"][0]["containerPort"] == RecalibrateConfig().recalibrate_http_port
    assert pod["terminationGracePeriodSeconds"] > STOP_S
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert [volume["name"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume] == []
    assert {mount["name"] for mount in container["volumeMounts"] if not mount.get("readOnly")} == {"tmp"}


def test_live_calibration_that_only_tells_needs_no_panels_to_choose() -> None:
    made = changed("recalibrate.dryRun=true", "panels.content=null").of("Deployment", "judges-recalibrate")
    assert made["spec"]["template"]["spec"]["containers"][0]["args"] == ["recalibrate", "--dry-run"]


# --- network -------------------------------------------------------------------------------------------------------


def test_who_may_reach_whom() -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in example("everything").all_of("NetworkPolicy")}
    assert policies.keys() == {"judges", "judges-board", "judges-recalibrate"}
    for policy in policies.values():
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        brokers = [rule for rule in policy["egress"] if {"protocol": "TCP", "port": 9094} in rule["ports"]]
        assert [rule["to"] for rule in brokers] == [[{"ipBlock": {"cidr": "10.0.0.0/16"}}]]
        assert all(rule["from"] for rule in policy["ingress"])
    ports = {name: [port["port"] for rule in one["egress"] for port in rule["ports"]] for name, one in policies.items()}
    beside = [53, 53, 9094, 443]
    assert ports == {"judges": [*beside, 4318, 8000], "judges-board": beside, "judges-recalibrate": beside}
    ingress = {name: len(policy["ingress"]) for name, policy in policies.items()}
    assert ingress == {"judges": 1, "judges-board": 2, "judges-recalibrate": 1}


# --- traces --------------------------------------------------------------------------------------------------------


def environment_of(rendered: Any) -> dict[str, str]:
    (container,) = rendered.of("StatefulSet")["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_traces_go_where_the_values_say_and_nowhere_by_default() -> None:
    settings = yaml.safe_load(example("everything").of("ConfigMap", "judges")["data"]["settings.yaml"])
    assert (settings["traces"], settings["traces_ratio"]) == (True, 0.1)
    assert (
        environment_of(example("everything"))["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://otel-collector.monitoring:4318"
    )
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" not in environment_of(example("two-cards"))


@pytest.mark.parametrize(
    ("endpoint", "port"), [("http://otel", 80), ("https://otel.example.org/otlp", 443), ("https://otel:4318/", 4318)]
)
def test_the_collectors_port_is_let_out(endpoint: str, port: int) -> None:
    policy = changed(f'traces.endpoint="{endpoint}"').of("NetworkPolicy", "judges")["spec"]
    assert [one["port"] for one in policy["egress"][-2]["ports"]] == [port]


# --- alerts and dashboards -----------------------------------------------------------------------------------------


def alerts(rendered: Any) -> dict[str, dict[str, Any]]:
    groups = rendered.of("PrometheusRule")["spec"]["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


ALL = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}


def test_alerts_are_those_of_the_rules_for_the_job_at_hand() -> None:
    made = alerts(changed("keda.minReplicas=1", "metrics.prometheusRule.leaveOut=[]"))
    assert made.keys() == ALL.keys()
    for name, rule in made.items():
        expected = ALL[name]["expr"].replace('job="prefstream', 'job="judges')
        assert rule == {**ALL[name], "expr": expected}


def test_alerts_that_take_no_pod_for_a_fault_are_left_out_where_there_may_be_none() -> None:
    left_out = ALL.keys() - alerts(example("everything")).keys()
    assert left_out == {"PrefstreamAbsent", "PrefstreamPartitionUnread", "PrefstreamTruncates"}
    assert [name for name, rule in ALL.items() if "absent(" in rule["expr"]] == ["PrefstreamAbsent"]


def test_who_has_no_board_has_none_of_its_alerts_and_dashboards() -> None:
    rendered = changed("board.enabled=false")
    assert not [rule for rule in alerts(rendered).values() if "prefstream_board" in rule["expr"]]
    dashboards = [one for one in rendered.all_of("ConfigMap") if "grafana_dashboard" in one["metadata"]["labels"]]
    assert [list(one["data"]) for one in dashboards] == [["prefstream-dashboard.json"]]
    assert {one["metadata"]["name"] for one in rendered.all_of("ServiceMonitor")} == {"judges", "judges-recalibrate"}


def test_targets_have_the_job_that_alerts_and_dashboards_ask_for() -> None:
    monitors = example("everything").all_of("ServiceMonitor")
    for monitor in monitors:
        job = {"targetLabel": "job", "replacement": monitor["metadata"]["name"]}
        assert monitor["spec"]["endpoints"][0]["relabelings"] == [job]
    assert {one["metadata"]["name"] for one in monitors} == {"judges", "judges-board", "judges-recalibrate"}
    services = {one["metadata"]["name"]: one for one in example("everything").all_of("Service")}
    for monitor in monitors:
        wanted = monitor["spec"]["selector"]["matchLabels"]
        found = [name for name, one in services.items() if wanted.items() <= one["metadata"]["labels"].items()]
        assert found == [monitor["metadata"]["name"]]
    for service in services.values():
        assert service["spec"]["publishNotReadyAddresses"]


@pytest.mark.parametrize("name", ["dashboard", "board"])
def test_dashboards_are_the_shipped_ones_for_the_job_at_hand(name: str) -> None:
    suffix = "-board" if name == "board" else ""
    made = example("everything").of("ConfigMap", f"judges-dashboard{suffix}")["data"][f"prefstream-{name}.json"]
    shipped = (CHART / "files" / f"{name}.json").read_text(encoding="utf-8")
    assert json.loads(made) == json.loads(shipped.replace('job=\\"prefstream', 'job=\\"judges'))
    assert 'job=\\"judges' in made


# --- replicas by lag -----------------------------------------------------------------------------------------------


def scaler(rendered: Any) -> dict[str, Any]:
    [trigger] = rendered.of("ScaledObject")["spec"]["triggers"]
    assert isinstance(trigger, dict)
    return trigger


def test_keda_asks_for_the_lag_of_the_group_that_the_stream_is() -> None:
    metadata = scaler(example("everything"))["metadata"]
    config = StreamConfig()
    assert (metadata["topic"], metadata["consumerGroup"]) == ("chat.battles", "judges")
    assert metadata["bootstrapServers"] == "broker:9094"
    assert all(isinstance(value, str) for value in metadata.values())
    plain = scaler(render(EXAMPLES["priors"], "keda.enabled=true"))
    assert (plain["metadata"]["topic"], plain["metadata"]["consumerGroup"]) == (config.battles_topic, config.group_id)
    assert "authenticationRef" not in plain
    assert "sasl" not in plain["metadata"]
    shadow = scaler(render(EXAMPLES["shadow"], "keda.enabled=true"))
    assert shadow["metadata"]["consumerGroup"] == StreamConfig(shadow=True).group


def test_keda_alone_decides_how_many_there_are() -> None:
    assert "replicas" not in example("everything").of("StatefulSet")["spec"]
    target = example("everything").of("ScaledObject")["spec"]["scaleTargetRef"]
    assert target == {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "judges"}
    assert example("two-cards").of("StatefulSet")["spec"]["replicas"] == 3


def test_settings_that_keda_refuses_together_are_not_given_together() -> None:
    """It takes limitToPartitionsWithLag without allowIdleConsumers alone, and only for a topic."""
    metadata = scaler(example("everything"))["metadata"]
    assert metadata["limitToPartitionsWithLag"] == "true"
    assert not {"allowIdleConsumers", "ensureEvenDistributionOfPartitions"} & metadata.keys()
    assert metadata["excludePersistentLag"] == "false"
    assert metadata["offsetResetPolicy"] == "earliest"


@pytest.mark.parametrize(
    ("mechanism", "sasl", "parameters"),
    [
        ("PLAIN", "plaintext", {"username", "password", "ca"}),
        ("SCRAM-SHA-256", "scram_sha256", {"username", "password", "ca"}),
        ("SCRAM-SHA-512", "scram_sha512", {"username", "password", "ca"}),
        ("OAUTHBEARER", "oauthbearer", {"username", "password", "oauthTokenEndpointUri", "ca"}),
        (None, None, {"ca"}),
    ],
)
def test_keda_logs_in_as_the_stream_does(mechanism: str | None, sasl: str | None, parameters: set[str]) -> None:
    config = {"bootstrap_servers": "kafka:9093", "security_protocol": "SASL_SSL" if mechanism else "SSL"}
    secrets: dict[str, dict[str, str]] = {}
    if mechanism == "OAUTHBEARER":
        config |= {"sasl_oauth_client_id": "me", "sasl_oauth_token_url": "https://login.example.org/token"}
        secrets = {"oauthClientSecret": {"existingSecret": "login"}}
    elif mechanism:
        config |= {"sasl_username": "me"}
        secrets = {"saslPassword": {"existingSecret": "login"}}
    if mechanism:
        config |= {"sasl_mechanism": mechanism}
    values = {
        "config": config,
        "panel": {"builtin": "priors"},
        "keda": {"enabled": True},
        "tls": {"ca": {"existingSecret": "ca"}},
        "secrets": secrets,
    }
    rendered = render(values)
    trigger = scaler(rendered)
    assert trigger["metadata"].get("sasl") == sasl
    assert trigger["metadata"]["tls"] == "enable"
    spec = rendered.of("TriggerAuthentication", trigger["authenticationRef"]["name"])["spec"]
    targets = [*spec.get("secretTargetRef", ()), *spec.get("configMapTargetRef", ())]
    assert {one["parameter"] for one in targets} == parameters
    for target in spec.get("configMapTargetRef", ()):
        assert rendered.of("ConfigMap", target["name"])["data"][target["key"]]


def test_scopes_are_parted_as_keda_parts_them() -> None:
    assert example("everything").of("ConfigMap", "judges-keda")["data"]["scopes"] == "kafka,read"


# --- what Helm says at the end -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("shadow", "as group prefstream-shadow, in the shadow of those who serve"),
        ("priors", "every battle gets the same probabilities"),
        ("demo", "they go by length above all"),
        ("everything", "All pods stop where nothing waits, at most 12 come"),
    ],
)
def test_the_notes_say_what_was_made(name: str, said: str) -> None:
    done = run_helm("install", "demo", CHART, "--dry-run=client", "--namespace", NAMESPACE, "--values", EXAMPLES[name])
    notes = done.stdout.rpartition("NOTES:")[2]
    assert said in notes, done.stderr
    assert "port-forward" in notes
    assert "{{" not in notes
