"""Masking: what counts as a claim about the speaker, what stays a topic, and the promises about time and length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.encoding.identity import MAX_GROWTH, mask_identity

MASKED = [
    ("As Gemma, I cannot do that.", "As an AI assistant, I cannot do that."),
    (
        "As Gemma, an open-weights AI model by Google DeepMind, I can help.",
        "As an AI assistant, an open-weights AI model by its developer, I can help.",
    ),
    ("Speaking as ChatGPT, my view is this.", "Speaking as an AI assistant, my view is this."),
    ("I'm a language model trained by OpenAI.", "I'm a language model trained by its developer."),
    ("I am ChatGPT", "I am an AI assistant"),
    ("i am chatgpt.", "i am an AI assistant."),
    (
        "I am ChatGPT, a large language model trained by OpenAI, based on the GPT-4 architecture.",
        "I am an AI assistant, a large language model trained by its developer, based on an AI assistant.",
    ),
    ("As an AI developed by Anthropic, I try.", "As an AI developed by its developer, I try."),
    (
        "As an AI developed by OpenAI and based on GPT-4, I try.",
        "As an AI developed by its developer and based on an AI assistant, I try.",
    ),
    (
        "I'm Gemma, an open-weights AI assistant created by Google DeepMind.",
        "I'm an AI assistant, an open-weights AI assistant created by its developer.",
    ),
    (
        "I am Vicuna, a model trained by researchers from Large Model Systems Organization (LMSYS).",
        "I am an AI assistant, a model trained by researchers from its developer (its developer).",
    ),
    (
        "My name is Claude, and I was created by Anthropic.",
        "My name is an AI assistant, and I was created by its developer.",
    ),
    (
        "I am an AI language model named Claude, made by Anthropic.",
        "I am an AI language model named an AI assistant, made by its developer.",
    ),
    (
        "I was developed by a team of researchers at Google.",
        "I was developed by a team of researchers at its developer.",
    ),
    ("I was built by a team of about 75 AI developers at DeepMind", None),
    ("OpenAI trained me on text.", "its developer trained me on text."),
    ("Anthropic, the company that created me, says so.", "its developer, the company that created me, says so."),
    (
        "I was created by OpenAI, the company behind ChatGPT.",
        "I was created by its developer, the company behind an AI assistant.",
    ),
    ("I was trained by Google and Stanford.", "I was trained by its developer and its developer."),
    ("I'm not ChatGPT, I'm Claude 3.5 Sonnet.", "I'm not another AI assistant, I'm an AI assistant."),
    ("You can call me Open Assistant or what you like", "You can call me an AI assistant or what you like"),
    ("I, OpenAssistant, will be different", "I, an AI assistant, will be different"),
    ("I am a GPT-4 model developed by OpenAI.", "I am an AI assistant developed by its developer."),
    ("I'm Google's AI assistant.", "I'm an AI assistant."),
    ("I’m a Gemini model from Google.", "I’m an AI assistant from its developer."),
    ("I run on Llama 3.", "I run on an AI assistant."),
    ("My architecture is based on GPT-3.5-turbo.", "My architecture is based on an AI assistant."),
    ("my creators at OpenAI decided", "my creators at its developer decided"),
    (
        "I am DeepSeek-V3, an assistant created by DeepSeek.",
        "I am an AI assistant, an assistant created by its developer.",
    ),
    ("I'm Mistral, a Large Language Model (LLM) made by Mistral AI", None),
    ("I'm\nClaude.\n\nI was made by Anthropic.", "I'm\nan AI assistant.\n\nI was made by its developer."),
]
"""None: only that no name is left."""

KEPT = [
    "ChatGPT is a chatbot developed by OpenAI.",
    "OpenAI was founded in 2015; it made ChatGPT, and Google made Gemini.",
    "As an AI language model, I can tell you about OpenAI, which was founded in 2015.",
    "I am a language model, but I can compare ChatGPT by OpenAI with Claude by Anthropic.",
    "As a language model developed by Google, PaLM can do this.",
    "PaLM serves as a language model developed by Google, and I like it.",
    "I'm sadly not as capable as ChatGPT.",
    "I use ChatGPT every day. My app is built on GPT-4.",
    "I think Google's large language model is good.",
    "I can list tools such as ChatGPT, I think.",
    "I am a fan of the AI made by Google.",
    "I'm a developer using an AI model from OpenAI.",
    "I am an AI researcher at Google. I'm a Google engineer.",
    "I'm Microsoft Certified, and I was at Google yesterday.",
    "I recommend asking Google. I need an API key for Google Maps.",
    "I am Claude Monet, a painter.",
    "I'm a Gemini, so I like talking. I am a llama with a hat.",
    "My dog's name is Gemma.",
    "As Claude entered the room, I left.",
    "As Google, Apple and Microsoft grew, I watched.",
    "Apple made me an offer. Amazon made me wait.",
    "The model was trained by Google.",
    "I was trained by an AI assistant, and its developer made me.",
]

FRAGMENTS = [
    *(
        "I am ",
        "I'm ",
        "As ",
        "as an AI model ",
        "I was ",
        "my name is ",
        "call me ",
        "I, ",
        "My creators at ",
        "a ",
        "the ",
    ),
    *("trained ", "developed and created ", "by ", "from ", "based on ", "powered by ", "not ", "but ", "and ", "or "),
    *("ChatGPT", "GPT-4", "Claude", "Gemini", "Llama 3", "OpenAI", "Google", "Google's", "DeepMind", "xAI", "Meta AI"),
    *("an AI assistant", "another AI assistant", "its developer", " model", " large language model", " (LLM)", " me"),
    *(
        " trained me",
        ", my creator",
        ", ",
        " ",
        "\n",
        ". ",
        ", I ",
        " Monet",
        "named ",
        "a team of ",
        "researchers at ",
    ),
    *(", the company behind ", " (", ")", "/", "'s ", "-like ", "x"),
]
NAMES = ("ChatGPT", "GPT", "Claude", "Gemini", "Llama", "OpenAI", "Google", "DeepMind", "xAI", "Meta")
TEXT = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=25).map("".join)
CLAIMS = st.lists(st.sampled_from([one for one in FRAGMENTS if not one.startswith(NAMES)]), max_size=25).map("".join)


@pytest.mark.parametrize(("text", "expected"), MASKED, ids=[text for text, _ in MASKED])
def test_what_a_text_says_about_its_speaker_is_masked(text: str, expected: str | None) -> None:
    masked = mask_identity(text)
    if expected is None:
        assert not [name for name in (*NAMES, "Mistral") if name in masked]
    else:
        assert masked == expected


@pytest.mark.parametrize("text", KEPT)
def test_a_topic_is_kept(text: str) -> None:
    assert mask_identity(text) is text


@given(TEXT)
def test_masking_twice_changes_nothing(text: str) -> None:
    masked = mask_identity(text)
    assert mask_identity(masked) == masked


@given(TEXT)
def test_a_masked_text_is_bounded(text: str) -> None:
    assert len(mask_identity(text)) <= MAX_GROWTH * len(text)


@given(st.text() | CLAIMS)
def test_a_text_without_names_is_the_same_object(text: str) -> None:
    assert mask_identity(text) is text


HOSTILE = {
    "claims": "I am ",
    "claimed names": "I am GPT, ",
    "names": "GPT ",
    "a list of makers": "made by xAI,xAI,xAI,xAI,xAI,xAI,xAI,xAI,xAI,",
    "articles": "the ",
    "possessives": "Google's ",
    "versions": "GPT-1.1.1.1.1.1.1.1.1.1.1",
    "one version": "1.",
    "spaces": " ",
    "line breaks": "\n",
    "spaces before a name": " " * 150 + "GPT",
    "spaces before a comma": "I was made by GPT" + " " * 150 + ",",
    "descriptions": "I am a " * 22 + "OpenAI ",
    "nested descriptions": "as an as a " * 13 + "GPT ",
    "brackets": "I am an AI (" * 13 + "OpenAI ",
    "verbs": "I was " + "made and " * 17 + "OpenAI ",
    "teams": "I was made by the " + "team of " * 17 + "OpenAI ",
    "adjectives": "the Google large large large ",
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_a_megabyte_of_anything_is_masked_in_linear_time(unit: str) -> None:
    """Measured at 2 s for the worst on a busy machine; a regular expression that backtracks would take days."""
    text = unit * (1_000_000 // len(unit))
    started = time.process_time()
    masked = mask_identity(text)
    assert time.process_time() - started < 20
    assert len(masked) <= MAX_GROWTH * len(text)
