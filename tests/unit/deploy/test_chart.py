"""The Helm chart: what it makes is what Kubernetes takes, and what the code reads. No cluster runs here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.panels.folder import PanelFolder
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.consumer.stream.service import LIVENESS_GRACE_S
from prefstream.scoring.config import load_panel_config
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.load import read_calibration
from tests.support.helm.chart import CHART, EXAMPLES, NAMESPACE, Rendered, example, render, run_helm
from tests.support.helm.kubernetes import faults
from tests.support.helm.pods import IMAGE_ENVIRONMENT, unpack
from tests.support.helm.settings_schema import SCHEMA, generated

DEPLOY = CHART.parent
METADATA = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
OLDEST = re.findall(r"\d+\.\d+\.\d+", METADATA["kubeVersion"])[0]
SETS = sorted(EXAMPLES)
WITH_BOARD = ["everything"]
BESIDE = ("board", "recalibrate")
"""Workloads beside the stream."""
PRIOR = {"name": "a", "kind": "prior", "probabilities": {"model_a": 0.4, "model_b": 0.4, "tie": 0.2}}

each_set = pytest.mark.parametrize("name", SETS)


def pods(rendered: Rendered) -> Iterator[dict[str, Any]]:
    """The specification of every pod that may come to be."""
    for document in rendered.documents:
        if document["kind"] == "Pod":
            yield document["spec"]
        elif "template" in document.get("spec", {}):
            yield document["spec"]["template"]["spec"]


def containers(rendered: Rendered) -> list[dict[str, Any]]:
    return [one for pod in pods(rendered) for one in (*pod.get("initContainers", ()), *pod["containers"])]


# --- Kubernetes takes it -------------------------------------------------------------------------------------------


def test_the_shipped_sets_are_those_that_are_promised() -> None:
    assert SETS == ["demo", "everything", "one-card-8bit", "priors", "shadow", "two-cards"]


@each_set
def test_helm_finds_nothing_to_complain_of(name: str) -> None:
    done = run_helm("lint", CHART, "--strict", "--values", EXAMPLES[name])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout


@each_set
@pytest.mark.parametrize("version", [OLDEST, "1.37.0"])
def test_every_manifest_is_one_that_kubernetes_takes(name: str, version: str) -> None:
    wrong = {
        f"{document['kind']} {document['metadata']['name']}": found
        for document in example(name).documents
        if (found := faults(document, version))
    }
    assert wrong == {}


def test_a_misspelt_field_would_be_found() -> None:
    """Of each kind of ours and of the operators': a schema that takes all would prove nothing."""
    documents = example("everything").documents
    assert {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule", "StatefulSet"} <= {
        document["kind"] for document in documents
    }
    for document in documents:
        place = "data" if document["kind"] == "ConfigMap" else "spec"
        if place in document:
            broken = document | {place: {**document[place], "mispelt": {"no": "text"}}}
            assert faults(broken, "1.37.0"), document["kind"]


@each_set
def test_names_and_places_are_unique_and_all_is_labelled_as_the_release(name: str) -> None:
    documents = example(name).documents
    assert len({(document["kind"], document["metadata"]["name"]) for document in documents}) == len(documents)
    for document in documents:
        labels = document["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "demo"
        assert labels["app.kubernetes.io/version"] == METADATA["appVersion"] == version_of("prefstream")


@each_set
def test_selectors_find_the_pods_of_one_workload_and_no_others(name: str) -> None:
    rendered = example(name)
    templates = {
        document["metadata"]["name"]: document["spec"]["template"]["metadata"]["labels"]
        for document in rendered.documents
        if "template" in document.get("spec", {})
    }
    for document in rendered.documents:
        spec = document.get("spec", {})
        wanted = spec.get("podSelector", spec.get("selector"))
        if wanted is None or document["kind"] == "ServiceMonitor":
            continue
        wanted = wanted.get("matchLabels", wanted)
        found = [name for name, labels in templates.items() if wanted.items() <= labels.items()]
        assert found == [document["metadata"]["name"]], document["kind"]


@each_set
def test_what_a_pod_names_is_made_here_or_given_by_the_values(name: str) -> None:
    """ConfigMaps, claims, ports, volumes: a dangling name is a pod that never starts."""
    rendered = example(name)
    made = {(document["kind"], document["metadata"]["name"]) for document in rendered.documents}
    given = EXAMPLES[name].read_text(encoding="utf-8")
    for pod in pods(rendered):
        volumes = {volume["name"]: volume for volume in pod.get("volumes", ())}
        claims = rendered.of("StatefulSet")["spec"].get("volumeClaimTemplates", ())
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= volumes.keys() | {claim["metadata"]["name"] for claim in claims}
            assert len({mount["mountPath"] for mount in container["volumeMounts"]}) == len(container["volumeMounts"])
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in made
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in made or claim in given
            for source in volume.get("projected", {}).get("sources", ()):
                assert all(taken["name"] in given for taken in source.values())
        assert pod["serviceAccountName"] in {name for kind, name in made if kind == "ServiceAccount"}


# --- locked down ---------------------------------------------------------------------------------------------------


@each_set
def test_no_container_is_root_or_may_become_more_than_it_is(name: str) -> None:
    for pod in pods(example(name)):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 10001
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod["automountServiceAccountToken"]
        assert not pod["enableServiceLinks"]
    for container in containers(example(name)):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        assert container["resources"]["requests"]["cpu"]


def test_a_cluster_that_gives_users_itself_is_let_to() -> None:
    fixed = "podSecurityContext.runAsUser=null", "podSecurityContext.runAsGroup=null", "podSecurityContext.fsGroup=null"
    for pod in pods(render(EXAMPLES["everything"], *fixed)):
        assert pod["securityContext"].keys() & {"runAsUser", "runAsGroup", "fsGroup"} == set()
        assert pod["securityContext"]["runAsNonRoot"]


@each_set
def test_secrets_are_references_alone(name: str) -> None:
    rendered = example(name)
    assert rendered.all_of("Secret") == []
    for container in containers(rendered):
        named = {one["name"]: one for one in container.get("env", ())}
        assert [name for name in named if re.search("TOKEN|PASSWORD|SECRET$", name) and "value" in named[name]] == []


def test_each_pod_holds_no_secret_of_another() -> None:
    rendered = render(
        EXAMPLES["everything"],
        'secrets.hubToken.existingSecret="hugging-face"',
        'secrets.registryPassword.existingSecret="registry"',
    )
    workloads = {"stream": ("StatefulSet", "judges"), **{one: ("Deployment", f"judges-{one}") for one in BESIDE}}
    text = {one: json.dumps(rendered.pod(*workload)) for one, workload in workloads.items()}
    holders = {
        secret: {one for one, pod in text.items() if secret in pod}
        for secret in ("board_http_token", "schema_registry_password", "HF_TOKEN", "sasl_oauth_client_secret")
    }
    assert holders == {
        "board_http_token": {"board"},
        "schema_registry_password": {"stream"},
        "HF_TOKEN": {"stream"},
        "sasl_oauth_client_secret": {"stream", *BESIDE},
    }


# --- the code reads it ---------------------------------------------------------------------------------------------


@each_set
def test_the_stream_takes_its_settings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = unpack(example(name), "StatefulSet", tmp_path)
    for variable, text in container.environment.items():
        monkeypatch.setenv(variable, text)
    config = StreamConfig.load()
    values = yaml.safe_load(EXAMPLES[name].read_text(encoding="utf-8"))
    assert {key: getattr(config, key) for key in values["config"]} == values["config"]
    assert config.instance_id == f"{NAMESPACE}.pod-0"
    assert config.leave_on_stop
    assert config.log_format == "json"
    assert config.security_protocol == "PLAINTEXT" or (config.sasl_password or config.sasl_oauth_client_secret)


@pytest.mark.parametrize("name", WITH_BOARD)
def test_the_board_takes_its_settings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = unpack(example(name), "Deployment", tmp_path, "judges-board")
    for variable, text in container.environment.items():
        monkeypatch.setenv(variable, text)
    config = BoardConfig.load()
    assert config.board_file.parent == container.path("/var/lib/prefstream")
    assert config.board_http_host == "0.0.0.0"
    assert config.board_root_path == "/board"
    assert config.board_vote_window == "7d"
    assert config.battles_topic == "chat.battles"
    assert config.board_http_token is not None
    assert config.sasl_oauth_client_secret is not None
    assert config.sasl_oauth_client_secret.get_secret_value() == "judges-oauth/client-secret"


def test_live_calibration_takes_its_settings_and_knows_the_panels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = unpack(example("everything"), "Deployment", tmp_path, "judges-recalibrate")
    for variable, text in container.environment.items():
        monkeypatch.setenv(variable, text)
    config = RecalibrateConfig.load()
    assert (config.recalibrate_http_host, config.recalibrate_http_port) == ("0.0.0.0", 9466)
    assert (config.recalibrate_window, config.recalibrate_every) == ("7d", "6h")
    assert (config.group_id, config.sasl_mechanism) == ("judges", "OAUTHBEARER")
    assert config.sasl_oauth_client_secret is not None
    assert config.panel == container.path("/panel/panel.yaml")
    assert config.panels == container.path("/panels")
    assert read_calibration(load_panel_config(config.panel)).panel.temperature == 0.9
    assert PanelFolder(config.panels).names() == ["may"]
    assert container.arguments == ["recalibrate"]


def test_panels_that_can_be_chosen_are_read_from_where_they_are_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a ConfigMap a file lies in a folder whose name changes: an adapter is named by where it is mounted."""
    container = unpack(example("everything"), "StatefulSet", tmp_path)
    for variable, text in container.environment.items():
        monkeypatch.setenv(variable, text)
    config = StreamConfig.load()
    assert config.panels is not None
    panel = load_panel_config(PanelFolder(config.panels).file("may"))
    [adapter] = [adapter for judge in panel.judges if (adapter := getattr(judge, "adapter", None))]
    assert Path(adapter) == container.path("/panel/adapters/lexical-may")
    claim = {"existingClaim": "models", "subPath": "panels"}
    rendered = render(EXAMPLES["priors"], f"panels={json.dumps(claim)}")
    pod = rendered.pod("StatefulSet")
    [mount] = [one for one in pod["containers"][0]["volumeMounts"] if one["name"] == "panels"]
    assert mount == {"name": "panels", "mountPath": "/panels", "readOnly": True, "subPath": "panels"}
    [volume] = [one for one in pod["volumes"] if one["name"] == "panels"]
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert "panels" not in yaml.safe_load(example("priors").of("ConfigMap", "demo-prefstream")["data"]["settings.yaml"])


@pytest.mark.parametrize("name", [name for name in SETS if name != "demo"])
def test_the_panel_is_read_from_where_it_is_mounted_beside_its_adapters(name: str, tmp_path: Path) -> None:
    container = unpack(example(name), "StatefulSet", tmp_path)
    settings = yaml.safe_load(container.settings.read_text(encoding="utf-8"))
    panel = load_panel_config(settings["panel"])
    named = [getattr(judge, "adapter", None) for judge in panel.judges]
    adapters = [Path(adapter) for adapter in named if adapter]
    assert all(adapter.parent == container.path("/panel/adapters") for adapter in adapters)
    assert container.path("/panel/adapters").is_dir() == bool(adapters)
    assert (read_calibration(panel) != CalibrationFile()) == container.path("/panel/calibration.json").exists()


def test_a_calibration_is_named_by_the_panel_that_is_written(tmp_path: Path) -> None:
    panels: list[dict[str, Any]] = [{"builtin": "priors"}, {"content": {"judges": [PRIOR]}}]
    for number, panel in enumerate(panels):
        values = {"config": {"bootstrap_servers": "kafka:9092"}, "panel": {**panel, "calibration": "{}"}}
        container = unpack(render(values), "StatefulSet", tmp_path / str(number))
        read = load_panel_config(container.path("/panel/panel.yaml"))
        assert read.calibration == str(container.path("/panel/calibration.json"))
        assert container.path("/panel/calibration.json").read_text(encoding="utf-8") == "{}\n"


@pytest.mark.parametrize("name", sorted(path.stem for path in (CHART / "files" / "panels").glob("*.yaml")))
def test_every_shipped_panel_is_one_that_the_chart_can_write(name: str, tmp_path: Path) -> None:
    cards = {"one": 1, "two": 2}.get(name.split("-", maxsplit=1)[0], 0)
    values = {
        "config": {"bootstrap_servers": "kafka:9092"},
        "panel": {"builtin": name},
        "gpu": {"count": cards},
        "adapters": {"existingClaim": "models"},
    }
    container = unpack(render(values), "StatefulSet", tmp_path)
    written = container.path("/panel/panel.yaml").read_text(encoding="utf-8")
    assert written.strip() == (DEPLOY / "panels" / f"{name}.yaml").read_text(encoding="utf-8").strip()


def test_adapters_that_lie_beside_the_panels_do_not_go_into_the_chart(tmp_path: Path) -> None:
    """The README has people put them there: gigabytes."""
    ignored = (CHART / ".helmignore").read_text(encoding="utf-8").splitlines()
    assert "files/panels/adapters/" in ignored
    chart = tmp_path / "chart"
    panels = tmp_path / "panels"
    panels.joinpath("adapters", "gemma").mkdir(parents=True)
    panels.joinpath("adapters", "gemma", "adapter_model.safetensors").write_bytes(b"much")
    panels.joinpath("priors.yaml").write_text("judges: []\n", encoding="utf-8")
    chart.joinpath("files").mkdir(parents=True)
    for file in ("Chart.yaml", ".helmignore"):
        chart.joinpath(file).write_bytes((CHART / file).read_bytes())
    chart.joinpath("files", "panels").symlink_to("../../panels")
    chart.joinpath("templates").mkdir()
    chart.joinpath("templates", "all.yaml").write_text(
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n{{ (.Files.Glob "**").AsConfig | indent 2 }}\n'
    )
    done = run_helm("template", chart)
    assert "priors.yaml" in done.stdout
    assert "safetensors" not in done.stdout


# --- probes and times ----------------------------------------------------------------------------------------------


@each_set
def test_probes_ask_what_there_is_and_wait_as_long_as_loading_takes(name: str) -> None:
    values = yaml.safe_load(EXAMPLES[name].read_text(encoding="utf-8"))
    [container] = example(name).pod("StatefulSet")["containers"]
    startup, ready, live = (container[f"{probe}Probe"] for probe in ("startup", "readiness", "liveness"))
    assert [probe["httpGet"]["path"] for probe in (startup, ready, live)] == ["/readyz", "/readyz", "/livez"]
    seconds = values.get("probes", {}).get("startupSeconds", 300)
    assert seconds <= startup["periodSeconds"] * startup["failureThreshold"] < seconds + startup["periodSeconds"]
    assert container["ports"] == [{"name": "http", "containerPort": int(IMAGE_ENVIRONMENT["PREFSTREAM_HTTP_PORT"])}]
    # /livez says no only after the watchdog should have ended the process: more patience here would be too much.
    assert live["periodSeconds"] * live["failureThreshold"] < LIVENESS_GRACE_S * 4


@pytest.mark.parametrize("drain", [0, 20, 45.5, 600])
def test_a_pod_gets_the_time_to_drain_and_to_leave(drain: float) -> None:
    pod = render(EXAMPLES["priors"], f"config.drain_seconds={drain}").pod("StatefulSet")
    assert drain + 5 < pod["terminationGracePeriodSeconds"] < drain + 12


def test_the_image_sets_what_the_tests_take_it_to_set() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert dict(re.findall(r"(PREFSTREAM_\w+)=(\S+)", text)) == IMAGE_ENVIRONMENT


# --- one source ----------------------------------------------------------------------------------------------------


def test_what_follows_from_the_code_stands_so_in_the_schema() -> None:
    definitions = json.loads(SCHEMA.read_text(encoding="utf-8"))["definitions"]
    remedy = "run: python -m tests.support.helm.settings_schema"
    assert {name: definitions[name] for name in generated()} == generated(), remedy
    Draft7Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_files_of_the_chart_are_those_of_their_folders() -> None:
    """By links: Helm reads nothing outside of a chart, but follows them."""
    files = CHART / "files"
    homes = {"rules.yaml": "prometheus", "dashboard.json": "grafana", "board.json": "grafana"}
    assert {path.name for path in files.iterdir()} == {*homes, "panels"}
    for name, home in homes.items():
        assert files.joinpath(name).read_bytes() == DEPLOY.joinpath(home, name).read_bytes()
    panels = {path.name: path.read_bytes() for path in (DEPLOY / "panels").glob("*.yaml")}
    assert {path.name: path.read_bytes() for path in files.joinpath("panels").glob("*.yaml")} == panels


def test_a_packed_chart_holds_the_files_themselves(tmp_path: Path) -> None:
    done = run_helm("package", CHART, "--destination", tmp_path)
    assert done.returncode == 0, done.stderr
    [packed] = tmp_path.glob("*.tgz")
    from_folder, from_package = (
        run_helm("template", "demo", chart, "--values", EXAMPLES["everything"]).stdout for chart in (CHART, packed)
    )
    assert from_folder == from_package
