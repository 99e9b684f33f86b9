"""From battles to token ids: the template filled with user text, within `max_length`, with a receipt of the cuts.

What does not fit is left out in two steps. Whole rounds go first, oldest first, until the rest fits or only the last
round remains. If that is still too long, its turns share what room there is (`encoding.truncate`): each keeps its
head and its tail, with the template's cut mark between them.

A pointwise sequence is a function of the prompt and its own answer alone; the other answer changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from prefstream.schemas import Battle, Truncation
from prefstream.scoring.encoding.identity import mask_identity as mask
from prefstream.scoring.encoding.template import Template
from prefstream.scoring.encoding.tokenise import FastTokenizer, TextTokenizer
from prefstream.scoring.encoding.truncate import Shares, allot, first_round_that_fits, head_chars, kept_ends
from prefstream.scoring.errors import ConfigError

READ_CHARS_PER_TOKEN: Final = 32
"""Only this many characters per token of `max_length` are read of one turn (from both its ends), and rounds are read
from the newest back until that many are: a megabyte would take a second to tokenise for the few thousand tokens that
stay. It is eight times what a token of English holds, so what stays is the same; only the receipt of such a giant is
an estimate, by the tokens per character of what was read. A turn whose tokens average more than 32 characters, such
as a hundred thousand spaces, may keep fewer tokens than there is room for."""

_TYPICAL_CHARS_PER_TOKEN: Final = 4
"""For the estimate where nothing was read that could tell: English."""

_DEFAULT_SHARES: Final = Shares()

Turns: TypeAlias = tuple[str, ...]
"""Of the prompt or of one response, oldest first."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """Token ids of one battle for one judge.

    Attributes:
        sequences: pairwise: one; pointwise: two, (prompt, response A) and (prompt, response B).
        truncation: the receipt. Tokens of left-out rounds count as dropped, too. Of a pointwise judge's two
            sequences, `dropped_prompt` and `dropped_rounds` are those of the one that lost more.
    """

    sequences: tuple[tuple[int, ...], ...] = field(repr=False)  # text, to whoever has the tokenizer
    truncation: Truncation

    @property
    def tokens(self) -> int:
        """Tokens of all sequences together."""
        return self.truncation.tokens

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        return max(map(len, self.sequences))


@dataclass(frozen=True, slots=True)
class AnswerMarks:
    """Between which tokens a pointwise sequence has its answers; no text that a user writes becomes one of them.

    Attributes:
        begins: ids right before an answer.
        ends: id right behind it.
    """

    begins: tuple[int, ...]
    ends: int


@dataclass(frozen=True, slots=True)
class _Turn:
    """One turn, tokenised: its ids, and how many characters were read for them and left unread."""

    ids: list[int] = field(repr=False)
    read_chars: int
    unread_chars: int


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one sequence is made from: rounds (oldest first), and the older ones that are out of reach."""

    rounds: Sequence[tuple[str, ...]] = field(repr=False)
    unread_rounds: int
    unread_chars: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Sequence:
    ids: tuple[int, ...] = field(repr=False)
    dropped: tuple[int, ...]
    dropped_rounds: int


class Encoder:
    """Encodes battles for one judge. Deterministic; callable from several threads at once.

    Args:
        tokenizer: the model's fast tokenizer, its pad token already the one that the model pools by.
        template: how a battle is laid out.
        max_length: the most tokens of a sequence.
        shares: how the last round's turns share the room when they don't fit.
        mask_identity: replace phrases in which a response names its maker or itself (`encoding.identity`); prompts
            stay as they are.
        shared: others encode with the tokenizer, too: it is copied, and later changes to it have no effect here.

    Raises:
        ConfigError: `max_length` leaves no room for a token of user text; the tokenizer can't write the template;
            or the template's last token is the pad token, which pooling would skip.
    """

    def __init__(
        self,
        tokenizer: FastTokenizer,
        template: Template,
        *,
        max_length: int,
        shares: Shares = _DEFAULT_SHARES,
        mask_identity: bool = False,
        shared: bool = True,
    ) -> None:
        self.template = template
        self.max_length = max_length
        self.shares = shares
        self.mask_identity = mask_identity
        self._text = TextTokenizer(tokenizer, template.specials, shared=shared)
        self._opening = self._compile(template.opening)
        *self._before_turn, self._after_turns = (self._compile(text) for text in template.around_slots())
        self._closing = self._compile(template.closing)
        self._cut = self._compile(template.cut)
        self._weights = shares.weights(responses=len(template.slots) - 1)
        self._round_overhead = len(self._after_turns) + sum(map(len, self._before_turn))
        self._rounds_budget = max_length - len(self._opening) - len(self._closing)
        self._reach_chars = max_length * READ_CHARS_PER_TOKEN
        self.pad_token = tokenizer.pad_token_id
        self._check(self.pad_token)

    @property
    def vocabulary_hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the tokenizer's tokens with their ids."""
        return self._text.vocabulary_hash

    @property
    def template_tokens(self) -> int:
        """Tokens of a sequence of one round without any user text."""
        return self.max_length - self._rounds_budget + self._round_overhead

    @property
    def last_token(self) -> int:
        """Id of every sequence's last token, which the head reads: it must never be the pad token."""
        return self._closing[-1]

    @property
    def answer_marks(self) -> AnswerMarks:
        """Between which tokens the answers stand.

        Raises:
            ConfigError: the sequences hold two answers, or their turns are marked by words alone.
        """
        before, after = (self.template.split(text) for text in self.template.around_slots()[-2:])
        marked = any(piece in self.template.specials for piece in before) and after[0] in self.template.specials
        if self.template.kind != "pointwise" or not marked:
            raise ConfigError(
                "encoder",
                (f"template {self.template.name} does not mark where one answer stands; use pooling: last or mean",),
            )
        return AnswerMarks(tuple(self._before_turn[-1]), self._after_turns[0])

    def encode(self, battles: Sequence[Battle]) -> list[Encoding]:
        """Encode battles, each within `max_length` tokens per sequence.

        Args:
            battles: as `schemas.parse_battle` gives them.

        Returns:
            One encoding per battle, in order.
        """
        fitted = iter(self._encode([columns for battle in battles for columns in self._columns(battle)]))
        if self.template.kind == "pairwise":
            return [_pairwise(sequence) for sequence in fitted]
        return [_pointwise(first, second) for first, second in zip(fitted, fitted, strict=True)]

    def encode_answers(self, answers: Sequence[tuple[Turns, Turns]]) -> list[tuple[int, ...]]:
        """Encode single answers for a pointwise judge: each the sequence that it would be in any battle.

        Args:
            answers: turns of the prompt and of the response, as many of the one as of the other.
        """
        return [sequence.ids for sequence in self._encode([(prompt, self._read(given)) for prompt, given in answers])]

    def _encode(self, sequences: Sequence[tuple[Turns, ...]]) -> list[_Sequence]:
        """Encode sequences, given as the turns of each slot."""
        readings = [self._plan(columns) for columns in sequences]
        turns = self._tokenise(text for reading in readings for texts in reading.rounds for text in texts)
        return [self._fit(reading, turns) for reading in readings]

    def _compile(self, text: str) -> list[int]:
        """Ids of a text of the template."""
        ids: list[int] = []
        for piece in self.template.split(text):
            ids += [self._text.marker(piece)] if piece in self.template.specials else self._text.encode([piece])[0]
        return ids

    def _check(self, pad_token: int | None) -> None:
        errors = []
        if not self._closing or not all(self._before_turn):
            errors.append(f"the tokenizer has no tokens for the words of template {self.template.name}")
        elif self.last_token == pad_token:
            errors.append(
                f"the pad token is the last token of template {self.template.name}, which pooling would skip; "
                "give the tokenizer a pad token of its own"
            )
        if self.max_length <= self.template_tokens:
            errors.append(
                f"max_length is {self.max_length}, but template {self.template.name} alone takes "
                f"{self.template_tokens} tokens; set it to more than that"
            )
        if errors:
            raise ConfigError("encoder", tuple(errors))

    def _columns(self, battle: Battle) -> tuple[tuple[Turns, ...], ...]:
        """For each sequence, the turns of each slot."""
        response_a, response_b = self._read(battle.response_a), self._read(battle.response_b)
        if self.template.kind == "pairwise":
            return ((battle.prompt, response_a, response_b),)
        return (battle.prompt, response_a), (battle.prompt, response_b)

    def _read(self, response: Turns) -> Turns:
        """A response as this judge gets to read it."""
        return tuple(map(mask, response)) if self.mask_identity else response

    def _plan(self, columns: tuple[Turns, ...]) -> _Reading:
        """Choose the rounds that are worth tokenising: the newest ones, at least one."""
        rounds = list(zip(*columns, strict=True))
        first = len(rounds) - 1
        chars = sum(map(len, rounds[first]))
        while first > 0 and chars <= self._reach_chars:
            first -= 1
            chars += sum(map(len, rounds[first]))
        unread_chars = tuple(sum(map(len, column[:first])) for column in columns)
        return _Reading(rounds[first:], first, unread_chars)

    def _tokenise(self, texts: Iterable[str]) -> dict[str, _Turn]:
        """Tokenise each distinct text in one call; of a giant one only its two ends."""
        distinct = list(dict.fromkeys(texts))
        pieces: list[str] = []
        for text in distinct:
            if len(text) <= self._reach_chars:
                pieces.append(text)
            else:
                head = head_chars(self._reach_chars)
                pieces += (text[:head], text[len(text) - (self._reach_chars - head) :])
        encoded = iter(self._text.encode(pieces))
        turns = {}
        for text in distinct:
            if len(text) <= self._reach_chars:
                turns[text] = _Turn(next(encoded), len(text), 0)
            else:
                turns[text] = _Turn(next(encoded) + next(encoded), self._reach_chars, len(text) - self._reach_chars)
        return turns

    def _fit(self, reading: _Reading, turns: dict[str, _Turn]) -> _Sequence:
        """Leave out what does not fit, and fill the template with the rest."""
        rounds = [[turns[text] for text in texts] for texts in reading.rounds]
        sizes = [self._round_overhead + sum(len(turn.ids) for turn in round_) for round_ in rounds]
        first = first_round_that_fits(sizes, self._rounds_budget)
        kept = [[turn.ids for turn in round_] for round_ in rounds[first:]]
        dropped = [0] * len(self._weights)
        for round_ in rounds[:first]:
            for slot, turn in enumerate(round_):
                dropped[slot] += len(turn.ids)
        if sizes[-1] > self._rounds_budget:
            allowed = allot([len(ids) for ids in kept[0]], self._weights, self._rounds_budget - self._round_overhead)
            for slot, ids in enumerate(kept[0]):
                kept[0][slot], cut = self._shorten(ids, allowed[slot])
                dropped[slot] += cut
        for slot, unread_chars in enumerate(reading.unread_chars):
            dropped[slot] += _estimate([round_[slot] for round_ in rounds], unread_chars)
        return _Sequence(self._assemble(kept), tuple(dropped), reading.unread_rounds + first)

    def _shorten(self, ids: list[int], allowed: int) -> tuple[list[int], int]:
        """A turn within `allowed` tokens, and how many of its own it lost."""
        head, tail, marked = kept_ends(len(ids), allowed, len(self._cut))
        short = ids[:head] + (self._cut if marked else []) + ids[len(ids) - tail :]
        return short, len(ids) - head - tail

    def _assemble(self, rounds: list[list[list[int]]]) -> tuple[int, ...]:
        ids = list(self._opening)
        for turns in rounds:
            for before, turn in zip(self._before_turn, turns, strict=True):
                ids += before
                ids += turn
            ids += self._after_turns
        ids += self._closing
        return tuple(ids)


def _estimate(read: Sequence[_Turn], unread_chars: int) -> int:
    """Tokens of a slot that were never counted, at the rate of those of its turns that were read."""
    unread_chars += sum(turn.unread_chars for turn in read)
    if not unread_chars:
        return 0
    chars = sum(turn.read_chars for turn in read)
    if not chars:
        return -(-unread_chars // _TYPICAL_CHARS_PER_TOKEN)
    return -(-unread_chars * sum(len(turn.ids) for turn in read) // chars)


def _pairwise(sequence: _Sequence) -> Encoding:
    prompt, response_a, response_b = sequence.dropped
    return Encoding(
        sequences=(sequence.ids,),
        truncation=Truncation(
            tokens=len(sequence.ids),
            dropped_prompt=prompt,
            dropped_response_a=response_a,
            dropped_response_b=response_b,
            dropped_rounds=sequence.dropped_rounds,
        ),
    )


def _pointwise(first: _Sequence, second: _Sequence) -> Encoding:
    return Encoding(
        sequences=(first.ids, second.ids),
        truncation=Truncation(
            tokens=len(first.ids) + len(second.ids),
            dropped_prompt=max(first.dropped[0], second.dropped[0]),
            dropped_response_a=first.dropped[1],
            dropped_response_b=second.dropped[1],
            dropped_rounds=max(first.dropped_rounds, second.dropped_rounds),
        ),
    )
