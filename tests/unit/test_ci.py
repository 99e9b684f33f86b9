"""What CI does elsewhere is what it does here."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import yaml

from tests.support.kafka.container import KAFKA_IMAGE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
WORKFLOW: dict[Any, Any] = yaml.safe_load(TEXT)
[JOB] = WORKFLOW["jobs"].values()


def test_it_calls_what_everybody_calls() -> None:
    assert JOB["steps"][-1] == {"run": ".ci/run"}
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_it_may_read_the_code_and_nothing_else() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    assert "permissions" not in JOB
    assert "secrets." not in TEXT


def test_actions_are_pinned_by_their_content() -> None:
    uses = re.findall(r"uses: (.+)", TEXT)
    assert len(uses) == 3
    assert [action for action in uses if not re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)] == []


def test_it_runs_the_versions_that_are_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    settings = {key: setting for step in JOB["steps"] for key, setting in step.get("with", {}).items()}
    assert project["requires-python"] == f">={settings['python-version']}"
    [kafka] = [step["env"]["KAFKA"] for step in JOB["steps"] if "KAFKA" in step.get("env", {})]
    assert kafka.endswith(f"-{KAFKA_IMAGE.partition(':')[2]}")
