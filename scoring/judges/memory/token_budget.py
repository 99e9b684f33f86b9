"""How many padded tokens a forward pass may have: half as many after memory ran out, slowly more again.

Memory runs out for two reasons. Another judge, or another program, had its peak at that moment: then the old budget
is right again soon. Or the budget is more than the device ever has room for: then growing back only finds the edge
again. Nothing tells the two apart, so the budget grows back, but so slowly that a vain trial costs next to nothing.

A judge whose device never ran out of memory has the budget that it was given: it cuts equal batches alike.
"""

from __future__ import annotations

from typing import Final

_STEPS: Final = 16
"""A budget grows by this part of what it was at first."""

_PASSES_PER_STEP: Final = 16
"""Passes that went well before it grows once. From one half back to all of it are 8 steps, 128 passes: where all of it
is too much, one pass in 129 is computed in vain, under 1 %."""


class TokenBudget:
    """Padded tokens of one forward pass, at most. Changed by one thread; read by any."""

    def __init__(self, tokens: int) -> None:
        """Start with as many `tokens`, > 0, which it never exceeds."""
        self._most = tokens
        self._now = tokens
        self._went_well = 0

    @property
    def tokens(self) -> int:
        """As of now."""
        return self._now

    def halve(self) -> None:
        """To be called when a pass of several sequences ran out of memory."""
        self._now = max(1, self._now // 2)
        self._went_well = 0

    def went_well(self, padded_tokens: int) -> None:
        """To be called after a pass that fitted; only what fills half of the budget shows that there is room.

        Args:
            padded_tokens: of the pass.
        """
        if self._now == self._most or 2 * padded_tokens < self._now:
            return
        self._went_well += 1
        if self._went_well == _PASSES_PER_STEP:
            self._went_well = 0
            self._now = min(self._most, self._now + max(1, self._most // _STEPS))
