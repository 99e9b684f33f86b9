"""Errors of the wire contract, and the root of every error that prefstream raises on purpose.

    PrefstreamError
    ├── InvalidEventError               an event or row that is no battle; carries its dead-letter reason
    ├── scoring.errors.ScoringError     ...
    └── consumer.errors.StreamError     ...

Messages say what was wrong, where, and what to do. They never hold text that a user wrote.
"""

from __future__ import annotations

from prefstream.schemas.dead_letter import Reason


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
