"""What the panel found in the demo: its answers held against what is known of their battles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from prefstream.consumer.demo.events import DemoEvent
from prefstream.schemas import OUTCOMES, KafkaSource, Outcome, Preference
from prefstream.scoring.panel.predict import triples
from prefstream.scoring.probabilities import credit, log_losses

RIGHT_IS_LONGER: Final = "wrong_shorter"
RIGHT_IS_SHORTER: Final = "wrong_longer"
"""Tiers of the package's own battles in which one answer is wrong in a way that can be checked."""

Judged: TypeAlias = tuple[Preference, DemoEvent, Outcome]
"""An answer, its battle, and which outcome is held for right."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How well the panel's answers meet what is held for right.

    Attributes:
        battles: of which it is known.
        log_loss: mean, in nats; log 3 = 1.0986 is a third for each outcome.
        accuracy: share whose most probable outcome is the right one.
    """

    battles: int
    log_loss: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class Hits:
    """How often the right answer was held for better than the wrong one.

    Attributes:
        hits: so often.
        battles: of so many.
    """

    hits: int
    battles: int

    @property
    def share(self) -> float:
        """Of the battles; 0 where there are none."""
        return self.hits / self.battles if self.battles else 0.0


def judged(preferences: Sequence[Preference], sent: Mapping[tuple[int, int], DemoEvent]) -> list[Judged]:
    """Answers to battles of which is known what is right.

    Args:
        preferences: read back.
        sent: by partition and offset; ids may repeat in somebody's file.
    """
    return [
        (preference, event, event.label)
        for preference in preferences
        if isinstance(preference.source, KafkaSource)
        and (event := sent.get((preference.source.partition, preference.source.offset)))
        and event.label
    ]


def agreement(answers: Sequence[Judged]) -> Agreement | None:
    """Hold answers against what is right; None where there are none."""
    if not answers:
        return None
    rows = triples([preference.probabilities for preference, _, _ in answers])
    outcomes = np.array([OUTCOMES.index(label) for _, _, label in answers])
    return Agreement(
        battles=len(answers),
        log_loss=float(log_losses(rows)[np.arange(len(answers)), outcomes].mean()),
        accuracy=float(credit(rows, outcomes).mean()),
    )


def hits(answers: Sequence[Judged], tier: str, *, adjusted: bool = False) -> Hits:
    """Count among the battles of one tier, none of which is a tie.

    Args:
        answers: to battles of which is known what is right.
        tier: of the battles.
        adjusted: count by what the panel says with its length slope taken out; battles without that are left out.
    """
    sides = [
        (answer.model_a, answer.model_b) if label == "model_a" else (answer.model_b, answer.model_a)
        for preference, event, label in answers
        if event.tier == tier and (answer := preference.adjusted if adjusted else preference.probabilities)
    ]
    return Hits(hits=sum(right > wrong for right, wrong in sides), battles=len(sides))
