"""Whether judges fit onto their devices; the card is made up, the judges are real."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from prefstream.consumer.doctor import judge_memory
from prefstream.consumer.doctor.finding import Finding
from prefstream.consumer.doctor.judge_memory import CUDA_BYTES, check_memory
from prefstream.consumer.doctor.judges import inspect
from prefstream.scoring.config import CUDA_MICRO_BATCH_TOKENS, ModelJudgeConfig
from prefstream.scoring.judges.devices import Placement
from prefstream.scoring.loading.memory.budgets import memory_of
from prefstream.scoring.loading.memory.serving import JudgeMemory
from tests.support.models import MAX_LENGTH, make_tiny_judge

CARD = torch.device("cuda:0")


class Case:
    """Judges on one card, and what the doctor says of them there."""

    def __init__(self, folder: Path, **entries: dict[str, Any]) -> None:
        self.judges = [
            ModelJudgeConfig.model_validate(make_tiny_judge(folder / name, "llama", name=name, **entry))
            for name, entry in entries.items()
        ]
        self.placements = {
            judge.name: Placement(
                CARD,
                torch.float32,
                None,
                judge.micro_batch_tokens if isinstance(judge.micro_batch_tokens, int) else CUDA_MICRO_BATCH_TOKENS,
            )
            for judge in self.judges
        }
        self.inspections = {
            judge.name: inspect(judge, Path(judge.base), Path(str(judge.adapter))) for judge in self.judges
        }

    def weights(self) -> int:
        return sum(self._memory(place, 1).weights for place in range(len(self.judges)))

    def one_pass(self, place: int, tokens: int) -> int:
        return self._memory(place, tokens).one_pass

    def _memory(self, place: int, tokens: int) -> JudgeMemory:
        judge = self.judges[place]
        inspection = self.inspections[judge.name]
        return memory_of(
            judge,
            self.placements[judge.name],
            inspection.config,
            tokens=tokens,
            adapter_weights=inspection.adapter_weights,
        )

    def finding(self, monkeypatch: pytest.MonkeyPatch, free: int) -> Finding:
        monkeypatch.setattr(judge_memory, "_memory", lambda device: {CARD: (free, 2 * free)}[device])
        return check_memory(self.judges, self.placements, self.inspections)


def test_a_budget_that_is_left_open_is_told_as_it_will_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path, x={"micro_batch_tokens": "auto"}, y={"micro_batch_tokens": 512})
    passes = case.one_pass(0, 3 * MAX_LENGTH) + case.one_pass(1, 512)
    finding = case.finding(monkeypatch, CUDA_BYTES + case.weights() + int(passes / 0.9) + 1)
    assert finding.state == "ok"
    assert re.search(
        rf"\(x \S+ and \S+ a pass of {3 * MAX_LENGTH} tokens \(auto\), y \S+ and \S+ a pass\)", finding.found
    )


def test_where_not_even_a_sequence_fits_the_judges_are_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path, x={"micro_batch_tokens": "auto"})
    finding = case.finding(monkeypatch, CUDA_BYTES // 2)
    assert finding.state == "fail"
    assert f"a pass of {MAX_LENGTH} tokens (auto)" in finding.found


def test_an_adapter_that_is_merged_before_quantising_takes_no_memory(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes")
    way = {"quantization": "8bit"}
    beside = Case(tmp_path / "beside", x=way)
    merged = Case(tmp_path / "merged", x={**way, "merge": "before_quantization"})
    assert beside.weights() - merged.weights() == 4 * beside.inspections["x"].adapter_weights
