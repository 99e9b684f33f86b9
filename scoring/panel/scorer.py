"""What scores batches: a panel, or something that stands for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from prefstream.schemas import Battle
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch
from prefstream.scoring.panel.turns import OnJudged


class Scorer(Protocol):
    """Scores in two halves, so that one batch is tokenised while another is scored."""

    def encode(self, battles: Sequence[Battle]) -> EncodedBatch:
        """Tokenise; called by one thread while another one scores."""

    def score_encoded(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        """Score; one result per battle, in order. Called by several threads, where batches overlap."""
