"""What the head reads of a sequence: the last token or the mean, and never anything of its padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from prefstream.scoring.errors import LoadError
from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.pooling import pool_by_mean
from tests.support.small_configs import PAD, SIZES, WINDOWS

LENGTHS = (1, 3, 17, 40, 90)
"""The shortest is padded by more than a window: a query of padding then sees nothing but padding."""

BASES: dict[str, dict[str, Any]] = {
    "gemma3_text": WINDOWS,
    "gemma3_text both ways": {**WINDOWS, "use_bidirectional_attention": True},
    "llama": {},
}


def classifier(base: str, *, pooling: str = "mean", attention: str = "sdpa") -> Any:
    """Of one family, with random weights that are the same each time."""
    block_attention.register()
    config = AutoConfig.for_model(base.partition(" ")[0], **SIZES, **BASES[base])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).eval()
        torch.nn.init.normal_(model.score.weight)
    if pooling == "mean":
        pool_by_mean(model)
    return model


def sequences() -> list[tuple[int, ...]]:
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.randint(1, 50, (length,), generator=generator).tolist()) for length in LENGTHS]


def logits(model: Any, budget_tokens: int) -> torch.Tensor:
    forward = Forward(
        model,
        judge="j",
        device=torch.device("cpu"),
        dtype=torch.float32,
        pad_id=PAD,
        outputs=2,
        budget_tokens=budget_tokens,
    )
    return torch.from_numpy(forward.logits(sequences()).values)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize(
    ("base", "attention"),
    [
        *((base, attention) for base in BASES for attention in ("sdpa", "eager")),
        ("gemma3_text", block_attention.NAME),
        ("llama", block_attention.NAME),
    ],
)
def test_a_sequence_answers_alone_what_it_answers_beside_longer_ones(base: str, attention: str, pooling: str) -> None:
    model = classifier(base, pooling=pooling, attention=attention)
    alone, together = logits(model, 1), logits(model, len(LENGTHS) * max(LENGTHS))
    assert alone.std(dim=0).min() > 0.05
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "mean"])
@pytest.mark.parametrize("base", BASES)
def test_every_attention_answers_the_same(base: str, pooling: str) -> None:
    found = [logits(classifier(base, pooling=pooling, attention=name), 400) for name in ("sdpa", "eager")]
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("base", BASES)
def test_the_mean_is_that_of_the_states_of_real_tokens(base: str) -> None:
    """Computed by hand, of the backbone that nothing was done to."""
    plain = classifier(base, pooling="last")
    with torch.inference_mode():
        states = [plain.model(torch.tensor([ids])).last_hidden_state for ids in sequences()]
        expected = torch.cat([plain.score(one.mean(dim=1)) for one in states])
    torch.testing.assert_close(logits(classifier(base), 200), expected, rtol=1e-5, atol=1e-5)


def test_a_model_that_reads_both_ways_tells_what_comes_after_its_first_token() -> None:
    """And one that looks back alone does not: the state of the first token, in a window's reach and beyond it."""
    changed = {}
    for base in ("gemma3_text", "gemma3_text both ways"):
        model = classifier(base, pooling="last")
        ids = torch.tensor([sequences()[-1]] * 2)
        ids[1, -1] = ids[1, -1] % 49 + 1
        with torch.inference_mode():
            first = model.model(ids).last_hidden_state[:, 0]
        changed[base] = bool((first[0] - first[1]).abs().max() > 1e-6)
    assert changed == {"gemma3_text": False, "gemma3_text both ways": True}


def test_what_padding_computes_never_reaches_the_mean() -> None:
    model = classifier("llama")
    ids = torch.tensor([[5, 7, PAD, PAD]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        model.model.norm.register_forward_hook(
            lambda _module, _args, states: states.masked_fill(ids.eq(PAD)[..., None], float("nan"))
        )
        assert torch.equal(model(input_ids=ids).logits, before)


def test_gradients_reach_every_real_token_alike() -> None:
    model = classifier("llama")
    states: list[torch.Tensor] = []

    def keep(_module: Any, _args: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        states.append(output)

    model.model.norm.register_forward_hook(keep)
    model(input_ids=torch.tensor([[5, 7, 9, PAD]])).logits.sum().backward()
    assert states[0].grad is not None
    one, *others, padding = states[0].grad[0]
    assert one.abs().max() > 0
    assert all(torch.allclose(one, other) for other in others)
    assert padding.eq(0).all()


def test_a_classifier_that_reads_by_layers_of_its_own_is_refused() -> None:
    config = AutoConfig.for_model("bert", vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    with pytest.raises(LoadError, match="use pooling: last"):
        pool_by_mean(AutoModelForSequenceClassification.from_config(config))
