"""The demo's bases by their names, and the panel that names them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prefstream.scoring.config import FeaturesJudgeConfig, ModelJudgeConfig, PriorJudgeConfig, load_panel_config
from prefstream.scoring.demo.judges import BASES, LICENCE_NOTICES, prepare_bases, prepared_base
from prefstream.scoring.demo.model_cache import CACHE_VARIABLE
from tests.support.models import make_tiny_base, put_into_the_demos_cache


def _refuse(line: str) -> None:
    raise AssertionError(line)


def test_each_base_has_its_own_model() -> None:
    assert {name: model.name for name, model in BASES.items()} == {
        "demo:gemma": "gemma",
        "demo:smollm": "smollm",
        "demo:embeddinggemma": "embeddinggemma",
    }


def test_a_base_that_is_prepared_is_where_it_was_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_base(tmp_path / "base", "chatml")
    put_into_the_demos_cache(tmp_path / "base", "demo:smollm", tmp_path / "cache", monkeypatch)
    assert prepared_base("demo:gemma") is None
    assert prepare_bases(["demo:smollm"], say=_refuse) == {"demo:smollm": prepared_base("demo:smollm")}


def test_the_demos_panel_has_each_base_with_its_trained_adapter_and_a_judge_that_counts() -> None:
    config = load_panel_config("demo")
    judges = [judge for judge in config.judges if isinstance(judge, ModelJudgeConfig)]
    assert [judge.base for judge in judges] == ["demo:gemma", "demo:smollm"]
    assert [judge.name for judge in config.judges if isinstance(judge, FeaturesJudgeConfig)] == ["lexical"]
    adapters = [judge.adapter for judge in config.judges if not isinstance(judge, PriorJudgeConfig)]
    assert all(Path(str(adapter), "prefstream.json").is_file() for adapter in adapters)
    assert Path(str(config.calibration)).is_file()


def test_the_notices_name_licence_and_origin() -> None:
    text = " ".join(LICENCE_NOTICES)
    assert "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in text
    assert "unofficial upload" in text
    assert "Apache License 2.0" in text


def test_finding_a_base_imports_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    code = (
        "import sys; from prefstream.scoring.loading.sources import fetched_folder; "
        "print(fetched_folder('demo:gemma', None), 'torch' in sys.modules)"
    )
    root = Path(__file__).parents[4]
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert result.stdout.split() == ["None", "False"]
