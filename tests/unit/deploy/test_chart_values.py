"""The chart's values: each key is explained, known to the schema, and refused where it is wrong, with a remedy."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.memory import MIB, TORCH_BYTES, parts_of
from tests.support.helm.chart import CHART, EXAMPLES, render
from tests.support.helm.settings_schema import SCHEMA

TEXT = (CHART / "values.yaml").read_text(encoding="utf-8")
VALUES: dict[str, Any] = yaml.safe_load(TEXT)
GOOD: dict[str, Any] = {"config": {"bootstrap_servers": "kafka:9092"}, "panel": {"builtin": "priors"}}
"""The least that is to be said."""

OAUTH = {"security_protocol": "SASL_SSL", "sasl_mechanism": "OAUTHBEARER"}

OF_OTHERS = {"global"}
"""What a chart that has this one as a part passes on."""


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The least, and one value more."""
    values = copy.deepcopy(GOOD)
    place = values
    *folders, last = path.split(".")
    for folder in folders:
        place = place.setdefault(folder, {})
    place[last] = value
    return values


def paths(values: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every key of nested mappings."""
    for key, value in values.items():
        yield f"{before}{key}"
        if isinstance(value, dict):
            yield from paths(value, f"{before}{key}.")


def schema_paths(schema: dict[str, Any], whole: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every key that a schema knows, but for the settings: the reference of commands has those."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        schema = {} if name.lower().endswith("settings") else whole["definitions"][name]
    for key, part in schema.get("properties", {}).items():
        yield f"{before}{key}"
        yield from schema_paths(part, whole, f"{before}{key}.")


def test_every_key_is_explained_by_the_line_before_it() -> None:
    lines = TEXT.splitlines()
    keys = [number for number, line in enumerate(lines) if re.match(r"^ *[\w.-]+:", line)]
    assert len(keys) == len(list(paths(VALUES)))
    unexplained = []
    for number in keys:
        before = lines[number - 1]
        depth = len(lines[number]) - len(lines[number].lstrip())
        if not before.startswith(f"{' ' * depth}# "):
            unexplained.append(lines[number])
    assert unexplained == []


def test_values_and_schema_know_the_same_keys() -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    known = {path for path in schema_paths(schema, schema) if path not in OF_OTHERS}
    named = set(paths(VALUES))
    # What is of Kubernetes goes on below; what is of the stream is checked with the code's own settings.
    assert known - named <= {f"containerSecurityContext.{key}" for key in ("privileged", "runAsUser")}
    resources = ("resources.", "board.resources.", "recalibrate.resources.")
    free = ("config.", *resources, "podSecurityContext.", "containerSecurityContext.")
    assert [path for path in named - known if not path.startswith((*free, "metrics.dashboards.labels."))] == []


def test_defaults_that_are_told_are_those_of_the_code() -> None:
    config = StreamConfig()
    assert f"{config.max_in_flight * config.max_batch_battles} by default" in TEXT
    assert VALUES["keda"]["lagThreshold"] > config.max_in_flight * config.max_batch_battles
    bound = sum(part.bytes for part in parts_of(config, with_torch=False))
    told = " ".join(TEXT.replace("\n#", " ").split())
    assert f"{bound / MIB:.0f} MB by default, and {TORCH_BYTES / MIB:.0f} MB more where a judge has weights" in told


def test_the_least_that_is_to_be_said_is_enough() -> None:
    assert render(GOOD).error == ""


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("replica", 3),
        ("replicas", -1),
        ("replicas", "three"),
        ("image.pullPolicy", "Sometimes"),
        ("image.digest", "sha256:short"),
        ("config.bootstrap_server", "kafka:9092"),
        ("config.sasl_password", "in the open"),
        ("config.ssl_cafile", "/etc/ca.crt"),
        ("config.http_port", 9000),
        ("config.max_batch_battles", 0),
        ("config.on_data_loss", "ignore"),
        ("config.review_share", 1.5),
        ("secrets.saslPassword.value", "in the open"),
        ("secrets.saslPassword.existingSecret", "Not A Name"),
        ("tls.ca.existingsecret", "ca"),
        ("panel.builtin", "three-cards"),
        ("panel.existingConfigMap.keys", ["calibration.json"]),
        ("adapters.hub", [{"name": "gemma", "repository": "me/gemma", "revision": "main"}]),
        ("adapters.hub", [{"name": "../gemma", "repository": "me/gemma", "revision": "0" * 40}]),
        ("adapters.hub", [{"name": "gemma", "repository": "me/gemma"}]),
        ("cache.size", "60 GB"),
        ("gpu.count", -1),
        ("extraEnv", [{"name": "PREFSTREAM_INSTANCE_ID", "value": "mine"}]),
        ("podSecurityContext.runAsUser", 0),
        ("podSecurityContext.runAsNonRoot", False),
        ("containerSecurityContext.allowPrivilegeEscalation", True),
        ("containerSecurityContext.privileged", True),
        ("probes.startupSeconds", 0),
        ("podDisruptionBudget.maxUnavailable", "half"),
        ("networkPolicy.kafkaPorts", [0]),
        ("networkPolicy.kafkaPorts", []),
        ("metrics.job", 'a"b'),
        ("metrics.prometheusRule.leaveOut", ["PrefstreamIsDown"]),
        ("traces.endpoint", "otel-collector:4318"),
        ("traces.endpoint", "http://me:secret@otel-collector:4318"),
        ("traces.ratio", 0.1),
        ("config.traces", True),
        ("config.traces_ratio", 2),
        ("keda.lagThreshold", 0),
        ("keda.minReplicas", -1),
        ("keda.kafkaVersion", "4"),
        ("board.config.board_port", 80),
        ("board.config.board_http_token", "in the open"),
        ("board.config.board_unknown_selection", "guess"),
        ("board.ingress.path", "board"),
        ("recalibrate.config.recalibrate_http_port", 80),
        ("recalibrate.config.recalibrate_later_votes", 1),
        ("panels.content.may", "no panel"),
        ("config.panels", "/panels"),
    ],
)
def test_a_wrong_value_is_refused_by_its_place(path: str, value: Any) -> None:
    error = render(with_value(path, value)).error
    assert "values don't meet the specifications of the schema" in error
    assert f"/{path.rpartition('.')[0].replace('.', '/')}" in error or f"'{path}'" in error
    assert "in the open" not in error


@pytest.mark.parametrize(
    ("told", "values"),
    [
        ("config.bootstrap_servers: say where", with_value("config.bootstrap_servers", "")),
        ("panel: say who judges", with_value("panel.builtin", "")),
        ("panel: say who judges", with_value("panel.content", {"judges": []})),
        ("panel.calibration: is for panels", {**GOOD, "panel": {"builtin": "demo", "calibration": "{}"}}),
        (
            "panel.calibration: panel.content names one",
            {**GOOD, "panel": {"content": {"calibration": "a"}, "calibration": "{}"}},
        ),
        ("adapters: the panel cpu has some", with_value("panel.builtin", "cpu")),
        (
            "adapters: come from hub or from existingClaim",
            with_value(
                "adapters",
                {"existingClaim": "a", "hub": [{"name": "a", "repository": "b/c", "revision": "0" * 40}]},
            ),
        ),
        (
            "gpu.count: the panel two-24gb is for 2",
            {**GOOD, "panel": {"builtin": "two-24gb"}, "adapters": {"existingClaim": "a"}, "gpu": {"count": 1}},
        ),
        ("cache: a claim for each pod", with_value("cache", {"size": "1Gi", "existingClaim": "a"})),
        ("secrets.saslPassword.existingSecret: SASL_SSL needs it", with_value("config.security_protocol", "SASL_SSL")),
        ("config.sasl_username: SASL_SSL needs it", with_value("config.security_protocol", "SASL_SSL")),
        *(
            (f"{place}: OAUTHBEARER needs it", {**GOOD, "config": {**GOOD["config"], **OAUTH}})
            for place in ("secrets.oauthClientSecret.existingSecret", "config.sasl_oauth_token_url")
        ),
        ("secrets.saslPassword: no effect with PLAINTEXT", with_value("secrets.saslPassword.existingSecret", "a")),
        ("secrets.tlsKeyPassword: no effect without", with_value("secrets.tlsKeyPassword.existingSecret", "a")),
        ("tls: no effect with security_protocol PLAINTEXT", with_value("tls.ca.existingSecret", "ca")),
        (
            "tls.ca: comes from a Secret or from a ConfigMap",
            with_value("tls.ca", {"existingSecret": "a", "existingConfigMap": "a"}),
        ),
        ("traces.endpoint: say where", with_value("traces.enabled", True)),
        ("traces.endpoint: no effect", with_value("traces.endpoint", "http://otel-collector:4318")),
        ("keda.maxReplicas: is less", with_value("keda", {"enabled": True, "minReplicas": 5, "maxReplicas": 2})),
        ("keda.lagThreshold: must be more than the 192", with_value("keda", {"enabled": True, "lagThreshold": 192})),
        (
            "secrets.boardToken.existingSecret: board_allow_battles",
            with_value("board", {"enabled": True, "config": {"board_show_texts": True}}),
        ),
        ("metrics.job: config.shadow needs another one", with_value("config.shadow", True)),
        (
            "board.enabled: the board shows what those say who serve",
            {**with_value("config.shadow", True), "board": {"enabled": True}},
        ),
        ("board.ingress.host: say", with_value("board", {"enabled": True, "ingress": {"enabled": True}})),
        (
            "panels: come from content, from existingConfigMap or from existingClaim",
            with_value("panels", {"existingClaim": "a", "existingConfigMap": "b"}),
        ),
        ("panels.subPath: no effect", with_value("panels", {"existingConfigMap": "b", "subPath": "c"})),
        ("recalibrate.enabled: pods take over what it chooses only with", with_value("recalibrate.enabled", True)),
        (
            "recalibrate.enabled: votes calibrate those who serve",
            {**with_value("config.shadow", True), "recalibrate": {"enabled": True, "dryRun": True}},
        ),
    ],
)
def test_what_does_not_go_together_is_refused_with_what_to_change(told: str, values: dict[str, Any]) -> None:
    error = render(values).error
    assert f"* {told}" in error


def test_all_that_does_not_go_together_is_told_at_once() -> None:
    values = {"cache": {"size": "1Gi", "existingClaim": "a"}, "board": {"enabled": True, "ingress": {"enabled": True}}}
    assert render(values).error.count("\n  * ") == 4


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_shipped_set_says_nothing_that_is_the_default_anyway(name: str) -> None:
    """What stands there is what one has to choose."""
    values = yaml.safe_load(EXAMPLES[name].read_text(encoding="utf-8"))

    def repeated(given: dict[str, Any], defaults: Any, before: str = "") -> Iterator[str]:
        for key, value in given.items():
            default = defaults.get(key) if isinstance(defaults, dict) else None
            if isinstance(value, dict) and isinstance(default, dict):
                yield from repeated(value, default, f"{before}{key}.")
            elif value == default:
                yield f"{before}{key}"

    assert list(repeated(values, VALUES)) == []
