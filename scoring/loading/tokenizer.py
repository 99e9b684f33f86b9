"""A base model's config, and its tokenizer, refused unless it fits the model, with a pad token of its own.

transformers finds the token to read by looking for the last one that is not padding. A pad token that also ends
turns (SmolLM2's own choice) makes it read one too early: 0.6 off in probability, seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from prefstream.scoring.errors import LoadError
from prefstream.scoring.loading.sources import first_line
from prefstream.scoring.loading.weights import read_settings

_PAD_NAMES: Final = (
    "<pad>",
    "[PAD]",
    "<|pad|>",
    "<|finetune_right_pad_id|>",  # Llama 3.1 and later
    "<|endoftext|>",  # SmolLM2, Qwen: unused where turns end in <|im_end|>
    "<|reserved_special_token_0|>",  # Llama 3
    "<|fim_pad|>",
    "<unk>",
)
"""Tokens that can pad, best first; those that begin or end sequences are passed over."""


def load_config(folder: Path, labels: int) -> Any:
    """Load a base model's config.

    Args:
        folder: of the base model.
        labels: outputs of the classification head.

    Raises:
        LoadError: there is none, or none that transformers knows.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, num_labels=labels, trust_remote_code=False, local_files_only=True)
    except (OSError, ValueError, KeyError) as error:
        raise LoadError(f"{folder}: its config can't be loaded: {first_line(error)}") from error


def load_tokenizer(folder: Path, config: Any, *, converted: bool = False) -> Any:
    """Load a fast tokenizer and settle its pad token, always the same for the same folder.

    Args:
        folder: of the base model.
        config: the base model's config.
        converted: by us, for the demo (`scoring.demo.convert`): then the model is known to have an embedding for every
            token, and tokenizer.json to have all of them.

    Raises:
        LoadError: there is no tokenizer, it is not a fast one, it belongs to another model, or none of its tokens
            can pad.
    """
    from transformers import AutoTokenizer, TokenizersBackend

    opener: Any = TokenizersBackend if _is_saved_as_used(folder) else AutoTokenizer
    # Told that there is nothing to add, transformers copies no list of what is there already.
    told: dict[str, Any] = {"added_tokens_decoder": {}} if converted else {}
    try:
        tokenizer = opener.from_pretrained(folder, trust_remote_code=False, local_files_only=True, **told)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise LoadError(f"{folder}: its tokenizer can't be loaded ({type(error).__name__}); is it complete?") from error
    if not getattr(tokenizer, "is_fast", False):
        raise LoadError(f"{folder}: its tokenizer is not a fast one; convert it to tokenizer.json")
    if not converted:
        _verify_vocabulary(folder, tokenizer, config)
    _verify_beginning(folder, tokenizer, config)
    tokenizer.pad_token = _choose_pad(folder, tokenizer, config)
    return tokenizer


def _is_saved_as_used(folder: Path) -> bool:
    """Whether tokenizer.json is the tokenizer as it was in use, written by transformers 5.

    Then it is read as it stands. By itself transformers takes some apart and builds them anew to the same end, Gemma's
    among them, which for 262,144 tokens takes as long again.
    """
    settings = read_settings(folder / "tokenizer_config.json")
    return (
        settings.get("backend") == "tokenizers"
        and "auto_map" not in settings  # code, which transformers is there to refuse
        and (folder / "tokenizer.json").is_file()
    )


def _verify_vocabulary(folder: Path, tokenizer: Any, config: Any) -> None:
    """Refuse a tokenizer that can put out ids which the model has no embedding for."""
    size = config.vocab_size
    # Special tokens are never made from a user's text: one without an embedding (Gemma 3's image token on a
    # text-only model) does no harm as long as it has no role.
    unreachable = {index for index, token in tokenizer.added_tokens_decoder.items() if token.special}
    roles = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id} - {None}
    # Counting those within takes half the time of listing all, and where that is how many there are, none is beyond.
    within = sum(token is not None for token in map(tokenizer.backend_tokenizer.id_to_token, range(size)))
    all_tokens = {} if within == len(tokenizer) else tokenizer.get_vocab()
    beyond = sorted(index for index in all_tokens.values() if index >= size and index not in unreachable - roles)
    if beyond:
        raise LoadError(
            f"{folder}: {len(beyond)} tokens of the tokenizer, from id {beyond[0]}, lie beyond the model's "
            f"{size} embeddings; use the tokenizer that the model was made with"
        )


def _verify_beginning(folder: Path, tokenizer: Any, config: Any) -> None:
    """Refuse a tokenizer that begins sequences in another way than the model does."""
    expected = config.bos_token_id
    if isinstance(expected, int) and tokenizer.bos_token_id not in {None, expected}:
        raise LoadError(
            f"{folder}: sequences begin with token {expected} by the model's config, with {tokenizer.bos_token_id} "
            "by the tokenizer; use the tokenizer that the model was made with"
        )


def _choose_pad(folder: Path, tokenizer: Any, config: Any) -> str:
    """A token that is in the vocabulary, in the embeddings, and neither begins nor ends anything."""
    taken = {tokenizer.bos_token_id, *_ids(config.bos_token_id), *_ids(config.eos_token_id), tokenizer.eos_token_id}
    own = tokenizer.pad_token
    candidates = [own, *_PAD_NAMES] if own is not None else list(_PAD_NAMES)
    for candidate in candidates:
        index = tokenizer.backend_tokenizer.token_to_id(candidate)
        if index is not None and index < config.vocab_size and index not in taken:
            return str(candidate)
    was = "has no pad token" if own is None else f"pads with {own}, which also begins or ends sequences"
    raise LoadError(
        f"{folder}: the tokenizer {was}, and has none of {', '.join(_PAD_NAMES)} to take instead; "
        "add one of them to the tokenizer's and the model's vocabulary"
    )


def _ids(setting: int | Iterable[int] | None) -> tuple[int, ...]:
    """Configs give one id, several, or none."""
    if setting is None:
        return ()
    return (setting,) if isinstance(setting, int) else tuple(setting)
