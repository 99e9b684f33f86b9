"""What only a CUDA card can show. Skipped, with the reason, where there is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefstream import BattleTooLargeError, ModelJudgeConfig, Panel, PanelAnswer
from prefstream.schemas import Battle
from prefstream.scoring.finetune.run import finetune
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.probabilities import Triples
from tests.support.labelled_pairs import SilentObserver, make_recipe, make_rows, read_rows, write_rows
from tests.support.models import make_tiny_base, make_tiny_judge

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

BATTLES = [
    Battle(id=str(number), prompt=("Which?",), response_a=("yes " * (9 * number),), response_b=("no " * number,))
    for number in range(1, 25)
]

Load = Callable[..., ModelJudge]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a tiny judge onto the first card."""

    def load_one(family: Any = "llama", kind: Any = "pairwise", **entry: Any) -> ModelJudge:
        folder = tmp_path / f"{family}-{kind}-{entry.get('hidden_size', 32)}"
        written = make_tiny_judge(folder, family, kind, **{"device": "cuda:0", **entry})
        config = ModelJudgeConfig.model_validate(written)
        return load_judge(config, place_judges([config])[config.name])

    return load_one


def score(judge: ModelJudge) -> Triples:
    scores = judge.score(judge.encode(BATTLES))
    assert not scores.too_large
    return scores.probabilities


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "embeddinggemma", "llama"])
def test_float32_answers_as_on_the_cpu(load: Load, family: str) -> None:
    np.testing.assert_allclose(score(load(family)), score(load(family, device="cpu")), atol=1e-3)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "embeddinggemma", "llama"])
def test_bfloat16_under_autocast_is_near_float32_and_bit_identical(load: Load, family: str) -> None:
    judge = load(family, dtype="bfloat16")
    first, second = score(judge), score(judge)
    assert first.tobytes() == second.tobytes()
    np.testing.assert_allclose(first, score(load(family)), atol=0.06)


def test_dtype_auto_is_bfloat16_on_a_card_that_computes_in_it(load: Load) -> None:
    if not torch.cuda.is_bf16_supported(including_emulation=False):
        pytest.skip("this card does not compute in bfloat16")
    assert load(dtype="auto").provenance.dtype == "bfloat16"


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_a_quantised_judge_answers_near_the_original(load: Load, quantization: str) -> None:
    quantised = load(hidden_size=64, quantization=quantization, dtype="bfloat16")
    np.testing.assert_allclose(score(quantised), score(load(hidden_size=64)), atol=0.25)


def test_two_judges_on_one_card_in_two_threads_answer_what_they_answer_alone(load: Load) -> None:
    judges = [load("gemma2", name="gemma"), load("llama", "pointwise", name="llama")]
    alone = [score(judge) for judge in judges]
    with Panel(judges) as panel:
        batch = panel.encode(BATTLES)
        for _ in range(5):
            answers = panel.score_encoded(batch)
            for place, one in enumerate(answers):
                assert isinstance(one, PanelAnswer)
                for judge, opinion in enumerate(one.judges):
                    assert opinion.probabilities.tie == pytest.approx(alone[judge][place, 2], abs=1e-6)


def test_out_of_memory_halves_the_micro_batch_and_goes_on(load: Load) -> None:
    judge = load("gemma2", hidden_size=256, max_length=2048, micro_batch_tokens=4_000_000)
    long = [
        Battle(id=str(number), prompt=("Which? " * 200,), response_a=("yes " * 400,), response_b=("no " * 400,))
        for number in range(600)
    ]
    free_bytes, total_bytes = torch.cuda.mem_get_info(0)
    # Room for a few sequences' attention, far from room for all of them at once.
    torch.cuda.set_per_process_memory_fraction(min(1.0, 2e9 / total_bytes), 0)
    assert free_bytes > 2e9
    try:
        scores = judge.score(judge.encode(long))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert not scores.too_large
    assert judge.budget_tokens < 4_000_000
    assert np.isfinite(scores.probabilities).all()


def test_a_battle_that_does_not_fit_alone_is_too_large_and_the_rest_is_scored(load: Load) -> None:
    judge = load("gemma2", hidden_size=256, max_length=4096)
    short, giant = BATTLES[0], Battle(id="giant", prompt=("w " * 9000,), response_a=("a",), response_b=("b",))
    _, total_bytes = torch.cuda.mem_get_info(0)
    batch = judge.encode([short, giant, short])
    # One layer's attention weights of 4096 tokens take 134 MB in float32, several times over.
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(0) + 150e6) / total_bytes, 0)
    try:
        scores = judge.score(batch)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    assert list(scores.too_large) == [1]
    assert isinstance(scores.too_large[1], BattleTooLargeError)


def test_closing_gives_the_memory_back(load: Load) -> None:
    judge = load("gemma2", hidden_size=256)
    model = judge._forward._model
    assert model is not None
    weights_bytes = sum(weight.numel() * weight.element_size() for weight in model.parameters())
    del model
    before = torch.cuda.memory_allocated(0)
    judge.close()
    # The libraries' own workspaces stay.
    assert torch.cuda.memory_allocated(0) <= before - weights_bytes


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
def test_fine_tuning_under_autocast_learns_and_serves(tmp_path: Path, quantization: str) -> None:
    """With gradient checkpointing and dropout, as the full-size recipes have it."""
    rows = make_rows(24, prompts=6)
    train, dev = write_rows(tmp_path / "train.jsonl", rows), write_rows(tmp_path / "dev.jsonl", rows[:12])
    make_tiny_base(tmp_path / "base", "llama", hidden_size=64)
    recipe = make_recipe(
        tmp_path / "base",
        kind="pairwise",
        dtype="bfloat16",
        quantization=quantization,
        lora={"rank": 8, "alpha": 16, "dropout": 0.05},
        data={"stages": [{"epochs": 15}], "soft_labels": False},
        step={"weight": 4.0, "gradient_checkpointing": True},
    )
    output = tmp_path / "adapter"
    outcome = finetune(recipe, train, output, dev=dev, observer=SilentObserver())
    assert outcome.metrics["log_loss"] < 0.9
    config = ModelJudgeConfig(
        name="served",
        kind="pairwise",
        base=str(tmp_path / "base"),
        adapter=str(output),
        device="cuda:0",
        dtype="bfloat16",
        quantization=quantization,
        max_length=96,
    )
    judge = load_judge(config, place_judges([config])["served"])
    served = judge.score(judge.encode([one.battle for one in read_rows(dev)])).probabilities
    found = np.loadtxt(output / "dev-predictions.csv", delimiter=",", skiprows=1, usecols=(1, 2, 3))
    # Passes are padded otherwise, and unquantised adapters are merged: bfloat16 rounds otherwise.
    np.testing.assert_allclose(served, found, atol=0.06)
