"""Which battles a person is asked to look at: a draw that anybody can repeat, with a probability that is published.

Who counts the votes that come by this way must know how probable each was: uncertain battles are asked about more
often, and a vote weighs the inverse of its probability (Horvitz and Thompson 1952). So the probability follows from the
answer and the settings alone, whatever came before; it is never 0; and the draw is a hash of the battle's id, which no
process and no second try changes. What bounds the number of reviews is the probability itself: a bound on their rate
would make it depend on the other battles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.draw import draw
from prefstream.schemas import Preference
from prefstream.schemas.preference import Review, Uncertainty

PURPOSE: Final = b"battles.review"
"""Of the draw."""


@dataclass(frozen=True, slots=True)
class ReviewRule:
    """With which probability a battle is chosen.

    Attributes:
        share: of any battle, above 0.
        above: entropy of the panel's probabilities in bits, from which on `share_above` holds.
        share_above: of battles as uncertain as that, at least `share`.
    """

    share: float
    above: float
    share_above: float

    @classmethod
    def of(cls, config: StreamConfig) -> Self | None:
        """The rule of a run; None where there is no topic for it, and in a shadow, which asks nobody."""
        if config.review_topic is None or config.shadow:
            return None
        return cls(config.review_share, config.review_above, config.review_share_above)

    def decide(self, battle_id: str, uncertainty: Uncertainty | None) -> Review:
        """Whether a battle is chosen, and with which probability it was.

        Args:
            battle_id: the same id is drawn alike by everybody.
            uncertainty: of the panel's answer; where it tells none, the battle is as any other.
        """
        doubtful = uncertainty is not None and uncertainty.entropy >= self.above
        probability = self.share_above if doubtful else self.share
        return Review(probability=probability, chosen=draw(battle_id, PURPOSE) < probability)

    def mark(self, preference: Preference) -> Preference:
        """The preference with its review."""
        return preference.model_copy(update={"review": self.decide(preference.id, preference.uncertainty)})
