"""What batches are given to while there is no panel: they wait at the gate, in order, until one is there."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from prefstream.schemas import Battle
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch
from prefstream.scoring.panel.scorer import Scorer
from prefstream.scoring.panel.turns import OnJudged


class PanelGate:
    """A scorer that is still to come. The pipeline takes in what it has room for, and reading pauses then."""

    def __init__(self) -> None:
        self._decided = threading.Event()
        self._scorer: Scorer | None = None
        self._error: Exception | None = None

    def open(self, scorer: Scorer) -> None:
        """Whoever waits is scored by this one, and whoever comes later."""
        self._scorer = scorer
        self._decided.set()

    def give_up(self, error: Exception) -> None:
        """No panel will come: whoever waits, and whoever comes later, fails with this error."""
        self._error = error
        self._decided.set()

    def encode(self, battles: Sequence[Battle]) -> EncodedBatch:
        """Tokenise, once there is who scores."""
        return self._opened().encode(battles)

    def score_encoded(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        """Score what was tokenised here."""
        return self._opened().score_encoded(batch, on_judged=on_judged)

    def _opened(self) -> Scorer:
        self._decided.wait()
        if self._scorer is None:
            raise self._error or RuntimeError("a gate was decided without a scorer or an error")
        return self._scorer
