"""A canary: another panel answers a share of the battles, in place of the one that serves.

Each judge has a thread of its own: judges of both panels score their parts of a batch at the same time, unless both are
of the same judges, which take one part after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from prefstream.consumer.draw import draw
from prefstream.schemas import Battle
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError, MisuseError
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch, Panel
from prefstream.scoring.panel.turns import OnJudged

_Answers: TypeAlias = Callable[[], list[PanelAnswer | BattleTooLargeError]]
"""Waits for what judges have begun."""

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
        self, serving: Panel, canary: Panel, share: float, on_failed: Callable[[JudgeFaultError], None]
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
        trying = None
        if batch.canary is not None and not self._failed:
            trying = self._canary.begin(batch.canary, on_judged=on_judged)
        serving = self._serving.begin(batch.serving, on_judged=on_judged)
        served = iter(serving())
        tried = iter(self._tried(batch, trying, on_judged))
        return [next(tried if chosen else served) for chosen in batch.on_trial]

    def _tried(
        self, batch: SharedBatch, trying: _Answers | None, on_judged: OnJudged | None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        """What is said of the battles of the panel on trial; by the one that serves, where that one broke down."""
        if trying is not None:
            try:
                return [_as_canary(answer) for answer in trying()]
            except JudgeFaultError as fault:
                self._failed = True
                self._on_failed(fault)
        if not batch.tried:
            return []
        return self._serving.score_encoded(self._serving.encode(batch.tried), on_judged=on_judged)


def _as_canary(answer: PanelAnswer | BattleTooLargeError) -> PanelAnswer | BattleTooLargeError:
    if isinstance(answer, BattleTooLargeError) or answer.panel is None:
        return answer
    return replace(answer, panel=answer.panel.model_copy(update={"canary": True}))
