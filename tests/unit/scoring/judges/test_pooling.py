"""What the head reads of a sequence: the last token, the mean or the answer, and never anything of its padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForSequenceClassification

from prefstream.scoring.encoding.encode import AnswerMarks, Encoder
from prefstream.scoring.encoding.template import Kind, Pooling, template_for
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.pooling import answer_tokens, pool
from tests.support.models import Family, tiny_tokenizer
from tests.support.small_configs import PAD, SIZES, WINDOWS

LENGTHS = (1, 3, 17, 40, 90)
"""The shortest is padded by more than a window: a query of padding then sees nothing but padding."""

BASES: dict[str, dict[str, Any]] = {
    "gemma3_text": WINDOWS,
    "gemma3_text both ways": {**WINDOWS, "use_bidirectional_attention": True},
    "llama": {},
}

TOKENIZER = tiny_tokenizer("llama")
ENCODER = Encoder(TOKENIZER, template_for("llama", "pointwise", TOKENIZER), max_length=96)


def classifier(base: str, *, pooling: Pooling = "mean", attention: str = "sdpa") -> Any:
    """Of one family, with random weights that are the same each time."""
    block_attention.register()
    config = AutoConfig.for_model(base.partition(" ")[0], **SIZES, **BASES[base])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).eval()
        torch.nn.init.normal_(model.score.weight)
    pool(model, pooling, ENCODER)
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


@pytest.mark.parametrize("pooling", ["last", "mean", "answer"])
@pytest.mark.parametrize(
    ("base", "attention"),
    [
        *((base, attention) for base in BASES for attention in ("sdpa", "eager")),
        ("gemma3_text", block_attention.NAME),
        ("llama", block_attention.NAME),
    ],
)
def test_a_sequence_answers_alone_what_it_answers_beside_longer_ones(
    base: str, attention: str, pooling: Pooling
) -> None:
    model = classifier(base, pooling=pooling, attention=attention)
    alone, together = logits(model, 1), logits(model, len(LENGTHS) * max(LENGTHS))
    assert alone.std(dim=0).min() > 0.05
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pooling", ["last", "mean", "answer"])
@pytest.mark.parametrize("base", BASES)
def test_every_attention_answers_the_same(base: str, pooling: Pooling) -> None:
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
        pool(AutoModelForSequenceClassification.from_config(config), "mean", ENCODER)


MARKS = AnswerMarks(begins=(1, 2, 3), ends=1)


@given(
    st.lists(
        st.lists(
            st.one_of(st.just((1, 2, 3)), st.just((1,)), st.lists(st.integers(4, 9), max_size=4).map(tuple)),
            max_size=12,
        ),
        min_size=1,
        max_size=4,
    )
)
def test_the_tokens_of_an_answer_are_those_between_its_marks(rows: list[list[tuple[int, ...]]]) -> None:
    """Against a loop that goes through one sequence at a time; nothing of it is known before a turn begins."""
    flat = [[token for piece in row for token in piece] or [9] for row in rows]
    expected = []
    for ids in flat:
        inside, found = False, []
        for place, token in enumerate(ids):
            if tuple(ids[max(0, place - 3) : place]) == MARKS.begins:
                inside = True
            inside = inside and token != MARKS.ends
            found.append(inside)
        expected.append(found)
    width = max(map(len, flat))
    padded = torch.tensor([row + [PAD] * (width - len(row)) for row in flat])
    chosen = answer_tokens(padded, MARKS)
    for row, found in zip(chosen.tolist(), expected, strict=True):
        assert row[: len(found)] == found


@pytest.mark.parametrize("family", ["gemma3", "llama", "chatml"])
def test_of_an_answer_the_mean_of_its_tokens_is_read_and_half_the_last_state(family: Family) -> None:
    """Computed by hand: where the answers stand is known from what they are encoded to alone."""
    tokenizer = tiny_tokenizer(family)
    template = template_for("gemma3_text" if family == "gemma3" else "llama", "pointwise", tokenizer)
    encoder = Encoder(tokenizer, template, max_length=256)
    answers = ("the dog is here", "no", "")
    [ids] = encoder.encode_answers([(("the fox", "why", "fox"), answers)])
    tokens = [tokenizer.encode(answer, add_special_tokens=False) for answer in answers]
    found = answer_tokens(torch.tensor([ids]), encoder.answer_marks)[0]
    assert torch.tensor(ids)[found].tolist() == [token for answer in tokens for token in answer]
    sizes = {**SIZES, "vocab_size": len(tokenizer), "pad_token_id": min(set(range(len(tokenizer))) - set(ids))}
    config = AutoConfig.for_model("gemma3_text" if family == "gemma3" else "llama", **sizes)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="sdpa").eval()
    with torch.inference_mode():
        states = model.model(torch.tensor([ids])).last_hidden_state[0]
        expected = model.score(states[found].mean(dim=0) + states[-1] / 2)
        pool(model, "answer", encoder)
        torch.testing.assert_close(model(torch.tensor([ids])).logits[0], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("family", "kind"), [("plain", "pointwise"), ("llama", "pairwise")])
def test_where_no_mark_tells_one_answer_it_cannot_be_read(family: Family, kind: Kind) -> None:
    tokenizer = tiny_tokenizer(family)
    encoder = Encoder(tokenizer, template_for("llama", kind, tokenizer), max_length=64)
    with pytest.raises(ConfigError, match="does not mark where one answer stands; use pooling: last or mean"):
        pool(classifier("llama", pooling="last"), "answer", encoder)
