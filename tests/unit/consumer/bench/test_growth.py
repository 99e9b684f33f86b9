"""The benchmark of growth: every command runs, on rows that it can read, in a process that tells what it took."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.bench import growth as bench
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.config import DEMO_PANEL, PanelConfig, load_panel_config
from prefstream.scoring.errors import ConfigError

COMMANDS = ["score", "evaluate", "calibrate", "finetune"]


@pytest.fixture(scope="module")
def panel() -> PanelConfig:
    return load_panel_config(DEMO_PANEL)


@pytest.mark.timeout(900)  # four processes: minutes on a machine with twenty times the work
def test_each_command_runs_and_tells_what_it_took(panel: PanelConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "_TOKENS", dict.fromkeys(bench._TOKENS, 8))
    runs = bench.growth(panel, [60], say=lambda _: None)
    assert [run.command for run in runs] == COMMANDS
    for run in runs:
        assert run.peak_memory_bytes > 10_000_000
        assert 0 < run.cpu_seconds < 100 * run.seconds
        assert run.bytes_per_row is None


def test_what_a_row_adds_is_told_between_neighbouring_sizes_on_the_same_file_for_all(
    panel: PanelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, set[int]] = {}

    def run_worker(_module: str, task: str, request: Path) -> dict[str, Any]:
        [file] = [Path(word) for word in json.loads(request.read_text()) if word.endswith("0.jsonl")]
        rows = len(file.read_text().splitlines())
        files.setdefault(task, set()).add(rows)
        return {"seconds": 2.0, "cpu_seconds": 1.0, "peak_memory_bytes": 1_000_000 + 70 * rows}

    monkeypatch.setattr(bench, "run_worker", run_worker)
    said: list[str] = []
    runs = bench.growth(panel, [30, 10, 10], say=said.append)
    assert [(run.command, run.rows) for run in runs] == [(name, rows) for name in COMMANDS for rows in (10, 30)]
    assert [run.bytes_per_row for run in runs] == [None, 70.0] * len(COMMANDS)
    assert files == {name: {10, 30} for name in COMMANDS}
    assert len(said) == len(runs)


def test_a_command_that_fails_is_told_with_its_reason(panel: PanelConfig) -> None:
    with pytest.raises(BenchError, match=r"calibrate failed: .*40 labelled battles count, too few to calibrate on"):
        bench.growth(panel, [40], commands=["calibrate"], say=lambda _: None)


def test_judges_that_read_take_no_part_and_a_panel_of_them_alone_is_refused(
    panel: PanelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels: set[str] = set()

    def run_worker(_module: str, _task: str, request: Path) -> dict[str, Any]:
        [path] = [word for word in json.loads(request.read_text()) if word.endswith(".yaml")]
        panels.add(",".join(judge.kind for judge in load_panel_config(Path(path)).judges))
        return {"seconds": 2.0, "cpu_seconds": 1.0, "peak_memory_bytes": 1_000_000}

    monkeypatch.setattr(bench, "run_worker", run_worker)
    bench.growth(panel, [10], commands=["score"], say=lambda _: None)
    assert panels == {"features"}
    reading = panel.model_copy(update={"judges": panel.judges[:2], "calibration": None})
    with pytest.raises(ConfigError, match="every judge of the panel reads"):
        bench.growth(reading, [10], say=lambda _: None)
