"""A canary: another panel answers a share of the battles, in place of the one that serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from prefstream.consumer.draw import draw
from prefstream.schemas import Battle
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError, MisuseError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch
from prefstream.scoring.panel.scorer import Scorer
from prefstream.scoring.panel.turns import OnJudged

_PURPOSE: Final = b"panels.canary"


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBatch(EncodedBatch):
    """Battles, some tokenised for the panel that serves, the others for the one on trial.

    Attributes:
        on_trial: of each battle, whether the one on trial has it.
        serving: what the panel that serves reads.
        canary: what the one on trial reads; None where that has none of them.
        tried: the battles that it has.
    """

    on_trial: tuple[bool, ...]
    serving: EncodedBatch
    canary: EncodedBatch | None = field(repr=False)
    tried: tuple[Battle, ...] = field(repr=False)


class CanaryScorer:
    """Scores a share of the battles by a panel on trial, the others by the one that serves.

    Where the panel on trial breaks down, the one that serves answers its battles, too, from then on.

    Args:
        serving: the panel that serves.
        canary: the one on trial.
        share: of battles, chosen by their ids, above 0 and below 1.
        on_failed: told once, in whatever thread notices, what broke the panel on trial.
    """

    def __init__(
        self, serving: Scorer, canary: Scorer, share: float, on_failed: Callable[[JudgeFaultError], None]
    ) -> None:
        self._serving = serving
        self._canary = canary
        self._share = share
        self._on_failed = on_failed
        self._failed = False

    def encode(self, battles: Sequence[Battle]) -> SharedBatch:
        """Tokenise each battle for the panel that will score it."""
        on_trial = tuple(not self._failed and draw(battle.id, _PURPOSE) < self._share for battle in battles)
        tried = tuple(battle for battle, chosen in zip(battles, on_trial, strict=True) if chosen)
        serving = self._serving.encode([battle for battle, chosen in zip(battles, on_trial, strict=True) if not chosen])
        canary = self._canary.encode(tried) if tried else None
        return SharedBatch(
            count=len(battles),
            padded_tokens=serving.padded_tokens + (canary.padded_tokens if canary else 0),
            parts=(),
            on_trial=on_trial,
            serving=serving,
            canary=canary,
            tried=tried,
        )

    def score_encoded(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        """Score by both panels; one result per battle, in order. What the one on trial said names it as such.

        Raises:
            MisuseError: another scorer tokenised the batch.
            JudgeFaultError: a judge of the panel that serves failed for good.
        """
        if not isinstance(batch, SharedBatch):
            raise MisuseError("a canary scores what it tokenised")
        tried = iter(self._try(batch, on_judged))
        served = iter(self._serving.score_encoded(batch.serving, on_judged=on_judged))
        return [next(tried if chosen else served) for chosen in batch.on_trial]

    def _try(self, batch: SharedBatch, on_judged: OnJudged | None) -> list[PanelAnswer | BattleTooLargeError]:
        if batch.canary is None:
            return []
        if not self._failed:
            try:
                return [_as_canary(answer) for answer in self._canary.score_encoded(batch.canary, on_judged=on_judged)]
            except JudgeFaultError as fault:
                self._failed = True
                self._on_failed(fault)
        return self._serving.score_encoded(self._serving.encode(batch.tried), on_judged=on_judged)


def _as_canary(answer: PanelAnswer | BattleTooLargeError) -> PanelAnswer | BattleTooLargeError:
    if isinstance(answer, BattleTooLargeError) or answer.panel is None:
        return answer
    return replace(answer, panel=answer.panel.model_copy(update={"canary": True}))
