"""How a battle is laid out for each family of models.

A template is text around slots. Where the family has special tokens for turns, they alone mark the boundaries: a
user can write their names but never the tokens (`encoding.tokenise` sees to that), so no text can forge the end of
a turn or the start of "response B". The family `plain`, for tokenizers without such tokens, marks turns by words,
which a user can imitate: a judge on such a base can be misled by a response that contains them.

Response A and B are laid out alike; only the letter differs. Every sequence ends with words of the template, so
the token that the head reads is the same for all battles and never depends on a user's text.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from prefstream.schemas import OUTCOMES
from prefstream.scoring.encoding.tokenise import FastTokenizer

Kind: TypeAlias = Literal["pairwise", "pointwise"]
"""pairwise: both responses in one sequence. pointwise: one sequence per response."""

Pooling: TypeAlias = Literal["last", "mean", "answer"]
"""What the head reads of a sequence: the state of its last token, the mean of all tokens' states, or the mean of the
answer's tokens' states and half the last token's."""

Slot: TypeAlias = Literal["prompt", "response_a", "response_b", "answer"]
"""Where a turn goes. `answer` is the one response that a pointwise sequence holds."""

LABELS: Final[dict[Kind, tuple[str, ...]]] = {"pairwise": OUTCOMES, "pointwise": ("score", "tie")}
"""What the outputs of a judge's head mean, in order."""

SLOTS: Final[dict[Kind, tuple[Slot, ...]]] = {
    "pairwise": ("prompt", "response_a", "response_b"),
    "pointwise": ("prompt", "answer"),
}

VERSION: Final = 1
"""Raised whenever the same battle would be encoded otherwise: an adapter reads well only what it was trained on."""

_SLOT = re.compile("{(" + "|".join(get_args(Slot)) + ")}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """The layout of a family for one kind of judge.

    Attributes:
        family: `gemma`, `llama3`, `chatml` or `plain`.
        kind: which slots a round has.
        version: of the layout and of the rules of encoding.
        opening: text before the first round.
        each_round: text of one round; a slot is written `{prompt}`.
        closing: text after the last round; the head reads its last token.
        cut: text that stands where the middle of a turn was left out.
        specials: the special tokens that occur in these texts.
    """

    family: str
    kind: Kind
    version: int = VERSION
    opening: str
    each_round: str
    closing: str
    cut: str = "…"
    specials: tuple[str, ...]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The slots of a round, in their order."""
        return SLOTS[self.kind]

    @property
    def name(self) -> str:
        """Family, kind and version, as preferences state them."""
        return f"{self.family}-{self.kind}-{self.version}"

    @property
    def hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) of everything that decides how a battle is laid out."""
        content = [
            *(self.family, self.kind, self.version),
            *(self.opening, self.each_round, self.closing, self.cut, self.specials),
        ]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def around_slots(self) -> tuple[str, ...]:
        """The texts of a round: before each slot, and after the last one."""
        return tuple(_SLOT.split(self.each_round)[::2])

    def split(self, text: str) -> tuple[str, ...]:
        """Split a text of this template into special tokens and the words between them."""
        if not self.specials:
            return (text,) if text else ()
        pattern = "(" + "|".join(map(re.escape, self.specials)) + ")"
        return tuple(piece for piece in re.split(pattern, text) if piece)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Family:
    """How a family writes a turn: its head with the role, the text, its tail."""

    name: str
    specials: tuple[str, ...] = ()
    opening: str = ""
    head: str
    tail: str
    user: str = "user"
    assistant: str = "assistant"

    def template(self, kind: Kind) -> Template:
        if kind == "pairwise":
            each_round = (
                self._turn(self.user, "{prompt}")
                + self._turn("response A", "{response_a}")
                + self._turn("response B", "{response_b}")
            )
            closing = self._head(self.assistant) + "Better response:"
        else:
            # The family's own chat. The head reads the state in which the model awaits the user's reaction.
            each_round = self._turn(self.user, "{prompt}") + self._turn(self.assistant, "{answer}")
            closing = self._head(self.user)
        return Template(
            family=self.name,
            kind=kind,
            opening=self.opening,
            each_round=each_round,
            closing=closing,
            specials=self.specials,
        )

    def _head(self, role: str) -> str:
        return self.head.replace("{role}", role)

    def _turn(self, role: str, slot: str) -> str:
        return self._head(role) + slot + self.tail


_GEMMA: Final = _Family(
    name="gemma",
    specials=("<bos>", "<start_of_turn>", "<end_of_turn>"),
    opening="<bos>",
    head="<start_of_turn>{role}\n",
    tail="<end_of_turn>\n",
    assistant="model",
)

_LLAMA3: Final = _Family(
    name="llama3",
    specials=("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    opening="<|begin_of_text|>",
    head="<|start_header_id|>{role}<|end_header_id|>\n\n",
    tail="<|eot_id|>",
)

# SmolLM2, Qwen and others; their chats begin without a bos token.
_CHATML: Final = _Family(
    name="chatml",
    specials=("<|im_start|>", "<|im_end|>"),
    head="<|im_start|>{role}\n",
    tail="<|im_end|>\n",
)


def template_for(model_type: str, kind: Kind, tokenizer: FastTokenizer) -> Template:
    """The template of a model: that of its family, if its tokenizer has all of the family's special tokens.

    Args:
        model_type: as in the model's config, such as `gemma2` or `llama`.
        kind: how the judge reads.
        tokenizer: the model's own fast tokenizer.

    Returns:
        The family's template, or `plain` for a tokenizer without a known family's special tokens. `plain` begins
        with the bos token if the tokenizer itself begins every text with it.
    """
    candidates = (_GEMMA,) if model_type.startswith("gemma") else (_LLAMA3, _CHATML)
    for family in candidates:
        if all(tokenizer.backend_tokenizer.token_to_id(token) is not None for token in family.specials):
            return family.template(kind)
    bos = _bos_of_every_text(tokenizer)
    plain = _Family(
        name="plain",
        specials=(bos,) if bos else (),
        opening=bos,
        head="{role}:\n",
        tail="\n\n",
    )
    return plain.template(kind)


def _bos_of_every_text(tokenizer: FastTokenizer) -> str:
    """The bos token if the tokenizer puts it before every text, else nothing."""
    backend = tokenizer.backend_tokenizer
    bos = tokenizer.bos_token_id
    return str(backend.id_to_token(bos)) if bos is not None and backend.encode("").ids[:1] == [bos] else ""
