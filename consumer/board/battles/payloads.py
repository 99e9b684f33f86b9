"""What the page sends of a battle that is tried out, and what it gets of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from prefstream.schemas import Battle, KafkaSource

ID_PREFIX: Final = "try-"
"""Begins the ids of battles that are tried out: who reads preferences can tell them from others."""


def _refuse_blank(text: str) -> str:
    if not text or text.isspace():
        raise PydanticCustomError("blank", "is empty, or blank: judges compare answers to something")
    return text


class BattleDraft(BaseModel):
    """A prompt and two answers to it, of one turn each."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    prompt: Annotated[str, Field(description="What was asked.", repr=False), AfterValidator(_refuse_blank)]
    response_a: Annotated[str, Field(description="Answer A; may be empty.", repr=False)]
    response_b: Annotated[str, Field(description="Answer B; may be empty.", repr=False)]

    def battle(self, battle_id: str, occurred_at: datetime) -> Battle:
        """The battle that is written to the topic."""
        return Battle(
            id=battle_id,
            prompt=(self.prompt,),
            response_a=(self.response_a,),
            response_b=(self.response_b,),
            occurred_at=occurred_at,
        )


class SentBattle(BaseModel):
    """A battle that the brokers have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Annotated[str, Field(description="Of the battle: its verdict has it, too.")]
    sent_at: Annotated[datetime, Field(description="When it was made, by the board's clock.")]
    source: Annotated[
        KafkaSource | None,
        Field(description="Where it stands: a dead letter names it by that. Null where the broker did not say."),
    ]


class BattleTexts(BaseModel):
    """Prompt and answers of one battle, turn by turn, as they stand on the topic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    prompt: Annotated[tuple[str, ...], Field(repr=False)]
    response_a: Annotated[tuple[str, ...], Field(repr=False)]
    response_b: Annotated[tuple[str, ...], Field(repr=False)]

    @classmethod
    def of(cls, battle: Battle) -> BattleTexts:
        """Those of a battle."""
        return cls(id=battle.id, prompt=battle.prompt, response_a=battle.response_a, response_b=battle.response_b)
