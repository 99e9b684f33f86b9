"""A vote: what a person said of a battle, hours or days after it, in any order, and perhaps twice."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field, ValidationError

from prefstream.schemas.battle import MAX_ID_CHARS, BattleId, OccurredAt, Outcome, Text, explain
from prefstream.schemas.errors import InvalidEventError
from prefstream.schemas.models import ContractModel

Winner: TypeAlias = Literal["model_a", "model_b", "tie", "both_bad"]

BOTH_BAD: Final = "both_bad"


class Vote(ContractModel):
    """One person's verdict on one battle. A later one of the same voter takes its place."""

    id: BattleId
    winner: Annotated[Winner, Field(description="both_bad counts as a tie, and is kept as said.")]
    occurred_at: OccurredAt = None
    voter: Annotated[
        Text | None,
        Field(
            max_length=MAX_ID_CHARS,
            min_length=1,
            description="Opaque name of who voted; without one every vote is somebody else's. Never shown, and hashed "
            "wherever it is kept.",
        ),
    ] = None

    @property
    def outcome(self) -> Outcome:
        """The verdict in terms of a battle's three outcomes."""
        return "tie" if self.winner == BOTH_BAD else self.winner

    def __repr_args__(self) -> Any:
        """Without the voter: a representation ends up in logs."""
        return [(name, value) for name, value in super().__repr_args__() if name != "voter"]

    @classmethod
    def _refusal(cls, error: ValidationError) -> InvalidEventError:
        return explain(error)
