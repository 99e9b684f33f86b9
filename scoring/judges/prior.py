"""A judge without weights: the same probabilities for every battle, at a simulated cost.

For load tests, capacity planning, and as the baseline of every evaluation. Cheap itself (about a microsecond per
battle), because the stream's throughput is measured with it. Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from prefstream.schemas import OUTCOMES, Battle, Provenance
from prefstream.scoring.config import PriorJudgeConfig
from prefstream.scoring.judges.judge import JudgeBatch, Scores

_CHARS_PER_TOKEN: Final = 4
"""Rule of thumb for English; a prior has no tokenizer to ask."""


class PriorJudge:
    """Answers every battle with the probabilities of its configuration."""

    def __init__(self, config: PriorJudgeConfig) -> None:
        self.name = config.name
        self.weight = config.weight
        self.provenance = Provenance(kind="prior")
        self.symmetric = config.probabilities.model_a == config.probabilities.model_b
        self.settings = {"probabilities": config.probabilities.model_dump()}
        self._row = np.array([getattr(config.probabilities, outcome) for outcome in OUTCOMES])
        self._cost = config.simulate

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        """Estimate the tokens; nothing is kept of the text."""
        chars = 0
        for battle in battles:
            for turns in (battle.prompt, battle.response_a, battle.response_b):
                chars += len(turns[0]) if len(turns) == 1 else sum(map(len, turns))
        return JudgeBatch(count=len(battles), padded_tokens=chars // _CHARS_PER_TOKEN)

    def score(self, batch: JudgeBatch) -> Scores:
        """Wait as long as the simulated cost says, then answer."""
        cost_s = self._cost.seconds_per_batch + self._cost.seconds_per_1k_tokens * batch.padded_tokens / 1000
        if cost_s:
            time.sleep(cost_s)
        return Scores(np.tile(self._row, (batch.count, 1)), {})

    def close(self) -> None:
        """Nothing to free."""
