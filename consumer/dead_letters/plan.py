"""Which dead letters a retry sends back: each original record once, whoever could not score it.

Every consumer group that reads the battles writes a dead letter of its own for a record that it can't score, and a
record that is sent back is read by all of them. So of the dead letters of one record one is sent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.consumer.dead_letters.reader import DeadLetter, OriginalRecord, RecordPosition
from prefstream.schemas.dead_letter import NEVER_UNPACKED

_Key: TypeAlias = OriginalRecord | RecordPosition
"""What dead letters of one record share. One that doesn't say where it came from is like no other."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters to send back.

    Attributes:
        positions: exactly these, although they were sent before; empty for all that were not.
        reasons: only these; empty for any.
        since: only what was written then or later.
        limit: at most so many, the oldest first.
        max_retries: none whose record was sent back so often before; None for any. Who is chosen by its position is
            sent however often it was.
    """

    positions: tuple[RecordPosition, ...] = ()
    reasons: frozenset[str] = frozenset()
    since: datetime | None = None
    limit: int | None = None
    max_retries: int | None = None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether reason and time fit."""
        return (not self.reasons or letter.reason in self.reasons) and (self.since is None or letter.time >= self.since)

    def spent(self, letter: DeadLetter) -> bool:
        """Whether its record was sent back too often."""
        return not self.positions and self.max_retries is not None and letter.retries >= self.max_retries


@dataclass(frozen=True, slots=True)
class PlannedRetry:
    """A dead letter that is to be sent, without its value: a plan may hold a million."""

    position: RecordPosition
    timestamp_ms: int
    reason: str
    destination: str
    size: int
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A dead letter that was chosen and can't be sent, and why."""

    position: RecordPosition
    reason: str
    why: str


@dataclass(frozen=True, slots=True)
class RetryPlan:
    """What a retry would do.

    Attributes:
        entries: to be sent, in this order.
        refusals: chosen, but impossible to send.
        sent_before: how many that fit the choice were left out because they were sent before.
        duplicates: by the position of an entry, other dead letters of its original record: sent with it.
        settled: dead letters whose original record was sent before, by another dead letter of it.
        again: whether to send what was sent before, too.
        seen: per partition, the offset of every dead letter that was never sent before, or stands behind one such,
            then the end. Empty where nobody looked at all of them.
        spent: how many that fit the choice were left out because their record was sent back too often.
    """

    entries: tuple[PlannedRetry, ...]
    refusals: tuple[Refusal, ...]
    sent_before: int
    duplicates: Mapping[RecordPosition, Sequence[RecordPosition]]
    settled: Sequence[RecordPosition]
    again: bool
    seen: Mapping[int, Sequence[int]]
    spent: int = 0

    @property
    def left_out(self) -> int:
        """How many dead letters are not sent because another one of the same record is, or was."""
        return len(self.settled) + sum(map(len, self.duplicates.values()))

    def dealt_with(self, chunk: Iterable[PlannedRetry]) -> Iterator[RecordPosition]:
        """Dead letters that need no sending any more once a part of the entries was sent."""
        yield from self.settled
        for entry in chunk:
            yield entry.position
            yield from self.duplicates.get(entry.position, ())


class Planner:
    """Sorts dead letters out, as they are read.

    Args:
        choice: which ones.
        destination: topic to send to; None sends each one to where it came from.
        was_sent: whether the dead letter at a position was sent before.
    """

    def __init__(self, choice: Choice, destination: str | None, was_sent: Callable[[RecordPosition], bool]) -> None:
        self._choice = choice
        self._destination = destination
        self._was_sent = was_sent
        self._entries: dict[_Key, PlannedRetry] = {}
        self._others: list[tuple[_Key, RecordPosition, Refusal | None]] = []
        self._settled: set[_Key] = set()
        self._sent_before = 0
        self._spent = 0

    @property
    def found(self) -> bool:
        """Whether anything that fits was not sent before."""
        return bool(self._entries or self._others)

    def look_at(self, letters: Iterable[DeadLetter]) -> None:
        """Take what fits and was not sent before."""
        for letter in letters:
            key: _Key = letter.original or letter.position
            if not self._choice.positions and self._was_sent(letter.position):
                self._settled.add(key)
                self._sent_before += self._choice.takes(letter)
            elif self._choice.takes(letter):
                if self._choice.spent(letter):
                    self._spent += 1
                else:
                    self._take(key, letter)

    def note_sent(self, letters: Iterable[DeadLetter]) -> None:
        """Hear of dead letters that were sent before, and are not looked at again for themselves."""
        waiting = self._entries.keys() | {key for key, _, _ in self._others}
        self._settled.update(letter.original for letter in letters if letter.original in waiting)

    def plan(self, seen: Mapping[int, Sequence[int]]) -> RetryPlan:
        """What is to be sent, and what is not.

        Args:
            seen: as the plan's own.
        """
        entries = [entry for key, entry in self._entries.items() if key not in self._settled]
        entries.sort(key=lambda entry: (entry.timestamp_ms, entry.position))
        entries = entries[: self._choice.limit]
        chosen = {entry.position for entry in entries}
        duplicates: dict[RecordPosition, list[RecordPosition]] = {}
        settled = [entry.position for key, entry in self._entries.items() if key in self._settled]
        refusals: list[Refusal] = []
        for key, position, refusal in self._others:
            entry = self._entries.get(key)
            if key in self._settled:
                settled.append(position)
            elif entry is None and refusal is not None:
                refusals.append(refusal)
            elif entry is not None and entry.position in chosen:
                duplicates.setdefault(entry.position, []).append(position)
        return RetryPlan(
            tuple(entries),
            tuple(refusals),
            self._sent_before,
            duplicates,
            settled,
            again=bool(self._choice.positions),
            seen=seen,
            spent=self._spent,
        )

    def _take(self, key: _Key, letter: DeadLetter) -> None:
        origin = letter.origin
        to = self._destination or (origin.topic if origin else None)
        if why := _why_not(letter, to):
            self._others.append((key, letter.position, Refusal(letter.position, letter.reason, why)))
        elif key in self._entries:
            self._others.append((key, letter.position, None))
        elif to:
            self._entries[key] = PlannedRetry(
                letter.position,
                letter.timestamp_ms,
                sys.intern(letter.reason),
                sys.intern(to),
                letter.size,
                letter.retries,
            )


def _why_not(letter: DeadLetter, destination: str | None) -> str | None:
    if destination is None:
        return "its headers don't say where it came from; give --to"
    if destination == letter.position.topic:
        return "it came from the dead letters' own topic; give --to"
    if isinstance(letter.value, Withheld):
        return letter.value.why
    if letter.reason in NEVER_UNPACKED:
        return "it holds nothing of the original, which was never unpacked; send the original again"
    if letter.value_omitted:
        return f"its value of {letter.size} bytes was too large to copy; send the original again"
    return None
