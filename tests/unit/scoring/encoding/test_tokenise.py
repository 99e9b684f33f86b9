"""User text never becomes a control token, whatever it spells and however the tokenizer flags its tokens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.scoring.encoding.tokenise import TextTokenizer
from prefstream.scoring.errors import ConfigError
from tests.support import tiny_tokenizers as tiny

GEMMA_MARKERS = tiny.GEMMA_SPECIALS[2:]
ORIGINALS: dict[str, Any] = {
    "gemma": tiny.gemma,
    "gemma, turns not flagged": partial(tiny.gemma, turns_special=False),
    "llama3": tiny.llama3,
    "chatml": tiny.chatml,
    "words": tiny.words,
}
MARKERS = {"llama3": tiny.LLAMA3_SPECIALS[:5], "chatml": tiny.CHATML_SPECIALS[1:3]}
TOKENIZERS = {name: TextTokenizer(original(), MARKERS.get(name, GEMMA_MARKERS)) for name, original in ORIGINALS.items()}
HOSTILE = st.lists(st.sampled_from([*tiny.SPECIAL_TEXTS, " ", "\n", "four", "<", "|>"]) | st.text(max_size=8)).map(
    "".join
)


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=HOSTILE)
def test_no_text_becomes_a_control_token(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]
    assert tokenizer.controls.isdisjoint(tokenizer.encode([text])[0])


@pytest.mark.parametrize("special", tiny.SPECIAL_TEXTS)
@pytest.mark.parametrize("name", [name for name in TOKENIZERS if name != "words"])
def test_the_name_of_a_special_token_stays_readable_as_text(name: str, special: str) -> None:
    ids = TOKENIZERS[name].encode([f"a{special}b"])[0]
    assert ORIGINALS[name]().decode(ids) == f"a{special}b"


def test_the_name_of_a_special_token_is_tokenised_like_any_text() -> None:
    """Not spelt by the character, which would make an attack longer than the text it quotes."""
    words = " ".join(tiny.CHATML_SPECIALS)
    expected = tiny.chatml.__wrapped__()(words, split_special_tokens=True)["input_ids"]
    assert TOKENIZERS["chatml"].encode([words]) == [expected]


@given(texts=st.lists(st.text(max_size=40)))
def test_ordinary_text_is_tokenised_as_the_tokenizer_does(texts: list[str]) -> None:
    whole = [tiny.llama3()(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert TOKENIZERS["llama3"].encode(texts) == whole


def test_added_tokens_that_are_not_special_stay_tokens() -> None:
    added = tiny.gemma().convert_tokens_to_ids("\n\n")
    assert TOKENIZERS["gemma"].encode(["a\n\nb"])[0].count(added) == 1


def test_unknown_characters_keep_their_token() -> None:
    assert TOKENIZERS["words"].encode(["four 🦄"]) == [[13, 0]]


def test_unknown_characters_are_left_out_where_their_token_pads() -> None:
    tokenizer = tiny.words.__wrapped__()
    tokenizer.pad_token = tokenizer.unk_token
    assert TextTokenizer(tokenizer, ()).encode(["four 🦄 four"]) == [[13, 13]]


def test_the_callers_tokenizer_is_neither_changed_nor_listened_to() -> None:
    original = tiny.chatml.__wrapped__()
    tokenizer = TextTokenizer(original, ())
    control = original.convert_tokens_to_ids("<|im_end|>")
    assert original("<|im_end|>")["input_ids"] == [control]
    original.backend_tokenizer.enable_truncation(max_length=1)
    original.backend_tokenizer.encode_special_tokens = False
    ids = tokenizer.encode(["four <|im_end|>"])[0]
    assert len(ids) > 1
    assert control not in ids


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_that_nobody_shares_is_taken_and_reads_as_its_copy_does(name: str) -> None:
    original = deepcopy(ORIGINALS[name]())
    original.backend_tokenizer.enable_truncation(max_length=1)
    tokenizer = TextTokenizer(original, MARKERS.get(name, GEMMA_MARKERS), shared=False)
    texts = [*tiny.SENTENCES, " ".join(tiny.SPECIAL_TEXTS)]
    assert tokenizer.encode(texts) == TOKENIZERS[name].encode(texts)
    assert original.backend_tokenizer.truncation is None  # no copy was made


def test_threads_tokenise_side_by_side() -> None:
    tokenizer = TOKENIZERS["chatml"]
    texts = [sentence * 20 for sentence in tiny.SENTENCES]
    expected = tokenizer.encode(texts)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: tokenizer.encode(texts), range(64)))
    assert all(result == expected for result in results)


def test_no_texts_are_no_tokens() -> None:
    assert TOKENIZERS["gemma"].encode([]) == []
    assert TOKENIZERS["gemma"].encode([""]) == [[]]


def test_a_tokenizer_without_the_markers_is_refused_by_their_names() -> None:
    with pytest.raises(ConfigError, match=r"<start_of_turn>, <end_of_turn>"):
        TextTokenizer(tiny.chatml(), ("<|im_end|>", "<start_of_turn>", "<end_of_turn>"))


def test_a_slow_tokenizer_is_refused() -> None:
    slow: Any = object()
    with pytest.raises(ConfigError, match="not a fast tokenizer"):
        TextTokenizer(slow, ())
