"""A tokenizer's file is read faster without the merges that no text comes to, and gives the same tokens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from prefstream.scoring.demo.merges import keep_needed_merges, last_merge, needed_merges

LETTERS = "abc"
UNKNOWN = "<unk>"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

Merges = list[tuple[str, str]]


@st.composite
def merges_of_a_vocabulary(draw: st.DrawFn) -> Merges:
    """Every way to put its tokens together from two others, in any order."""
    longer = draw(st.sets(st.text(LETTERS, min_size=2, max_size=6), max_size=30))
    known = {*LETTERS, *longer}
    ways = [(word[:cut], word[cut:]) for word in sorted(longer) for cut in range(1, len(word))]
    return draw(st.permutations([way for way in ways if known.issuperset(way)]))


def tokenizer(merges: Merges, *, byte_fallback: bool = False) -> Tokenizer:
    tokens = [UNKNOWN, *BYTES, *LETTERS, *map("".join, merges), *(part for merge in merges for part in merge)]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, unk_token=UNKNOWN, fuse_unk=True, byte_fallback=byte_fallback)
    )


@given(merges_of_a_vocabulary(), st.lists(st.text(LETTERS + "é", max_size=40), min_size=1, max_size=20), st.booleans())
def test_every_text_has_the_same_tokens(merges: Merges, texts: list[str], byte_fallback: bool) -> None:
    whole = tokenizer(merges, byte_fallback=byte_fallback)
    content = json.loads(whole.to_str())
    content["model"]["merges"] = needed_merges(merges, UNKNOWN)
    fewer = Tokenizer.from_str(json.dumps(content))
    assert [fewer.encode(text).ids for text in texts] == [whole.encode(text).ids for text in texts]


@given(merges_of_a_vocabulary())
def test_of_the_ways_to_make_a_token_one_is_left(merges: Merges) -> None:
    made = ["".join(merge) for merge in needed_merges(merges, UNKNOWN)]
    assert len(made) == len(set(made))


def test_the_way_that_is_left_is_the_one_by_which_the_token_comes_about() -> None:
    merges = [("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c")]
    assert last_merge("abc", {merge: rank for rank, merge in enumerate(merges)}) == ("ab", "c")
    assert needed_merges(merges, UNKNOWN) == [("a", "b"), ("b", "c"), ("ab", "c")]


def test_a_token_that_no_text_has_is_known_for_that() -> None:
    merges = [("b", "c"), ("a", "b"), ("ab", "c")]
    assert last_merge("abc", {merge: rank for rank, merge in enumerate(merges)}) is None


@pytest.mark.parametrize("atom", [BYTES[0xC3], UNKNOWN])
def test_what_is_made_of_tokens_for_no_character_is_left_as_it_is(atom: str) -> None:
    merges = [("b", "c"), (atom, "bc"), (atom, "b"), (f"{atom}b", "c")]
    assert needed_merges(merges, UNKNOWN) == merges


def test_of_merges_that_occur_twice_none_is_left_out() -> None:
    merges = [("a", "b"), ("b", "c"), ("a", "bc"), ("ab", "c"), ("b", "c")]
    assert needed_merges(merges, UNKNOWN) == merges


@pytest.mark.parametrize("letters", ["abc", "a b", "#version"], ids=["plain", "with a space", "like a comment"])
def test_a_file_that_is_rewritten_is_shorter_and_read_as_before(tmp_path: Path, letters: str) -> None:
    merges = [(letters[:cut], letters[cut]) for cut in range(1, len(letters))]
    vocabulary = {token: index for index, token in enumerate(sorted({*letters, *map("".join, merges)}))}
    whole = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    path = tmp_path / "tokenizer.json"
    whole.save(str(path))
    before = path.stat().st_size
    keep_needed_merges(path)
    assert path.stat().st_size < before
    read = Tokenizer.from_file(str(path))
    assert read.encode(letters + letters[:2]).ids == whole.encode(letters + letters[:2]).ids
    assert len(read.encode(letters).ids) == 1


def test_a_tokenizer_of_words_keeps_all_that_it_has(tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"one": 0, "two": 1}, unk_token="one"))  # noqa: S106 - a token of text
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    path = tmp_path / "tokenizer.json"
    words.save(str(path))
    keep_needed_merges(path)
    assert Tokenizer.from_file(str(path)).to_str() == words.to_str()
