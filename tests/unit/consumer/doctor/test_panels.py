"""What the doctor says of panels that could be chosen while the service runs."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor import judge_memory
from prefstream.consumer.doctor.finding import Finding
from prefstream.consumer.doctor.panels import examine_panels
from tests.support.models import make_tiny_judge
from tests.support.panel_folders import write_panels


def found(folder: Path, panel: Path | None = None) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_panels(StreamConfig.load(panels=folder, panel=panel))}


def test_without_a_folder_there_is_nothing_to_look_at() -> None:
    assert list(examine_panels(StreamConfig.load())) == []


def test_each_panel_of_the_folder_is_looked_at(tmp_path: Path) -> None:
    folder = write_panels(tmp_path, "one", "two")
    (folder / "wrong.yaml").write_text("judges: []")
    findings = found(folder, folder / "one.yaml")
    assert findings["panels"].found.endswith("one, two, wrong can be chosen")
    assert {name: finding.state for name, finding in findings.items()} == {
        "panels": "ok",
        "panel one": "ok",
        "panel two": "ok",
        "panel wrong": "fail",
    }


def test_a_folder_that_is_not_there_or_empty_is_told(tmp_path: Path) -> None:
    assert found(tmp_path / "none")["panels"].state == "fail"
    assert found(tmp_path)["panels"].state == "warn"


def test_it_says_whether_a_panel_would_be_loaded_beside_the_one_that_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = make_tiny_judge(tmp_path / "x", "llama")
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({"judges": [judge]}))
    beside = found(tmp_path, tmp_path / "one.yaml")["panel one"]
    assert (beside.state, beside.found.rpartition("; ")[2]) == ("ok", "would be loaded beside those that serve")
    monkeypatch.setattr(judge_memory, "_memory", lambda _: (2**10, 2**30))
    drained = found(tmp_path, tmp_path / "one.yaml")["panel one"]
    assert drained.state == "warn"
    assert "batches wait for that long" in drained.found
