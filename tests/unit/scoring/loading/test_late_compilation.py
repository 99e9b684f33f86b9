"""torch's compiler is imported when something is compiled, not because peft imports bitsandbytes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.models import make_tiny_judge

LOAD_AND_DEQUANTISE = """
import json, sys
import torch
from prefstream import ModelJudgeConfig
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.judge import load_judge

compile_now = torch.compile
config = ModelJudgeConfig.model_validate(json.loads(sys.argv[1]))
load_judge(config, place_judges([config])[config.name]).close()
print("bitsandbytes" in sys.modules, torch.compile is compile_now, "torch._inductor.compile_fx" in sys.modules)

from bitsandbytes.backends.default.ops import _dequantize_4bit_compute as dequantise
packed, code = torch.arange(64, dtype=torch.uint8), torch.linspace(-1, 1, 16)
arguments = (packed, torch.tensor([2.0, 3.0]), code, 64, (2, 64), torch.float32)
as_written = dequantise.__wrapped__
print(torch.equal(dequantise(*arguments), as_written(*arguments)), "torch._inductor.compile_fx" in sys.modules)
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a process of its own prints that loads a judge, then calls a function of bitsandbytes."""
    entry = make_tiny_judge(tmp_path_factory.mktemp("judge"), "llama")
    command = [sys.executable, "-c", LOAD_AND_DEQUANTISE, json.dumps(entry)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parents[4])
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


def test_a_judge_that_is_not_quantised_is_loaded_without_torchs_compiler(told: list[str]) -> None:
    bitsandbytes_is_imported, compile_is_torchs_own, compiler_is_imported = told[0].split()
    assert bitsandbytes_is_imported == "True"  # by peft; once it is not, the module under test can go
    assert compile_is_torchs_own == "True"
    assert compiler_is_imported == "False"


def test_what_is_compiled_late_is_compiled_when_it_is_called(told: list[str]) -> None:
    answers_as_written, compiler_is_imported = told[1].split()
    assert answers_as_written == "True"
    assert compiler_is_imported == "True"
