"""Sharing a token budget among the parts of a round, and cutting what does not fit. Knows no tokenizer.

All of it is arithmetic on lengths that treats equal parts equally: exchanging two responses exchanges their cuts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from prefstream.scoring.errors import ConfigError

_HEAD_PARTS: Final = 2
_ALL_PARTS: Final = 3
"""Of a cut turn, two thirds of what stays are its beginning, where an answer says whether and how it answers; one
third its end, where conclusions and a long prompt's question stand, and where one sees whether it broke off."""

_SHARE_UNIT: Final = 1_000_000
"""Shares are compared as integers of this fineness: integer arithmetic can't tell A from B by a rounding error."""


@dataclass(frozen=True, slots=True)
class Shares:
    """How a sequence's tokens are shared when its last round does not fit. Only the ratio counts.

    Attributes:
        prompt: share of the prompt, > 0. Smaller than a response's by default: a verdict is about the responses.
        response: share of each response, > 0.

    Raises:
        ConfigError: a share is not a positive finite number.
    """

    prompt: float = 1.0
    response: float = 2.0

    def __post_init__(self) -> None:
        errors = tuple(
            f"{name} is {share}; it must be a positive number"
            for name, share in (("prompt", self.prompt), ("response", self.response))
            if not (math.isfinite(share) and share > 0)
        )
        if errors:
            raise ConfigError("shares", errors)

    def weights(self, responses: int) -> tuple[int, ...]:
        """Integer weights of the prompt and of each of `responses` responses, each at least 1."""
        largest = max(self.prompt, self.response)
        prompt, response = (max(1, round(share / largest * _SHARE_UNIT)) for share in (self.prompt, self.response))
        return (prompt, *(response,) * responses)


def allot(lengths: Sequence[int], weights: Sequence[int], budget: int) -> tuple[int, ...]:
    """Share a budget among parts by weight; what a part does not need flows to the others.

    Parts of equal weight get equal amounts unless they need less. Tokens that can't be shared equally go to the
    first part, or stay unused if it has all it needs: at most one fewer than there are parts.

    Args:
        lengths: what each part needs, in tokens.
        weights: positive integer weight of each part.
        budget: tokens to share, >= 0.

    Returns:
        Tokens for each part, none more than its length, together no more than the budget.
    """
    if sum(lengths) <= budget:
        return tuple(lengths)
    amounts = list(lengths)
    wanting = set(range(len(lengths)))
    left = budget
    while True:
        total = sum(weights[part] for part in wanting)
        content = {part for part in wanting if lengths[part] * total <= left * weights[part]}
        if not content:
            break
        wanting -= content
        left -= sum(lengths[part] for part in content)
    for part in wanting:
        amounts[part] = left * weights[part] // total
    amounts[0] = min(lengths[0], amounts[0] + budget - sum(amounts))
    return tuple(amounts)


def kept_ends(length: int, allowed: int, marker_tokens: int) -> tuple[int, int, bool]:
    """How much of a turn's two ends stays.

    Args:
        length: tokens of the turn.
        allowed: tokens that it may take, the marker between its ends included.
        marker_tokens: length of that marker.

    Returns:
        Tokens of the head, tokens of the tail, and whether the marker stands between them. Where the marker would
        leave no room for one token on each side of it, only a head stays, without marker.
    """
    if length <= allowed:
        return length, 0, False
    room = allowed - marker_tokens
    if room < 2:
        return allowed, 0, False
    tail = room * (_ALL_PARTS - _HEAD_PARTS) // _ALL_PARTS or 1
    return room - tail, tail, True


def first_round_that_fits(round_tokens: Sequence[int], budget: int) -> int:
    """Index of the oldest round from which all the rest fits, or of the last round if not even that fits.

    Args:
        round_tokens: tokens of each round, oldest first; at least one round.
        budget: tokens for all rounds together.
    """
    first = len(round_tokens) - 1
    used = round_tokens[first]
    while first > 0 and used + round_tokens[first - 1] <= budget:
        first -= 1
        used += round_tokens[first]
    return first


def head_chars(chars: int) -> int:
    """How many of `chars` characters to keep from the beginning, by the ratio in which tokens are kept."""
    return chars * _HEAD_PARTS // _ALL_PARTS
