"""Whose models a judge may favour because they are its own: the one table of makers and their models' names.

A family is all models of one maker: they are trained on each other's data and answers, and a judge made from one of
them is at home in their style (Panickssery et al. 2024, "LLM evaluators recognize and favor their own generations").
What others fine-tuned from an open base under a name of its own (Vicuna and Alpaca from Llama, Zephyr from Mistral) is
no member: it learnt to answer from another model, ChatGPT in most cases.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

MAKERS: Final[Mapping[str, tuple[str, ...]]] = {
    "Google": ("gemma", "embeddinggemma", "gemini", "palm-", "palm 2", "bard", "flan"),
    "Meta": ("llama", "meta-llama", "codellama", "code llama"),
    "Hugging Face": ("smollm",),
    "Mistral AI": ("mistral", "mixtral", "ministral", "codestral", "magistral", "pixtral"),
    "Alibaba": ("qwen", "qwq"),
    "DeepSeek": ("deepseek",),
    "Microsoft": ("phi-",),
    "OpenAI": ("gpt-3", "gpt-4", "gpt-5", "gpt-oss", "gpt3", "gpt4", "gpt 3", "gpt 4", "chatgpt", "o1", "o3", "o4"),
    "Anthropic": ("claude",),
    "Cohere": ("command", "c4ai", "aya"),
    "01.AI": ("yi-",),
    "Zhipu AI": ("glm", "chatglm"),
    "Shanghai AI Laboratory": ("internlm",),
    "IBM": ("granite",),
    "Allen Institute for AI": ("olmo", "tulu"),
    "TII": ("falcon",),
    "Nvidia": ("nemotron",),
}
"""By maker, how the names of its models begin, in small letters; leaderboards write some of them with blanks."""

ANY_OWNER: Final = "*/"
"""Before a model's name, where it stands as on a hub."""


def family_of(base: str) -> tuple[str, ...]:
    """Patterns of the models that are of one family with a base; none where its name tells no maker.

    Args:
        base: hub id or folder name of a judge's base, such as `google/gemma-2-9b-it`; of several makers in it the
            first one counts: a `deepseek-r1-distill-llama-8b` is DeepSeek's.
    """
    name = re.split(r"[/:]", base.lower())[-1]
    found = [
        (place.start(), words)
        for words in MAKERS.values()
        for word in words
        if (place := re.search(rf"(?<![a-z0-9]){re.escape(word)}", name))
    ]
    words = min(found)[1] if found else ()
    return (*(f"{word}*" for word in words), *(f"{ANY_OWNER}{word}*" for word in words))
