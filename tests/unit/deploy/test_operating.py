"""The guide for the years after the first day: no alert without a line, no name that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from prefstream.consumer.cli import COMMANDS
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.observe.metrics import METRICS
from tests.support.helm.chart import CHART

DEPLOY = Path(__file__).parents[3] / "deploy"
GUIDE = (DEPLOY / "OPERATING.md").read_text(encoding="utf-8")
RULES = yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))
ALERTS = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
ROWS = dict(re.findall(r"^\| `(Prefstream\w+)` \| (.+) \|$", GUIDE, re.MULTILINE))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_has_a_line_that_says_where_to_look_and_what_to_do(alert: str) -> None:
    look, do = ROWS[alert].split(" | ")
    assert len(look) > 10
    assert len(do) > 10


def test_the_lines_are_those_of_the_alerts_in_their_order() -> None:
    assert list(ROWS) == ALERTS


def test_what_the_guide_names_is_there() -> None:
    named = set(re.findall(r"`(prefstream_\w+)`", GUIDE))
    assert named <= {metric.name for metric in METRICS}
    assert set(re.findall(r"`prefstream ([a-z-]+)", GUIDE)) <= set(COMMANDS)
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    for path in re.findall(r"`((?:keda|probes|resources|panel|metrics|image)\.[\w.]+)(?::[^`]*)?`", GUIDE):
        place = values
        for key in path.split("."):
            place = place[key]
    config = StreamConfig()
    assert f"in flight ({config.max_in_flight * config.max_batch_battles} by default)" in GUIDE
    assert f"the session, {config.session_timeout_ms // 1000} s" in GUIDE
