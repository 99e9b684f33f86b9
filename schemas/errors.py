"""Errors of the wire contract, and the root of every error that prefstream raises on purpose.

    PrefstreamError
    ├── InvalidEventError               an event or row that is no battle; carries its dead-letter reason
    ├── ContractError                   a preference, or a part of one, breaks the contract
    ├── scoring.errors.ScoringError     ...
    └── consumer.errors.StreamError     ...

Messages say what was wrong, where, and what to do. They never hold text that a user wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from prefstream.schemas.dead_letter import Reason
from prefstream.schemas.plain_words import plain_words

if TYPE_CHECKING:
    from pydantic import ValidationError


class PrefstreamError(Exception):
    """Root of prefstream's errors: catch this to catch them all."""


class InvalidEventError(PrefstreamError):
    """An input that can't be read as a battle.

    Attributes:
        reason: the code that its dead letter carries.
        detail: what was wrong and where in the event, free of the event's own text.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail

    def __reduce__(self) -> tuple[type[InvalidEventError], tuple[Reason, str]]:
        return type(self), (self.reason, self.detail)


class ContractError(PrefstreamError):
    """A preference, or a part of one, breaks the contract: read from a topic or a file, or made in code."""

    @classmethod
    def of(cls, what: str, error: ValidationError) -> Self:
        """What pydantic found wrong, without the values.

        Args:
            what: was to be made of them.
            error: all that is wrong.
        """
        found = dict.fromkeys(
            f"{_place(one['loc'])} {plain_words(one)}".strip()
            for one in error.errors(include_url=False, include_input=False)
        )
        return cls(f"no {what}: {'; '.join(found)}")


def _place(parts: tuple[str | int, ...]) -> str:
    """Where in the message; without the names of our classes, which pydantic puts there where a field may be either."""
    return ".".join(str(part) for part in parts if not str(part)[:1].isupper())
