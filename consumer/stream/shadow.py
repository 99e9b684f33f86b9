"""Which records a shadow answers: a share of the battles, the same ones in every process and at every try."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.draw import draw
from prefstream.consumer.stream.pipeline import battle_of
from prefstream.schemas import Framing, InvalidEventError

PURPOSE: Final = b"shadow"
"""Of the draw, which has nothing to do with that for review."""


@dataclass(frozen=True, slots=True)
class ShadowRule:
    """A share of the battles, by a hash of their ids.

    Attributes:
        share: of all battles, above 0 and below 1. What a smaller one chooses is chosen, too.
        framing: what stands before a battle's JSON.
    """

    share: float
    framing: Framing = "none"

    @classmethod
    def of(cls, config: StreamConfig) -> Self | None:
        """The rule of a run; None where every record is answered."""
        return cls(config.share, config.battles_framing) if config.shadow and config.share < 1 else None

    def chooses(self, battle_id: str) -> bool:
        """Whether a battle of this id is chosen."""
        return draw(battle_id, PURPOSE) < self.share

    def takes(self, record: ConsumerRecord) -> bool:
        """Whether a record is to be answered.

        One that is no battle has no id, and is drawn by its place: where upstream breaks, or the framing is set wrong,
        a shadow sees as large a share of that as of the battles, and its limit of dead letters counts.
        """
        try:
            drawn_for = battle_of(record, self.framing).id
        except InvalidEventError:
            drawn_for = f"{record.topic}/{record.partition}/{record.offset}"
        return self.chooses(drawn_for)
