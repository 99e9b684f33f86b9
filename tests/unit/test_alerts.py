"""Each alert fires when it should, and stays silent when it should: their unit tests are Prometheus' own."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from prefstream.consumer.observe.metrics import METRICS
from prefstream.consumer.observe.trust_metrics import BOARD_METRICS

PROMETHEUS = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES: dict[str, Any] = yaml.safe_load((PROMETHEUS / "rules.yaml").read_text(encoding="utf-8"))
TEST_FILES = sorted(PROMETHEUS.glob("*.test.yaml"))
TESTS: list[dict[str, Any]] = [
    test for path in TEST_FILES for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
]
ALERTS: dict[str, Any] = {rule["alert"]: rule for group in RULES["groups"] for rule in group["rules"]}
FOREIGN = {"up", "process_start_time_seconds"}
"""What Prometheus and its client add to our metrics."""

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed; Debian and Ubuntu have it in `prometheus`"
)


def promtool(*arguments: str) -> str:
    """Run promtool; what it says where it fails."""
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def named(expression: str) -> set[str]:
    """The series that an expression selects."""
    return set(re.findall(r"\b(\w+)\{", expression))


def expected(test: dict[str, Any]) -> set[str]:
    """The alerts that a test expects to fire at any time."""
    samples = [sample for check in test["promql_expr_test"] for sample in check["exp_samples"]]
    return {name for sample in samples for name in re.findall(r'alertname="(\w+)"', sample["labels"])}


@needs_promtool
def test_every_alert_fires_and_is_silent_when_it_should() -> None:
    assert promtool("test", "rules", *map(str, TEST_FILES)) == ""


@needs_promtool
def test_prometheus_takes_its_configuration_and_the_rules() -> None:
    assert promtool("check", "config", str(PROMETHEUS / "prometheus.yaml")) == ""


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_has_a_test_that_it_fires_and_one_that_it_is_silent(alert: str) -> None:
    """A silent one counts only where it has the series that the alert reads: without them nothing ever fires."""
    reads = named(ALERTS[alert]["expr"])
    fires = [test for test in TESTS if test["name"].startswith(f"{alert} fires: ")]
    silent = [test for test in TESTS if test["name"].startswith(f"{alert} silent: ")]
    assert fires
    assert silent
    assert all(alert in expected(test) for test in fires)
    for test in silent:
        assert expected(test) == set()
        assert reads <= set().union(*(named(series["series"]) for series in test["input_series"]))


def test_the_tests_of_alerts_know_no_other_alert_and_no_other_series() -> None:
    assert {test["name"].split()[0] for test in TESTS} <= ALERTS.keys()
    series = {name for test in TESTS for one in test["input_series"] for name in named(one["series"])}
    assert series <= FOREIGN | {name for metric in (*METRICS, *BOARD_METRICS) for name in metric.series}
