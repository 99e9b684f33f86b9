"""Padding on the right: who has to be told of it, and that who has not answers the same to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import peft
import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
)

from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.padding import needs_mask, pad
from tests.support.small_configs import PAD, SIZES, WINDOWS

CPU = torch.device("cpu")
LENGTHS = (90, 41, 17, 3)
"""Longer and shorter than a window; the shortest is padded by several."""

LEFT_TO_RIGHT = {
    "llama": LlamaConfig(**SIZES),
    "gemma2": Gemma2Config(**SIZES, **WINDOWS),
    "gemma3": Gemma3TextConfig(**SIZES, **WINDOWS),
    "mistral": MistralConfig(**SIZES, sliding_window=12),
    "qwen2": Qwen2Config(**SIZES),
}
OTHERS = {
    "embeddinggemma": Gemma3TextConfig(**SIZES, **WINDOWS, use_bidirectional_attention=True),
    "a llama that looks ahead": LlamaConfig(**SIZES, is_causal=False),
    "an encoder": BertConfig(
        vocab_size=50, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4
    ),
    # Reads from left to right, but by code of its own: nobody has looked how it finds a sequence's end.
    "gpt2": GPT2Config(vocab_size=50, n_embd=32, n_layer=2, n_head=4, pad_token_id=PAD),
}


def classifier(config: Any, attention: str = "eager") -> Any:
    """With random weights that are the same each time."""
    block_attention.register()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).eval()
        torch.nn.init.normal_(model.get_parameter("score.weight"))
    return model


def sequences() -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(1, 50, (length,), generator=generator).tolist()) for length in LENGTHS]


def test_shorter_sequences_are_filled_on_the_right() -> None:
    ids, mask = pad([np.array([1, 2, 3], dtype=np.int32), (4,)], 99)
    assert ids.tolist() == [[1, 2, 3], [4, 99, 99]]
    assert mask.tolist() == [[1, 1, 1], [1, 0, 0]]


def test_the_width_is_a_multiple_where_it_is_to_be() -> None:
    ids, mask = pad([(1,) * 9, (1,)], 99, multiple=8)
    assert ids.shape == mask.shape == (2, 16)
    assert mask.sum(dim=1).tolist() == [9, 1]


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("family", LEFT_TO_RIGHT)
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_model_that_reads_from_left_to_right_needs_no_mask(family: str, wrapped: bool) -> None:
    model = classifier(LEFT_TO_RIGHT[family])
    if wrapped:
        model = peft.get_peft_model(model, peft.LoraConfig(task_type=peft.TaskType.SEQ_CLS, target_modules=["q_proj"]))
    assert not needs_mask(model, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("family", OTHERS)
def test_any_other_model_keeps_its_mask(family: str) -> None:
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(OTHERS[family])
    assert needs_mask(model, device=CPU, dtype=torch.float32)


def test_a_module_that_says_nothing_of_itself_keeps_its_mask() -> None:
    assert needs_mask(torch.nn.Linear(2, 2), device=CPU, dtype=torch.float32)


@pytest.mark.parametrize(
    ("family", "attention", "dtype", "capability", "expected"),
    [
        ("llama", "sdpa", torch.bfloat16, (9, 0), False),
        ("gemma3", "sdpa", torch.float16, (8, 0), False),
        ("llama", "sdpa", torch.float32, (9, 0), True),  # flash kernels take no float32
        ("llama", "sdpa", torch.float16, (7, 5), True),  # and Turing has none
        ("every head its own keys", "sdpa", torch.float32, (9, 0), False),
        ("gemma2", "eager", torch.float32, (9, 0), False),
    ],
)
def test_on_a_card_a_mask_stays_where_there_is_no_flash_kernel_for_shared_keys(
    monkeypatch: pytest.MonkeyPatch,
    family: str,
    attention: str,
    dtype: torch.dtype,
    capability: tuple[int, int],
    expected: bool,
) -> None:
    """Without one, transformers would have torch take its slowest kernel there."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    config = LEFT_TO_RIGHT.get(family) or LlamaConfig(**{**SIZES, "num_key_value_heads": 4})
    assert needs_mask(classifier(config, attention), device=torch.device("cuda:0"), dtype=dtype) is expected


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        *((family, "eager") for family in LEFT_TO_RIGHT),
        *((family, "sdpa") for family in LEFT_TO_RIGHT if family != "gemma2"),  # it caps logits, which sdpa can't
        *((family, block_attention.NAME) for family in ("llama", "gemma2", "gemma3")),
    ],
)
def test_without_a_mask_answer_and_gradients_are_the_same(family: str, attention: str) -> None:
    """The answer to the bit, also where a window ends inside a sequence; of a gradient another kernel rounds otherwise.

    And what a sequence answers alone, where there is nothing to be masked, is the same up to rounding.
    """
    model = classifier(LEFT_TO_RIGHT[family], attention)
    ids, mask = pad(sequences(), PAD)
    outputs, gradients = [], []
    for inputs in ({"input_ids": ids, "attention_mask": mask}, {"input_ids": ids}):
        model.zero_grad()
        logits = model(**inputs, use_cache=False).logits
        logits.square().sum().backward()
        outputs.append(logits.detach())
        gradients.append({name: one.grad.clone() for name, one in model.named_parameters()})
    assert torch.equal(*outputs)
    for name, gradient in gradients[0].items():
        assert (gradient - gradients[1][name]).norm() <= 1e-5 * gradient.norm(), name
    with torch.inference_mode():
        alone = [model(input_ids=torch.tensor([one]), use_cache=False).logits for one in sequences()]
    torch.testing.assert_close(torch.cat(alone), outputs[1], rtol=1e-5, atol=1e-5)


def test_a_model_that_reads_both_ways_answers_otherwise_without_its_mask() -> None:
    """So that the tests above could fail."""
    model = classifier(OTHERS["embeddinggemma"], "sdpa")
    ids, mask = pad(sequences(), PAD)
    with torch.inference_mode():
        told, untold = (model(input_ids=ids, attention_mask=given, use_cache=False).logits for given in (mask, None))
    assert (told - untold)[1:].abs().max() > 0.01
