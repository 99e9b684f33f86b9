"""Tokenising text that somebody else wrote, so that it can never hold a special token.

A tokenizer parses the names of its special tokens wherever they stand: a response that contains `<|im_end|>` would
end its own turn. Here user text is tokenised with that parsing off, and the result is checked: a control token that
came out all the same (the parsing of added tokens that are not flagged as special can't be turned off) is spelt
character by character instead.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from prefstream.scoring.errors import ConfigError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


class FastTokenizer(Protocol):
    """What is used of a `transformers` fast tokenizer."""

    @property
    def backend_tokenizer(self) -> Any:
        """The `tokenizers.Tokenizer` that does the work."""

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the tokens with a role: bos, eos, pad, additional ones."""

    @property
    def bos_token_id(self) -> int | None:
        """Id of the token that begins a sequence."""

    @property
    def eos_token_id(self) -> int | None:
        """Id of the token that ends a sequence."""

    @property
    def pad_token_id(self) -> int | None:
        """Id of the token that fills up a batch's shorter sequences."""

    @property
    def unk_token_id(self) -> int | None:
        """Id of the token for what the vocabulary lacks."""


class TextTokenizer:
    """Tokenises user text without control tokens: special ones, and those that mark a template's boundaries.

    Its backend is its own, and never changes after construction. So it needs no lock ("Already borrowed" comes from
    changing a backend while another thread encodes with it), threads encode side by side, and no other user of the
    tokenizer can switch the parsing on again.

    Args:
        tokenizer: a fast tokenizer of `transformers`.
        markers: the special tokens of the template.
        shared: others encode with the tokenizer, too, so its backend is copied, which takes 1.2 s and 250 MB for
            Gemma's 262,144 tokens. Otherwise the backend is taken: who gave it may still ask for ids of tokens.

    Raises:
        ConfigError: the tokenizer is not a fast one, or lacks some of the markers.
    """

    def __init__(self, tokenizer: FastTokenizer, markers: Sequence[str], *, shared: bool = True) -> None:
        from tokenizers import Tokenizer  # judges that have no tokenizer import this module, too

        original = getattr(tokenizer, "backend_tokenizer", None)
        if not isinstance(original, Tokenizer):
            raise ConfigError("tokenizer", (f"{type(tokenizer).__name__} is not a fast tokenizer; use one that is",))
        backend = Tokenizer.from_str(original.to_str()) if shared else original
        backend.no_truncation()
        backend.no_padding()
        backend.encode_special_tokens = True  # "encode them as the text they are"
        self._backend = backend
        self._markers = _marker_ids(backend, markers)
        self._controls = _special_ids(tokenizer, backend) | frozenset(self._markers.values())
        self._spellings: dict[int, list[int]] = {}

    @functools.cached_property
    def vocabulary_hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) of all tokens with their ids; made at first use, in a moment."""
        vocabulary = self._backend.get_vocab(with_added_tokens=True)
        digest = hashlib.sha256()
        for token, index in sorted(vocabulary.items(), key=lambda item: item[1]):
            digest.update(f"{index}:{token}\0".encode())
        return digest.hexdigest()

    @property
    def controls(self) -> frozenset[int]:
        """Ids that `encode` never returns."""
        return self._controls

    def marker(self, text: str) -> int:
        """Id of one of the markers."""
        return self._markers[text]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, no control token among them. Callable from any thread.

        Args:
            texts: free of lone surrogates, as every `Battle` is.
        """
        encodings = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [self._without_controls(encoding.ids) for encoding in encodings]

    def _without_controls(self, ids: list[int]) -> list[int]:
        if self._controls.isdisjoint(ids):
            return ids
        clean: list[int] = []
        for token in ids:
            if token in self._controls:
                clean += self._spelling(token)
            else:
                clean.append(token)
        return clean

    def _spelling(self, control: int) -> list[int]:
        """The ids of a control token's characters; those that are themselves control tokens are left out."""
        spelling = self._spellings.get(control)
        if spelling is None:
            characters = list(self._backend.decode([control], skip_special_tokens=False))
            encodings = self._backend.encode_batch_fast(characters, add_special_tokens=False)
            spelling = [token for one in encodings for token in one.ids if token not in self._controls]
            self._spellings[control] = spelling  # a second thread would store the same
        return spelling


def _marker_ids(backend: Tokenizer, markers: Sequence[str]) -> dict[str, int]:
    ids = {marker: backend.token_to_id(marker) for marker in markers}
    missing = [marker for marker, token in ids.items() if token is None]
    if missing:
        raise ConfigError(
            "tokenizer",
            (f"it lacks the template's special tokens {', '.join(missing)}; use the model's own tokenizer",),
        )
    return {marker: token for marker, token in ids.items() if token is not None}


def _special_ids(tokenizer: FastTokenizer, backend: Tokenizer) -> frozenset[int]:
    """Every special id, but not the one that stands for unknown characters: a text may have such characters.

    An unknown token that plays another role too stays special; unknown characters are then left out.
    """
    flagged = {token for token, added in backend.get_added_tokens_decoder().items() if added.special}
    special = flagged | set(tokenizer.all_special_ids)
    roles = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id not in roles:
        special.discard(tokenizer.unk_token_id)
    return frozenset(special)
