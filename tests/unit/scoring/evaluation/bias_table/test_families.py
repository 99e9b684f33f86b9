"""Which models are a judge's own: by the name of its base, and by patterns."""

from __future__ import annotations

import pytest

from prefstream.scoring.evaluation.bias_table.families import MAKERS, family_of
from prefstream.scoring.panel.recusal import named_like


@pytest.mark.parametrize(
    ("base", "own", "others"),
    [
        ("google/gemma-2-9b-it", ("gemma-7b-it", "gemini-pro-dev-api", "PaLM 2 Bison", "bard"), ("palmyra-x", "gpt-4")),
        ("demo:gemma", ("google/gemma-2-2b-it",), ("llama-2-7b-chat",)),
        ("meta-llama/Meta-Llama-3-8B-Instruct", ("llama-2-70b-chat", "LLaMA-2-Chat (7B)", "codellama-34b-instruct",
                                                 "Code Llama Instruct (13B)", "meta-llama-3-70b"),
         ("vicuna-13b", "alpaca-13b", "koala-13b")),
        ("demo:smollm", ("SmolLM2-1.7B-Instruct",), ("llama-2-7b-chat", "zephyr-7b-beta")),
        ("deepseek-ai/DeepSeek-R1-Distill-Llama-8B", ("deepseek-llm-67b-chat",), ("llama-2-7b-chat",)),
        ("/models/gemma-3-270m", ("gemma-2b",), ("claude-1",)),
    ],
)  # fmt: skip
def test_a_family_is_the_models_of_the_bases_maker(base: str, own: tuple[str, ...], others: tuple[str, ...]) -> None:
    is_own = named_like(family_of(base))
    assert all(map(is_own, own))
    assert not any(map(is_own, others))


@pytest.mark.parametrize("base", ["my-judge", "", "dolphin-phixtral"])
def test_a_name_that_tells_no_maker_has_no_family(base: str) -> None:
    assert family_of(base) == ()


def test_no_model_is_of_two_makers() -> None:
    """What one maker's names begin with begins no other's."""
    words = [(maker, word) for maker, words in MAKERS.items() for word in words]
    clashes = [
        (one, other) for maker, one in words for owner, other in words if maker != owner and one.startswith(other)
    ]
    assert clashes == []
