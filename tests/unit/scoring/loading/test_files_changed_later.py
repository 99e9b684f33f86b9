"""What becomes of a judge's files after it was loaded does not matter: it answers from memory alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prefstream import LoadError, PanelConfig, load_panel
from prefstream.schemas import Battle
from prefstream.scoring.loading.base_model import load_classifier, open_base, quiet_libraries
from tests.support.models import make_tiny_judge, one_torch_thread

BATTLE = Battle(id="1", prompt="Which?", response_a="This.", response_b="That, of course.")


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return make_tiny_judge(tmp_path_factory.mktemp("judge"), "gemma2", hidden_size=64)


@pytest.fixture
def entry(judge: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """A judge whose files a test may spoil."""
    shutil.copytree(Path(judge["base"]).parent, tmp_path / "judge")
    return judge | {key: str(tmp_path / "judge" / key) for key in ("base", "adapter")}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


def weights_of(entry: dict[str, Any]) -> list[Path]:
    return [file for key in ("base", "adapter") for file in Path(entry[key]).glob("*.safetensors")]


def overwrite(file: Path) -> None:
    """In place, as `cp` and `rsync --inplace` do."""
    with file.open("r+b") as opened:
        opened.write(b"\1" * file.stat().st_size)


def cut(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(100)


@pytest.mark.parametrize("settings", [{}, {"dtype": "bfloat16"}, {"quantization": "8bit"}, {"quantization": "4bit"}])
def test_answers_stay_the_same_when_weights_are_overwritten(entry: dict[str, Any], settings: dict[str, str]) -> None:
    with load_panel(PanelConfig.model_validate({"judges": [entry | settings]})) as panel:
        before = panel.score([BATTLE])
        for file in weights_of(entry):
            overwrite(file)
        assert panel.score([BATTLE]) == before


def serve_from_files_that_are_cut(folder: str) -> None:
    """In a process of its own: without memory of its own it would die of SIGBUS."""
    entry = make_tiny_judge(Path(folder), "gemma2")
    with one_torch_thread(), load_panel(PanelConfig.model_validate({"judges": [entry]})) as panel:
        before = panel.score([BATTLE])
        for file in weights_of(entry):
            cut(file)
        assert panel.score([BATTLE]) == before


def test_a_judge_whose_files_are_cut_off_goes_on(tmp_path: Path) -> None:
    module = "tests.unit.scoring.loading.test_files_changed_later"
    code = f"from {module} import *; serve_from_files_that_are_cut({str(tmp_path / 'judge')!r})"
    root = Path(__file__).parents[4]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, timeout=200)
    assert done.returncode == 0, done.stderr


def test_weights_that_change_while_they_are_loaded_are_refused(entry: dict[str, Any]) -> None:
    """Its answers would not be those of the hash that its provenance states."""
    base = open_base(entry["base"], None, labels=3)
    weights = Path(entry["base"]) / "model.safetensors"
    content = weights.read_bytes()
    half = len(content) // 2
    weights.write_bytes(content[:half] + bytes(len(content) - half))
    with (
        quiet_libraries(),
        pytest.raises(LoadError, match="its weights were changed while they were loaded; start again"),
    ):
        load_classifier(base, device=torch.device("cpu"), dtype=torch.float32, attention="eager")
