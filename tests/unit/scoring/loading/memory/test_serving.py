"""What a judge takes is counted by running its own code on tensors without contents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from prefstream.scoring.config import Quantization
from prefstream.scoring.known_bases import gemma_2_9b, llama_3_8b
from prefstream.scoring.loading.base_model import load_classifier, open_base
from prefstream.scoring.loading.memory.serving import JudgeMemory, judge_memory
from prefstream.scoring.loading.rounding import Rounding
from tests.support.models import Family, make_tiny_base

GB = 1e9


def take(config: Any, **settings: Any) -> JudgeMemory:
    defaults: dict[str, Any] = {
        "attention": "eager",
        "dtype": torch.bfloat16,
        "quantization": "none",
        "micro_batch_tokens": 8 * 2048,
        "max_length": 2048,
    }
    return judge_memory(config, **defaults | settings)


def scale_bytes(module: torch.nn.Module) -> int:
    """Of a quantised layer: what bitsandbytes keeps beside its weights, without the tables that all layers share."""
    weight = getattr(module, "weight", None)
    if (scales := getattr(weight, "SCB", None)) is not None:
        return int(scales.nbytes)
    if (state := getattr(weight, "quant_state", None)) is not None:
        return int(state.absmax.nbytes + state.state2.absmax.nbytes)
    return 0


@pytest.mark.parametrize("quantization", ["none", "8bit", "4bit"])
@pytest.mark.parametrize("family", ["gemma2", "llama"])
def test_weights_take_what_they_take_when_they_are_loaded(
    tmp_path: Path, family: Family, quantization: Quantization
) -> None:
    make_tiny_base(tmp_path, family)
    base = open_base(str(tmp_path), None, labels=3)
    loaded = load_classifier(
        base, device=torch.device("cpu"), dtype=torch.bfloat16, attention="eager", rounding=Rounding(quantization)
    )
    counted = take(base.config, quantization=quantization, micro_batch_tokens=64, max_length=32)
    scales = sum(map(scale_bytes, loaded.modules()))
    assert (scales > 0) == (quantization != "none")
    assert counted.weights == pytest.approx(loaded.get_memory_footprint(return_buffers=False) + scales, rel=0.005)


def test_an_adapter_beside_a_quantised_base_stays_in_float32(tmp_path: Path) -> None:
    make_tiny_base(tmp_path, "llama")
    config = open_base(str(tmp_path), None, labels=3).config
    settings: dict[str, Any] = {"quantization": "8bit", "micro_batch_tokens": 64, "max_length": 32}
    assert take(config, adapter_weights=1_000, **settings).weights - take(config, **settings).weights == 4_000


def test_an_attention_that_keeps_scores_takes_what_they_take() -> None:
    """Scores of 16 heads, each in float32 and, before and after the softmax, in 16 bits: 10 bytes."""
    scores = 8 * 16 * 2048**2 * 10
    assert take(gemma_2_9b()).one_pass == pytest.approx(scores, rel=0.02)
    blockwise = take(gemma_2_9b(), attention="causal_blocks").one_pass
    assert blockwise < scores / 2.5
    assert take(gemma_2_9b(), attention="flash_attention_2").one_pass == blockwise


def test_of_two_passes_with_as_many_tokens_the_one_with_longer_sequences_takes_more_where_scores_are_kept() -> None:
    long, short = take(gemma_2_9b()), take(gemma_2_9b(), max_length=1024)
    assert long.one_pass > 1.5 * short.one_pass
    without = [take(llama_3_8b(), attention="sdpa", max_length=length).one_pass for length in (2048, 1024)]
    assert without[0] == pytest.approx(without[1], rel=0.05)


def test_one_sequence_is_read_even_where_the_budget_is_smaller() -> None:
    alone = take(llama_3_8b(), attention="sdpa", micro_batch_tokens=1)
    assert alone.one_pass == take(llama_3_8b(), attention="sdpa", micro_batch_tokens=2048).one_pass


def test_a_base_that_reads_both_ways_and_one_with_fewer_layers_than_are_run_are_counted_too(tmp_path: Path) -> None:
    make_tiny_base(tmp_path, "llama")
    config = open_base(str(tmp_path), None, labels=2).config
    config.num_hidden_layers = 1
    settings: dict[str, Any] = {"micro_batch_tokens": 64, "max_length": 32}
    assert take(config, **settings).one_pass > 0
    both_ways = gemma_2_9b()
    both_ways.use_bidirectional_attention = True
    assert take(both_ways, **settings).one_pass > 0


def test_published_sizes_are_met() -> None:
    """9.24 billion weights, and 8.03 without the 0.53 of the head for words."""
    assert take(gemma_2_9b()).weights / 2 / GB == pytest.approx(9.24, abs=0.01)
    assert take(llama_3_8b(), attention="sdpa").weights / 2 / GB == pytest.approx(8.03 - 0.53, abs=0.01)
