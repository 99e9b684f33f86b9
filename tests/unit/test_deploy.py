"""What is deployed fits the code: settings, metrics, panels, pins. No container is built here."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from prefstream.consumer.board_config import BoardConfig
from prefstream.consumer.cli import load_command
from prefstream.consumer.client.topic_creation import plan_topics
from prefstream.consumer.config import TOPIC_FIELDS, StreamConfig, TopicNames
from prefstream.consumer.connection import ENV_PREFIX
from prefstream.consumer.doctor.memory import MIB, TORCH_BYTES, parts_of
from prefstream.consumer.observe import trust_metrics
from prefstream.consumer.observe.health import HealthState
from prefstream.consumer.observe.metrics import METRICS, Metric, metrics_markdown
from prefstream.consumer.observe.recalibrate_metrics import RECALIBRATE_METRICS
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.scoring.runtime import MALLOC_SETTINGS
from tests.support.kafka.security import (
    Acl,
    needed_acls,
    needed_acls_of_board,
    needed_acls_of_calibration,
    needed_acls_of_commands,
)

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PANELS = sorted((DEPLOY / "panels").glob("*.yaml"))

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKS = ("requirements-cpu.txt", "requirements-cuda.txt")

IMAGE = ("judges", "run", "train", "board", "traces")
"""Extras that the image holds: all that serves, trains or is watched, nothing of demo, tests or development."""

NOT_SETTINGS = {"PREFSTREAM_SECRETS_DIR"}
"""Environment variables of prefstream that are not fields of the configuration."""


def read_yaml(path: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((DEPLOY / path).read_text(encoding="utf-8"))
    return document


COMPOSE = read_yaml("compose.yaml")
RULES = read_yaml("prometheus/rules.yaml")
DASHBOARDS = {
    name: json.loads((DEPLOY / "grafana" / f"{name}.json").read_text(encoding="utf-8"))
    for name in ("dashboard", "board")
}
ALL_METRICS = (*METRICS, *trust_metrics.BOARD_METRICS, *RECALIBRATE_METRICS)


def alerts() -> list[dict[str, Any]]:
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def dashboard_expressions() -> Iterator[str]:
    for dashboard in DASHBOARDS.values():
        for panel in dashboard["panels"]:
            for target in panel["targets"]:
                yield target["expr"]
        for variable in dashboard["templating"]["list"]:
            if variable["type"] == "query":
                yield variable["query"]["query"]


# --- metrics -------------------------------------------------------------------------------------------------------


def named_metrics(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:prefstream|process)_\w+", expression))


def exposed_names() -> set[str]:
    process = {sample.name for family in StreamMetrics().registry.collect() for sample in family.samples}
    return process | {series for metric in ALL_METRICS for series in metric.series}


@pytest.mark.parametrize("expression", [alert["expr"] for alert in alerts()] + sorted(dashboard_expressions()))
def test_alerts_and_dashboard_name_only_metrics_that_exist(expression: str) -> None:
    names = named_metrics(expression)
    assert names or "up{" in expression
    assert names <= exposed_names()


@pytest.mark.parametrize("expression", [alert["expr"] for alert in alerts()] + sorted(dashboard_expressions()))
def test_labels_in_expressions_are_those_of_the_metrics(expression: str) -> None:
    known = {label for metric in ALL_METRICS for label in metric.labels} | {"job", "instance", "le"}
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    selected = set(re.findall(r"[{,](\w+)=~?\"", expression))
    assert grouped | selected <= known
    assert expression.count("(") == expression.count(")")


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {name for expression in dashboard_expressions() for name in named_metrics(expression)}
    assert [metric.name for metric in ALL_METRICS if not shown & set(metric.series)] == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_panels_of_a_dashboard_do_not_overlap(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARDS[name]["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert max(x for x, _ in cells) < 24
        taken |= cells


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_every_alert_says_what_to_do(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert alert["annotations"]["summary"]
    assert len(alert["annotations"]["runbook"]) > 100


@pytest.mark.parametrize(
    ("module", "metrics"),
    [
        ("metrics", METRICS),
        ("trust_metrics", trust_metrics.BOARD_METRICS),
        ("recalibrate_metrics", RECALIBRATE_METRICS),
    ],
)
def test_the_guide_has_the_table_of_metrics(module: str, metrics: tuple[Metric, ...]) -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    table = guide.partition(f"<!-- metrics: python -m prefstream.consumer.observe.{module} -->\n")[2].partition(
        "<!-- /metrics -->"
    )[0]
    assert table == metrics_markdown(metrics), f"run: python -m prefstream.consumer.observe.{module}"


# --- image and compose ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["Dockerfile", "compose.yaml", "README.md", "prometheus/rules.yaml"])
def test_environment_variables_are_settings(path: str) -> None:
    named = set(re.findall(rf"\b{ENV_PREFIX}[A-Z][A-Z_]*[A-Z]\b", (DEPLOY / path).read_text(encoding="utf-8")))
    settings = {ENV_PREFIX + name.upper() for name in TopicNames.settings_of_others()}
    assert named - NOT_SETTINGS <= settings


def test_defaults_told_in_the_guide_are_those_of_the_code() -> None:
    defaults = StreamConfig()
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert f"`PREFSTREAM_DRAIN_SECONDS` ({defaults.drain_seconds:g})" in guide
    assert f"`PREFSTREAM_HTTP_PORT` ({defaults.http_port})" in guide
    assert f"`PREFSTREAM_TRANSACTION_TIMEOUT_MS` ({defaults.transaction_timeout_ms // 1000} s)" in guide
    assert HealthState().readiness().reason == "starting"


def test_the_guide_grants_exactly_the_rights_that_are_tested() -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    pattern = (
        r"^ +acl --operation (\w+) --(topic|group|transactional-id) (\S+)( --resource-pattern-type prefixed)?"
        r"(?: +# only with .+)?$"
    )
    granted = {
        user: {
            Acl(operation, resource, name, bool(prefixed))
            for operation, resource, name, prefixed in re.findall(pattern, lines, re.MULTILINE)
        }
        for user, lines in re.findall(r"^ +acl\(\) {.+User:(\S+).+\n((?: +acl --.+\n)+)", guide, re.MULTILINE)
    }
    config = StreamConfig(review_topic="battles.review", panels=Path("panels"))
    assert granted == {
        "prefstream": {*needed_acls(config)},
        "prefstream-shadow": {*needed_acls(StreamConfig(shadow=True))},
        "prefstream-board": {*needed_acls_of_board(config)},
        "prefstream-calibrate": {*needed_acls_of_calibration(config)},
    }
    assert guide.count("    acl --") == sum(map(len, granted.values()))


def test_the_guide_tells_the_rights_of_each_command_that_are_tested() -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    _, table = guide.split("| command | its rights |\n|---|---|\n")
    right = r"(Read|Write|Describe) on (topic|group|transactional id)(s that start with)? `([^`]+)`"
    told = {
        command: {
            Acl(operation, resource.replace(" ", "-"), name, bool(prefixed))
            for operation, resource, prefixed, name in re.findall(right, rights)
        }
        for command, rights in re.findall(r"^\| `([^`]+)` \| (.+) \|$", table.partition("\n\n")[0], re.MULTILINE)
    }
    assert told == {command: {*acls} for command, acls in needed_acls_of_commands(StreamConfig()).items()}


def test_the_image_has_the_malloc_settings_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for name, setting in MALLOC_SETTINGS.items():
        assert f"{name}={setting}" in text
    assert "USER 10001:10001" in text
    assert f"EXPOSE {StreamConfig().http_port}" in text
    assert "/livez" in text


def test_what_the_image_copies_is_let_through_and_exists_in_the_layout() -> None:
    copied = {
        source
        for line in re.findall(r"^COPY (?!--from)(.+)$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
        for source in line.split()[:-1]
    }
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    (package,) = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    links = {link.resolve().name for link in (DEPLOY.parent / package).iterdir() if link.is_symlink()}
    assert len(links) == 3
    assert {package, *links} <= copied


def test_the_image_installs_nothing_but_what_the_locks_name() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    installs = re.findall(r"pip (?:--python \S+ )?install[^&\n]*", text)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or {"--no-deps", "--no-index"} <= set(install.split())
    assert "pip wheel --no-deps --no-build-isolation" in text
    assert "-m venv --without-pip /opt/prefstream" in text, "no bill of materials names pip"
    (torch,) = re.findall(r"^ARG TORCH=(\w+)$", text, re.MULTILINE)
    assert f"requirements-{torch}.txt" in LOCKS


def test_the_image_stands_on_one_base_which_whoever_builds_it_may_choose() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.MULTILINE)
    assert {base for base, _ in stages} - {name for _, name in stages} == {"${BASE}"}
    [base] = re.findall(r"^ARG BASE=(\S+)$", text, re.MULTILINE)
    # In full: Podman knows no registry by default. What builds and what runs have one Python, that of the locks.
    assert re.fullmatch(r"docker\.io/library/python:3\.11-slim-\w+(@sha256:[0-9a-f]{64})?", base)


def test_any_user_of_roots_group_can_write_where_the_image_writes() -> None:
    """OpenShift runs it as a number of its own choice, in that group."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    [(group, mode)] = re.findall(r"install -d -o prefstream -g (\w+) -m (\d+) /cache", text)
    assert (group, int(mode, 8) & 0o070) == ("root", 0o070)


def test_a_new_version_is_a_small_layer_on_the_packages() -> None:
    """Both are copied from stages: what is mounted from one is missing where Podman finds it in its cache."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY --from=(\w+) (\S+) (\S+)$", text, re.MULTILINE)
    assert copied == [("packages", "/opt/prefstream", "/opt/prefstream"), ("wheel", "/opt/own", "/opt/prefstream")]
    assert "type=bind" not in text


def test_the_images_labels_are_those_of_the_project() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    labels = dict(re.findall(r"org\.opencontainers\.image\.([\w.]+)=\"([^\"]*)\"", text))
    project = PROJECT["project"]
    assert {"base.name", "revision"} <= labels.keys()
    assert (labels["title"], labels["version"]) == (project["name"], project["version"])
    assert labels["licenses"] == project["license"]
    assert project["description"].startswith(labels["description"])


def test_compose_creates_the_topics_that_prefstream_reads_and_writes() -> None:
    """By our own command, on the same brokers, with the same names."""
    service, topics = (COMPOSE["services"][name] for name in ("prefstream", "topics"))
    assert topics["image"] == service["image"]
    assert topics["command"][:2] == ["topics", "create"]
    command = load_command("topics").commands["create"]
    command.make_context("create", topics["command"][2:])
    names = {"PREFSTREAM_BOOTSTRAP_SERVERS", *(f"PREFSTREAM_{field.upper()}" for field in TOPIC_FIELDS)}
    assert topics["environment"] == {name: setting for name, setting in service["environment"].items() if name in names}


def test_the_guide_makes_by_kafkas_tools_what_our_command_makes() -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    by_hand = {}
    for line in re.findall(r"^ +kafka-topics\.sh .* --create (.+)$", guide, re.MULTILINE):
        words = dict(re.findall(r"--(topic|partitions|replication-factor) (\S+)", line))
        settings = dict(setting.split("=") for setting in re.findall(r"--config (\S+)", line))
        by_hand[words["topic"]] = (int(words["partitions"]), int(words["replication-factor"]), settings)
    plan = plan_topics(TopicNames(review_topic="battles.review"), partitions=12, replicas=3, shadow=True)
    assert by_hand == {topic.name: (topic.partitions, topic.replicas, dict(topic.settings)) for topic in plan}
    assert "prefstream topics create --bootstrap-servers kafka:9092 --partitions 12" in guide


def test_compose_names_files_that_exist() -> None:
    mounts = [mount for service in COMPOSE["services"].values() for mount in service.get("volumes", [])]
    files = {mount.split(":")[0] for mount in mounts if mount.startswith(".")}
    assert len(files) == 6
    assert all((DEPLOY / file).exists() for file in files)
    panel = COMPOSE["services"]["prefstream"]["environment"]["PREFSTREAM_PANEL"]
    assert (DEPLOY / "panels" / re.findall(r":-(.+)}", panel)[0]).is_file()


def test_compose_runs_a_locked_down_service_with_a_stable_name_and_time_to_drain() -> None:
    for name in ("prefstream", "board"):
        assert COMPOSE["services"][name]["read_only"]
        assert COMPOSE["services"][name]["cap_drop"] == ["ALL"]
    service = COMPOSE["services"]["prefstream"]
    assert service["hostname"]
    assert int(service["stop_grace_period"].removesuffix("s")) > StreamConfig().drain_seconds


def test_compose_asks_each_service_on_its_own_port_whether_it_is_well() -> None:
    """The image's check asks the stream's port, where the board serves nothing."""
    services = COMPOSE["services"]
    assert "healthcheck" not in services["prefstream"]
    assert services["topics"]["healthcheck"] == {"disable": True}
    command, program = services["board"]["healthcheck"]["test"][1:3], services["board"]["healthcheck"]["test"][3]
    assert command == ["python", "-c"]
    assert f"127.0.0.1:{BoardConfig().board_http_port}/livez" in program
    assert services["board"]["ports"] == [f"127.0.0.1:{BoardConfig().board_http_port}:{BoardConfig().board_http_port}"]


def test_nothing_of_compose_can_be_reached_from_another_machine_and_nobody_has_a_known_password() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert len(ports) >= 5
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
    grafana = COMPOSE["services"]["grafana"]["environment"]
    assert grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert "PASSWORD" not in (DEPLOY / "compose.yaml").read_text(encoding="utf-8").upper()


def test_images_that_compose_fetches_are_named_with_registry_and_version() -> None:
    images = {service["image"] for service in COMPOSE["services"].values() if "build" not in service}
    assert len(images) == 3
    assert [image for image in images if not re.fullmatch(r"docker\.io/\w+/\w+:v?\d+\.\d+\.\d+", image)] == []


def test_the_stream_on_cards_differs_in_image_and_cards_alone() -> None:
    ours, on_cards = (dict(COMPOSE["services"][name]) for name in ("prefstream", "prefstream-gpu"))
    assert on_cards.pop("profiles") == ["gpu"]
    assert on_cards.pop("build") == {**ours.pop("build"), "args": {"TORCH": "cuda"}}
    assert (ours.pop("image"), on_cards.pop("image")) == ("prefstream", "prefstream:cuda")
    assert on_cards.pop("networks") == {"default": {"aliases": ["prefstream"]}}
    [device] = on_cards.pop("deploy")["resources"]["reservations"]["devices"]
    assert (device["count"], device["capabilities"]) == ("all", ["gpu"])
    assert on_cards == ours


def test_a_shadow_differs_from_who_serves_in_its_name_its_port_and_what_makes_it_one() -> None:
    ours, shadow = (dict(COMPOSE["services"][name]) for name in ("prefstream", "prefstream-shadow"))
    assert shadow.pop("profiles") == ["shadow"]
    settings = shadow.pop("environment")
    assert (settings.pop("PREFSTREAM_SHADOW"), settings.pop("PREFSTREAM_SHARE")) == ("true", "${SHADOW_SHARE:-1}")
    others = {name: text for name, text in ours.pop("environment").items() if name != "PREFSTREAM_PANEL"}
    assert settings.pop("PREFSTREAM_PANEL") == "/panels/${SHADOW_PANEL:-priors.yaml}"
    assert settings == others
    assert shadow.pop("hostname") != ours.pop("hostname")
    assert not {*shadow.pop("ports")} & {*ours.pop("ports")}
    assert shadow == ours
    assert "--shadow" in COMPOSE["services"]["topics"]["command"]


def test_monitoring_scrapes_the_service_and_shows_the_dashboard() -> None:
    prometheus = read_yaml("prometheus/prometheus.yaml")
    jobs = {job["job_name"]: job for job in prometheus["scrape_configs"]}
    [by_name] = jobs.pop("prefstream-shadow")["dns_sd_configs"]
    assert by_name == {"names": ["prefstream-shadow"], "type": "A", "port": StreamConfig().http_port}
    [by_name] = jobs.pop("prefstream-recalibrate")["dns_sd_configs"]
    assert by_name == {"names": ["recalibrate"], "type": "A", "port": RecalibrateConfig().recalibrate_http_port}
    targets = {name: job["static_configs"][0]["targets"] for name, job in jobs.items()}
    assert targets == {
        "prefstream": [f"prefstream:{StreamConfig().http_port}"],
        "prefstream-board": [f"board:{BoardConfig().board_http_port}"],
    }
    assert all((DEPLOY / "prometheus" / file).is_file() for file in prometheus["rule_files"])
    assert {COMPOSE["services"][name]["profiles"][0] for name in ("prometheus", "grafana")} == {"monitoring"}
    provider = read_yaml("grafana/provisioning/dashboards.yaml")["providers"][0]["options"]["path"]
    assert any(f":{provider}/" in mount for mount in COMPOSE["services"]["grafana"]["volumes"])


# --- packages ------------------------------------------------------------------------------------------------------


def pins(lock: str) -> dict[str, Version]:
    """Every package of a lock; each must have a hash."""
    text = (DEPLOY / lock).read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+==\S+( +--hash=sha256:[0-9a-f]{64})+", line)] == []
    requirements = [Requirement(line.split()[0]) for line in lines]
    return {canonicalize_name(one.name): Version(str(one.specifier).removeprefix("==")) for one in requirements}


def needed_packages() -> list[Requirement]:
    """What `pyproject.toml` asks for, for the image; an extra may bring another one."""
    extras = PROJECT["project"]["optional-dependencies"]
    found, texts = [], [*PROJECT["project"]["dependencies"], *(text for extra in IMAGE for text in extras[extra])]
    while texts:
        requirement = Requirement(texts.pop())
        if requirement.name == "prefstream":
            texts += [text for extra in requirement.extras for text in extras[extra]]
        else:
            found.append(requirement)
    return found


@pytest.mark.parametrize("lock", LOCKS)
def test_every_dependency_is_locked_within_its_range(lock: str) -> None:
    pinned = pins(lock)
    for requirement in needed_packages():
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement.name


def test_what_builds_the_wheel_is_locked_within_its_range() -> None:
    pinned = pins("requirements-build.txt")
    for requirement in map(Requirement, PROJECT["build-system"]["requires"]):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_the_locks_differ_in_what_torch_needs_for_cuda_alone() -> None:
    cpu, cuda = map(pins, LOCKS)
    assert cuda.keys() >= cpu.keys()
    assert {name for name in cuda if not name.startswith(("nvidia-", "cuda-")) and name != "triton"} == cpu.keys()
    assert {name: version.base_version for name, version in cpu.items()} == {
        name: cuda[name].base_version for name in cpu
    }
    assert (cpu["torch"].local, cuda["torch"].local) == ("cpu", None)


@pytest.mark.parametrize("lock", LOCKS)
def test_the_image_holds_no_packages_of_demo_test_or_development(lock: str) -> None:
    others = {
        canonicalize_name(Requirement(text).name)
        for name, extra in PROJECT["project"]["optional-dependencies"].items()
        for text in extra
        if name not in IMAGE
    }
    needed = {canonicalize_name(requirement.name) for requirement in needed_packages()}
    assert not (others - needed) & set(pins(lock))


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_are_made_of_the_images_extras(lock: str) -> None:
    command = (DEPLOY / lock).read_text(encoding="utf-8").splitlines()[1]
    assert re.findall(r"--extra (\w+)", command) == list(IMAGE)
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8")
    assert guide.count(" ".join(f"--extra {extra}" for extra in IMAGE)) == 1
    assert f"`prefstream[{','.join(IMAGE)}]`" in guide


@pytest.mark.parametrize("lock", LOCKS)
def test_no_model_of_others_apis_is_in_the_image(lock: str) -> None:
    assert not {"llm", "llama-cpp-python", "openai"} & set(pins(lock))


def test_the_bill_of_materials_is_that_of_the_lock() -> None:
    bill = json.loads((DEPLOY / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", PROJECT["project"]["name"])
    listed = {canonicalize_name(part["name"]): Version(part["version"]) for part in bill["components"]}
    assert listed == pins("requirements-cpu.txt")
    needed = {need for part in bill["dependencies"] if part["ref"] == "root-component" for need in part["dependsOn"]}
    direct = {canonicalize_name(requirement.name) for requirement in needed_packages()}
    names = {part["bom-ref"]: canonicalize_name(part["name"]) for part in bill["components"]}
    assert {names[need] for need in needed} == direct
    assert "file:" not in json.dumps(bill)


def test_the_table_of_memory_is_what_doctor_adds_up() -> None:
    guide = (DEPLOY / "README.md").read_text(encoding="utf-8").partition("\n## Memory\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| [^|]+ \| (\d+) MB \|$", guide, re.MULTILINE)
    parts = parts_of(StreamConfig(), with_torch=False)
    # doctor names the setting beside a part's name.
    assert rows == [(part.what.partition(" (")[0], f"{part.bytes / MIB:.0f}") for part in parts]
    assert f"about {sum(part.bytes for part in parts) / MIB:.0f} MB" in guide
    assert f"and {TORCH_BYTES / MIB:.0f} MB more with judges" in guide
