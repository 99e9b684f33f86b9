"""Other programs in `bench panel`: they answer as the panel does or get no ratio, and one that is not there says so."""

from __future__ import annotations

import importlib
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefstream.schemas import Battle
from prefstream.scoring.bench.competitors import worker
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.side_by_side import SideBySide
from prefstream.scoring.bench.throughput import SAME_ANSWERS, CompetitorResult, bench_battles, bench_panel
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from tests.support.models import make_tiny_judge

LOOPS = {
    "sentence_transformers": ("cross_encoder_loop", "CrossEncoderLoop"),
    "openvino": ("openvino_loop", "OpenVinoLoop"),
}
BATTLES = [Battle(id=str(n), prompt=("fox?",), response_a=("dog " * n,), response_b=("fox",)) for n in range(1, 9)]


def panel_of_nothing(folder: Path) -> PanelConfig:
    judge = {"name": "j", "kind": "pointwise", "base": str(folder), "adapter": str(folder)}
    return PanelConfig.model_validate({"judges": [judge]})


@pytest.mark.parametrize("package", LOOPS)
@pytest.mark.filterwarnings("ignore")  # between these packages and torch
def test_another_program_answers_as_the_careful_loop(tmp_path: Path, package: str) -> None:
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    from prefstream.scoring.bench.throughput_worker import PlainLoop
    from prefstream.scoring.judges.devices import place_judges

    module, name = LOOPS[package]
    loop = getattr(importlib.import_module(f"prefstream.scoring.bench.competitors.{module}"), name)
    for judge in (
        ModelJudgeConfig.model_validate(make_tiny_judge(tmp_path / "llama", "chatml", "pairwise")),
        ModelJudgeConfig.model_validate(
            make_tiny_judge(tmp_path / "gemma", "gemma3", "pointwise", pooling="answer", kept_layers=1)
        ),
    ):
        placement = place_judges([judge])[judge.name]
        ours, theirs = PlainLoop(judge, placement, careful=True), loop(judge, placement)
        np.testing.assert_allclose(theirs.score(BATTLES), ours.score(BATTLES), atol=1e-5)
        assert theirs.tokens == ours.tokens
        assert theirs.padded_tokens >= theirs.tokens


def test_an_interpreter_says_what_is_installed_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["worker", "installed", str(tmp_path / "request"), str(tmp_path / "answer")])
    worker.main()
    expected = {"sentence_transformers": "cross-encoder", "openvino": "openvino"}
    assert json.loads((tmp_path / "answer").read_bytes()) == [expected[name] for name in LOOPS if find_spec(name)]


def test_an_interpreter_that_has_neither_or_is_none_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare-python"
    bare.write_text("#!/bin/sh\nfor last; do :; done\necho '[]' > \"$last\"\n")
    bare.chmod(0o755)
    battles = bench_battles(1)
    with pytest.raises(BenchError, match="bare-python has neither sentence-transformers nor openvino"):
        bench_panel(panel_of_nothing(tmp_path), battles=battles, competitors=bare, say=lambda _line: None)
    with pytest.raises(BenchError, match=r"^bench: installed did not run: .*none-such"):
        bench_panel(
            panel_of_nothing(tmp_path), battles=battles, competitors=tmp_path / "none-such", say=lambda _line: None
        )


@pytest.mark.parametrize(("gap", "same"), [(0.0, True), (SAME_ANSWERS, True), (1.01 * SAME_ANSWERS, False)])
def test_who_answers_otherwise_gets_no_ratio(gap: float, same: bool) -> None:
    speed = SideBySide((2.0,), (1.0,))
    fields: dict[str, Any] = CompetitorResult(speed, speed, gap, {}, 1).to_fields()
    assert fields["same_answers"] is same
    for name in ("speed", "cpu_speed"):
        assert fields[name]["theirs_per_s"] == (1.0,)
        assert fields[name].get("ratio") == (2.0 if same else None)
