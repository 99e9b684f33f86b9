"""Templates: the right family for a tokenizer, both responses alike, a hash that pins the layout."""

from __future__ import annotations

from typing import Any

import pytest

from prefstream.scoring.encoding.template import SLOTS, Kind, Template, template_for
from tests.support import tiny_tokenizers as tiny

KINDS: tuple[Kind, ...] = ("pairwise", "pointwise")
FAMILIES = {
    "gemma": ("gemma2", tiny.gemma),
    "llama3": ("llama", tiny.llama3),
    "chatml": ("llama", tiny.chatml),
    "plain": ("llama", tiny.plain),
}


def _template(family: str, kind: Kind) -> Template:
    model_type, tokenizer = FAMILIES[family]
    return template_for(model_type, kind, tokenizer())


@pytest.mark.parametrize(
    ("model_type", "tokenizer", "family"),
    [
        ("gemma", tiny.gemma, "gemma"),
        ("gemma2", tiny.gemma, "gemma"),
        ("gemma3_text", tiny.gemma, "gemma"),
        ("llama", tiny.llama3, "llama3"),
        ("llama", tiny.chatml, "chatml"),
        ("qwen2", tiny.chatml, "chatml"),
        ("llama", tiny.plain, "plain"),
        ("gemma2", tiny.chatml, "plain"),
        ("llama", tiny.gemma, "plain"),
    ],
)
def test_the_family_follows_from_model_type_and_special_tokens(model_type: str, tokenizer: Any, family: str) -> None:
    assert template_for(model_type, "pairwise", tokenizer()).family == family


@pytest.mark.parametrize("family", FAMILIES)
def test_both_responses_are_laid_out_alike(family: str) -> None:
    before_prompt, before_a, before_b, after = _template(family, "pairwise").around_slots()
    assert before_a.replace("response A", "response B") == before_b
    assert before_prompt.replace("user", "response A") == before_a.removeprefix(after)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_round_has_every_slot_once_in_order(family: str, kind: Kind) -> None:
    template = _template(family, kind)
    places = [template.each_round.index(f"{{{slot}}}") for slot in SLOTS[kind]]
    assert places == sorted(places)
    assert len(template.around_slots()) == len(SLOTS[kind]) + 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["gemma", "llama3", "chatml"])
def test_special_tokens_of_the_family_enclose_every_turn(family: str, kind: Kind) -> None:
    template = _template(family, kind)
    for text in template.around_slots():
        assert any(special in text for special in template.specials)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_sequence_ends_in_words_not_in_a_special_token(family: str, kind: Kind) -> None:
    template = _template(family, kind)
    assert template.split(template.closing)[-1] not in template.specials


def test_plain_begins_with_bos_only_where_the_tokenizer_does() -> None:
    assert template_for("mistral", "pairwise", tiny.plain()).opening == ""
    begun = template_for("gemma2", "pairwise", tiny.llama3())
    assert (begun.family, begun.opening) == ("plain", "<|begin_of_text|>")


def test_splitting_separates_special_tokens_from_words() -> None:
    template = _template("chatml", "pointwise")
    assert template.split("<|im_end|>\n<|im_start|>user\n") == ("<|im_end|>", "\n", "<|im_start|>", "user\n")


HASHES = {
    ("gemma", "pairwise"): "6c73711b1a1648d1b9674b7de5bdea97f167ca9c5f8feb5e52bc4f4f9c663f68",
    ("gemma", "pointwise"): "010b6a4cb4308c34d15b2f9c92a883d3ca2c05e2fd2d9b1a5080bd39d94264f7",
    ("llama3", "pairwise"): "18d6825747e88664b78c2bcff023ccdd2a3d68772ca255831497070f18f460c1",
    ("llama3", "pointwise"): "20d404bbc0098794d5684967d0ebf0b7497320b643988f09ec32831891d17ac4",
    ("chatml", "pairwise"): "5abf531ee9ff81972bbbc964fafc61a2b30db132ab454bf3af381d6ca6ea6460",
    ("chatml", "pointwise"): "d4fed6b3008f2776e815b02c4e2d2ed6b154c2e3195f55984e7b0af7e0d7258f",
    ("plain", "pairwise"): "2a0ec5a2f7581869af7e281a7d6795a5cced4644f44ab3fbaa597f66fc490b46",
    ("plain", "pointwise"): "742591daf3e7ee305e899abd6fa753768c157c748867b6eee1002150a9581e88",
}


@pytest.mark.parametrize(("family", "kind"), [(family, kind) for family in FAMILIES for kind in KINDS])
def test_the_hash_pins_the_layout(family: str, kind: Kind) -> None:
    """A change here means that adapters trained before read battles otherwise: raise VERSION and retrain."""
    assert _template(family, kind).hash == HASHES[family, kind]


def test_every_text_of_a_template_is_in_its_hash() -> None:
    base: dict[str, Any] = {
        "family": "x",
        "kind": "pointwise",
        "version": 1,
        "opening": "a",
        "each_round": "b{prompt}c{answer}d",
        "closing": "e",
        "cut": "f",
        "specials": (),
    }
    other: dict[str, Any] = {
        "family": "y",
        "kind": "pairwise",
        "version": 2,
        "opening": "",
        "each_round": "{prompt}{answer}",
        "closing": "a",
        "cut": "",
        "specials": ("f",),
    }
    hashes = {Template(**base).hash} | {Template(**{**base, name: other[name]}).hash for name in other}
    assert len(hashes) == len(base) + 1


def test_the_name_says_family_kind_and_version() -> None:
    assert _template("gemma", "pairwise").name == "gemma-pairwise-1"
