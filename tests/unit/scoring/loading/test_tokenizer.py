"""A base's tokenizer: the choice of the pad token, and what does not fit the model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, GemmaTokenizer, TokenizersBackend

from prefstream import LoadError
from prefstream.scoring.loading.tokenizer import load_tokenizer
from tests.support.models import tiny_tokenizer


class Config:
    """What is read of a model's config."""

    vocab_size = 480
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None


def save_tokenizer(folder: Path, family: Any, **roles: str | None) -> Path:
    tokenizer = tiny_tokenizer(family)
    for role, token in roles.items():
        setattr(tokenizer, role, token)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "roles", "pad"),
    [
        ("gemma2", {}, "<pad>"),
        ("llama", {}, "<|finetune_right_pad_id|>"),
        ("chatml", {}, "<|endoftext|>"),
        ("plain", {"pad_token": "</s>"}, "<pad>"),
    ],
)
def test_the_pad_token_is_one_that_ends_nothing(tmp_path: Path, family: Any, roles: dict[str, str], pad: str) -> None:
    tokenizer = load_tokenizer(save_tokenizer(tmp_path, family, **roles), Config())
    assert tokenizer.pad_token == pad


def test_a_tokenizer_without_any_token_to_pad_with_is_refused(tmp_path: Path) -> None:
    class Ends(Config):
        eos_token_id: int | list[int] | None = [0, 2]  # noqa: RUF012 - all that could have padded

    with pytest.raises(LoadError, match=r"pads with <\|im_end\|>, which also begins or ends sequences"):
        load_tokenizer(save_tokenizer(tmp_path, "chatml"), Ends())


def test_a_vocabulary_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    class Small(Config):
        vocab_size = 400

    with pytest.raises(LoadError, match="42 tokens of the tokenizer, from id 400, lie beyond the model's 400"):
        load_tokenizer(save_tokenizer(tmp_path, "llama"), Small())


def test_a_special_token_without_a_role_may_lie_beyond_the_model(tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer("gemma3")
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image_soft_token>"]})
    tokenizer.save_pretrained(tmp_path)
    assert load_tokenizer(tmp_path, Config()).convert_tokens_to_ids("<image_soft_token>") == Config.vocab_size


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "llama", "chatml", "plain"])
def test_what_was_saved_as_used_is_read_as_it_stands_and_as_transformers_would_build_it(
    tmp_path: Path, family: Any
) -> None:
    save_tokenizer(tmp_path, family)
    built, read = AutoTokenizer.from_pretrained(tmp_path), load_tokenizer(tmp_path, Config())
    assert type(read) is TokenizersBackend
    assert read.backend_tokenizer.to_str() == built.backend_tokenizer.to_str()
    assert (read.bos_token_id, read.eos_token_id, read.unk_token_id) == (
        *(built.bos_token_id, built.eos_token_id, built.unk_token_id),
    )


@pytest.mark.parametrize("family", ["gemma3", "chatml"])
def test_what_we_converted_ourselves_is_read_to_the_same_end(tmp_path: Path, family: Any) -> None:
    save_tokenizer(tmp_path, family)
    ours, others = (load_tokenizer(tmp_path, Config(), converted=converted) for converted in (True, False))
    assert ours.backend_tokenizer.to_str() == others.backend_tokenizer.to_str()
    assert repr(ours.added_tokens_decoder) == repr(others.added_tokens_decoder)
    assert (ours.special_tokens_map, ours.all_special_ids) == (others.special_tokens_map, others.all_special_ids)


def test_what_another_version_saved_is_left_to_transformers(tmp_path: Path) -> None:
    path = save_tokenizer(tmp_path, "gemma2") / "tokenizer_config.json"
    settings = json.loads(path.read_bytes())
    path.write_text(json.dumps({**settings, "tokenizer_class": "GemmaTokenizer"}))
    assert type(load_tokenizer(tmp_path, Config())) is TokenizersBackend
    del settings["backend"]
    path.write_text(json.dumps({**settings, "tokenizer_class": "GemmaTokenizer"}))
    assert type(load_tokenizer(tmp_path, Config())) is GemmaTokenizer


def test_a_tokenizer_of_another_family_is_refused(tmp_path: Path) -> None:
    class Other(Config):
        bos_token_id = 7

    with pytest.raises(LoadError, match="begin with token 7 by the model's config"):
        load_tokenizer(save_tokenizer(tmp_path, "gemma2"), Other())
