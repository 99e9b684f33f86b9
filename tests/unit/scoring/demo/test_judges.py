"""The panel that the demo's judges form, described over a cache that looks prepared."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.demo.judges import DEMO_MODELS, LICENCE_NOTICES, demo_panel_config


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache whose models count as prepared, so that nothing is converted."""
    for model in DEMO_MODELS:
        folder = tmp_path / "models" / model.folder
        folder.mkdir(parents=True)
        receipt = {"conversion": 1, "gguf_sha256": model.gguf_sha256, "files": {}}
        (folder / "prefstream.json").write_text(json.dumps(receipt))
    return tmp_path


def _refuse(line: str) -> None:
    raise AssertionError(line)


def _judges(config: PanelConfig) -> dict[str, ModelJudgeConfig]:
    return {judge.name: judge for judge in config.judges if isinstance(judge, ModelJudgeConfig)}


def test_the_panel_has_a_gemma_and_a_llama_that_read_pointwise(cache: Path) -> None:
    judges = _judges(demo_panel_config(cache, say=_refuse))
    assert {name: judge.kind for name, judge in judges.items()} == {"gemma": "pointwise", "smollm": "pointwise"}


def test_without_adapters_heads_may_be_random(cache: Path, tmp_path: Path) -> None:
    config = demo_panel_config(cache, say=_refuse, pretrained=tmp_path / "none")
    assert all(judge.adapter is None and judge.allow_untrained for judge in _judges(config).values())


def test_a_trained_adapter_is_used_and_its_head_must_be_trained(cache: Path, tmp_path: Path) -> None:
    _write(tmp_path / "shipped" / "gemma-demo" / "adapter_config.json")
    judges = _judges(demo_panel_config(cache, say=_refuse, pretrained=tmp_path / "shipped"))
    assert judges["gemma"].adapter == str(tmp_path / "shipped" / "gemma-demo")
    assert not judges["gemma"].allow_untrained
    assert judges["smollm"].adapter is None


@pytest.mark.parametrize(("adapters", "calibrated"), [(("gemma-demo", "llama-demo"), True), (("gemma-demo",), False)])
def test_the_shipped_calibration_is_for_the_trained_panel_alone(
    cache: Path, tmp_path: Path, adapters: tuple[str, ...], calibrated: bool
) -> None:
    shipped = tmp_path / "shipped"
    for adapter in adapters:
        _write(shipped / adapter / "adapter_config.json")
    _write(shipped / "panel.json")
    config = demo_panel_config(cache, say=_refuse, pretrained=shipped)
    assert config.calibration == (str(shipped / "panel.json") if calibrated else None)


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")


def test_the_notices_name_licence_and_origin() -> None:
    text = " ".join(LICENCE_NOTICES)
    assert "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms" in text
    assert "unofficial upload" in text
    assert "Apache License 2.0" in text


def test_describing_the_panel_imports_no_torch(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from prefstream.scoring.demo.judges import demo_panel_config; "
        "demo_panel_config(Path(sys.argv[1]), say=print); print('torch' in sys.modules)"
    )
    root = Path(__file__).parents[4]
    result = subprocess.run(
        [sys.executable, "-c", code, str(cache)], capture_output=True, text=True, check=True, cwd=root
    )
    assert result.stdout.split() == ["False"]
