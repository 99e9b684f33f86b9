"""Reads encodings back by the template alone, independently of how they were written.

The product keeps control tokens out of user text; here nothing of that code is used. What is a control token follows
from the tokenizer, and the template's own words are tokenised with the parsing of special tokens on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final, TypeAlias

from tokenizers import Tokenizer

from prefstream.schemas import Battle
from prefstream.scoring.encoding.encode import Encoder, Encoding
from prefstream.scoring.encoding.template import Kind, Template, template_for
from tests.support import tiny_tokenizers as tiny

KINDS: Final[tuple[Kind, ...]] = ("pairwise", "pointwise")

FAMILIES: Final[dict[str, tuple[str, Any]]] = {
    "gemma": ("gemma2", tiny.gemma),
    "gemma, turns not flagged": ("gemma2", partial(tiny.gemma, turns_special=False)),
    "llama3": ("llama", tiny.llama3),
    "chatml": ("llama", tiny.chatml),
}
"""Model type and tokenizer of every family whose special tokens mark the turns."""

Round: TypeAlias = list[list[int]]
"""The ids of each slot of one round."""


class LayoutBrokenError(AssertionError):
    """A sequence is not what the template says."""


class LayoutReader:
    """Takes a sequence apart.

    Args:
        tokenizer: the judge's own, unchanged.
        template: how it should be laid out.
    """

    def __init__(self, tokenizer: Any, template: Template) -> None:
        backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
        flagged = {token for token, added in backend.get_added_tokens_decoder().items() if added.special}
        markers = {backend.token_to_id(special) for special in template.specials}
        roles = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id} - {None}
        self.controls = frozenset((flagged | markers | roles) - {tokenizer.unk_token_id})
        self._backend = backend
        self._opening = self.ids(template.opening)
        *self._before_slots, self._after = map(self.ids, template.around_slots())
        self._closing = self.ids(template.closing)

    def ids(self, text: str) -> list[int]:
        """A text of the template, its special tokens parsed."""
        ids: list[int] = self._backend.encode(text, add_special_tokens=False).ids
        return ids

    def text_of(self, ids: Sequence[int]) -> str:
        """What tokens say."""
        text: str = self._backend.decode(list(ids), skip_special_tokens=False)
        return text

    def skeleton(self, sequence: Sequence[int]) -> list[int]:
        """The control tokens of a sequence, in order."""
        return [token for token in sequence if token in self.controls]

    def expected_skeleton(self, rounds: int) -> list[int]:
        """The control tokens that the template has for so many rounds."""
        each = [token for before in self._before_slots for token in before] + self._after
        return self.skeleton([*self._opening, *each * rounds, *self._closing])

    def rounds_of(self, sequence: Sequence[int]) -> list[Round]:
        """The slots of every round.

        Raises:
            LayoutBrokenError: a control token, or a word of the template, does not stand where the template has it.
        """
        left = list(sequence)
        marks = [place for place, token in enumerate(left) if token in self.controls]
        ends = iter([*marks, len(left)])
        place = _after(left, 0, self._opening)
        rounds = []
        while left[place:] != self._closing:
            slots = []
            for before in self._before_slots:
                place = _after(left, place, before)
                end = next(mark for mark in ends if mark >= place)
                slots.append(left[place:end])
                place = end
            place = _after(left, place, self._after)
            rounds.append(slots)
        return rounds


def _after(sequence: list[int], place: int, expected: list[int]) -> int:
    """The place behind `expected`, which must stand at `place`."""
    end = place + len(expected)
    if sequence[place:end] != expected or place >= len(sequence):
        raise LayoutBrokenError(f"at token {place} of {len(sequence)}: not what the template has there")
    return end


@dataclass(frozen=True)
class FuzzedJudge:
    """An encoder, and what reads its encodings back."""

    name: str
    encoder: Encoder
    reader: LayoutReader

    def check(self, battle: Battle, encoding: Encoding) -> None:
        """Fail unless the encoding is a whole, true account of the battle.

        Raises:
            LayoutBrokenError: too long, not laid out by the template, or with a wrong receipt.
        """
        receipt = encoding.truncation
        lengths = [len(sequence) for sequence in encoding.sequences]
        if max(lengths) > self.encoder.max_length:
            raise LayoutBrokenError(f"{max(lengths)} tokens, more than {self.encoder.max_length}")
        if receipt.tokens != sum(lengths):
            raise LayoutBrokenError(f"the receipt counts {receipt.tokens} tokens of {sum(lengths)}")
        rounds = [len(self.reader.rounds_of(sequence)) for sequence in encoding.sequences]
        if min(rounds) < 1 or min(rounds) != len(battle.prompt) - receipt.dropped_rounds:
            raise LayoutBrokenError(
                f"{rounds} rounds of {len(battle.prompt)}, {receipt.dropped_rounds} dropped by receipt"
            )


@cache
def fuzzed_judge(family: str, kind: Kind, max_length: int = 256, *, mask_identity: bool = False) -> FuzzedJudge:
    """A judge's encoder, as the stream would have it.

    Args:
        family: one of `FAMILIES`.
        kind: how it reads.
        max_length: the most tokens of a sequence.
        mask_identity: whether phrases that name a response's maker are masked.
    """
    model_type, make_tokenizer = FAMILIES[family]
    tokenizer = make_tokenizer()
    template = template_for(model_type, kind, tokenizer)
    encoder = Encoder(tokenizer, template, max_length=max_length, mask_identity=mask_identity)
    return FuzzedJudge(template.name, encoder, LayoutReader(tokenizer, template))
