"""Which records of a range there are, and how often each was answered: some bytes an offset, however many answers.

An offset of the range takes 29 bytes: a million takes 29 MB, whether a record stands there or not.

Offsets of a topic that was deleted and made anew begin from 0 again, and old answers name them, too. A dead letter
repeats its record's timestamp, which settles it. A preference repeats the id alone, and was written after its record,
by the clocks of two machines. One that is older counts where its id is the record's and nothing else answers it: then a
clock was wrong, rather than a record lost.

A record whose time is later than now, or than an answer to it or to one behind it, has a time of the future. Nothing
tells then when it was written, nor whether its answer was among those that were deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.consumer.audit.answers import AuditedAnswer, Malformed
from prefstream.consumer.client.values import place_of
from prefstream.consumer.stream.lost_offsets import CLOCKS_DIFFER_MS

SHOWN: Final = 20
"""Places of a break that are named: who mends it begins with the first."""

_MOST: Final = 255
"""Answers to one record that are counted; what is more is as wrong."""


_NEVER_MS: Final = (1 << 63) - 1


class Break(StrEnum):
    """A way in which the promise of exactly one answer is broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    BOTH = "both"
    FOREIGN = "foreign"
    OTHER_BATTLE = "other_battle"
    CONTRADICTING = "contradicting"
    MALFORMED = "malformed"


@dataclass(slots=True)
class Places:
    """How often something was found, and where first.

    Attributes:
        count: how often.
        first: the first places, with what is wrong there.
    """

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, place: str) -> None:
        """One more."""
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(place)


@dataclass(frozen=True, slots=True)
class PartitionCounts:
    """What became of one partition's records in the range.

    Attributes:
        partition: its number.
        begin: first offset of the range.
        end: offset behind the range.
        committed: the group's offset; None where it has committed none.
        records: that stand in the range.
        preferences: of them that have one, once or more often.
        dead_letters: likewise.
        open: that have no answer yet, and are not due: the group has not committed past them.
        untold: that have no answer, and whose answer retention may have deleted; of a shadow, which may skip and writes
            no dead letters, that have none though the group has committed past them.
        lost: that have no answer though the group has committed past them.
        passed_over: that have no answer, and of a shadow need none.
    """

    partition: int
    begin: int
    end: int
    committed: int | None
    records: int
    preferences: int
    dead_letters: int
    open: int
    untold: int
    lost: int
    passed_over: int = 0


class _Partition:
    """Arrays over a partition's offsets."""

    def __init__(self, span: range, until_ms: int) -> None:
        self.span = span
        self.deleted: list[range] = []
        self.preferences = np.zeros(len(span), np.uint8)
        self.dead_letters = np.zeros(len(span), np.uint8)
        self.older = np.zeros(len(span), np.uint8)  # preferences that are older than their record, with its id
        self.there = np.zeros(len(span), np.bool_)
        self.passed_over = np.zeros(len(span), np.bool_)
        self.timestamps = np.zeros(len(span), np.int64)
        self.answered_ms = np.full(len(span), until_ms, np.int64)
        self.ids = np.zeros(len(span), np.uint64)


class AnswerLedger:
    """Takes in the records of a range, then the answers, and then tells what does not fit.

    Args:
        topic: of the battles.
        spans: the range, by partition.
        ends: where each of the topic's partitions ended when the last answer was written that will be taken in.
        until_ms: when that was, ms since the epoch; what is of later is of the future.
    """

    def __init__(
        self, topic: str, spans: Mapping[int, range], ends: Mapping[int, int], until_ms: int = _NEVER_MS
    ) -> None:
        self._topic = topic
        self._ends = dict(ends)
        self._partitions = {number: _Partition(span, until_ms) for number, span in sorted(spans.items())}
        self._breaks = {kind: Places() for kind in Break}
        self.outside = 0
        self.of_before = 0

    @property
    def breaks(self) -> Mapping[Break, Places]:
        """What is broken, as far as it is known; all of it after `settle`."""
        return self._breaks

    def record(
        self, partition: int, offset: int, timestamp_ms: int, battle_id: str | None, *, passed_over: bool = False
    ) -> None:
        """A record stands in the range.

        Args:
            partition: its own.
            offset: its own.
            timestamp_ms: its own.
            battle_id: None where it is no battle.
            passed_over: whether it needs no answer.
        """
        there = self._partitions[partition]
        at = offset - there.span.start
        there.there[at] = True
        there.passed_over[at] = passed_over
        there.timestamps[at] = timestamp_ms
        there.ids[at] = 0 if battle_id is None else _digest(battle_id)

    def deleted(self, partition: int, offsets: range) -> None:
        """Offsets of the range were deleted before they were read: what answers them is outside."""
        self._partitions[partition].deleted.append(offsets)

    def malformed(self, record: Malformed) -> None:
        """A record of an output topic is no answer."""
        self._breaks[Break.MALFORMED].add(f"{record.where} {record.why}")

    def answer(self, answer: AuditedAnswer) -> bool:
        """An answer stands on an output topic.

        Returns:
            Whether it is known to be one to a record of the range.
        """
        if answer.contradicts:
            self._breaks[Break.CONTRADICTING].add(f"{answer.where}: {answer.contradicts}")
        end = self._ends.get(answer.partition) if answer.topic == self._topic else None
        source = place_of(answer)
        if end is None or answer.offset >= end:
            self._breaks[Break.FOREIGN].add(f"{answer.where} answers {source}")
            return False
        asked = self._partitions.get(answer.partition)
        if asked is None or answer.offset not in asked.span or any(answer.offset in gone for gone in asked.deleted):
            self.outside += 1
            return False
        at = answer.offset - asked.span.start
        if not asked.there[at]:
            self._breaks[Break.FOREIGN].add(f"{answer.where} answers {source}, where no record stands")
            return False
        told = answer.preference
        other_id = told is not None and asked.ids[at] and asked.ids[at] != _digest(told.id)
        if _is_older(answer, int(asked.timestamps[at])):
            if told is None or other_id:
                self.of_before += 1
            else:
                _count(asked.older, at)
                asked.answered_ms[at] = min(int(asked.answered_ms[at]), answer.timestamp_ms)
            return False
        if other_id:
            self._breaks[Break.OTHER_BATTLE].add(f"{answer.where} answers {source}, whose id is another")
        _count(asked.dead_letters if told is None else asked.preferences, at)
        asked.answered_ms[at] = min(int(asked.answered_ms[at]), answer.timestamp_ms)
        return True

    def any_lost(self, committed: Mapping[int, int], answers_since_ms: int | None) -> bool:
        """Whether, by times and by the answers that were taken in so far, a record is lost.

        Args:
            committed: as for `settle`.
            answers_since_ms: likewise.
        """
        return any(
            bool(_missing(asked, committed.get(number), answers_since_ms).any())
            for number, asked in self._partitions.items()
        )

    def settle(self, committed: Mapping[int, int], answers_since_ms: int | None) -> list[PartitionCounts]:
        """Tell what became of every record, once all answers are taken in.

        Args:
            committed: the group's offsets, asked for before the ends of the output topics.
            answers_since_ms: answers to records that are not younger than this, or whose time is of the future, may
                have been deleted; None where none were.
        """
        return [self._settle(number, committed.get(number), answers_since_ms) for number in self._partitions]

    def _settle(self, number: int, committed: int | None, answers_since_ms: int | None) -> PartitionCounts:
        asked = self._partitions[number]
        alone = (asked.preferences == 0) & (asked.dead_letters == 0)
        self.of_before += int(asked.older[~alone].sum())
        asked.preferences[alone] = asked.older[alone]
        once, dead = asked.preferences > 0, asked.dead_letters > 0
        without = asked.there & ~once & ~dead
        unanswered = without & ~asked.passed_over
        due = _due(asked, committed)
        lost = _missing(asked, committed, answers_since_ms)
        if answers_since_ms is not None:
            lost &= ~_of_the_future(asked)
        found = {
            Break.LOST: lost,
            Break.DOUBLED: (asked.preferences > 1) | (asked.dead_letters > 1),
            Break.BOTH: once & dead,
        }
        for kind, where in found.items():
            self._add_places(kind, number, asked, where)
        return PartitionCounts(
            partition=number,
            begin=asked.span.start,
            end=asked.span.stop,
            committed=committed,
            records=int(asked.there.sum()),
            preferences=int(once.sum()),
            dead_letters=int(dead.sum()),
            open=int((unanswered & ~due).sum()),
            untold=int((unanswered & due & ~lost).sum()),
            lost=int(lost.sum()),
            passed_over=int((without & asked.passed_over).sum()),
        )

    def _add_places(self, kind: Break, number: int, asked: _Partition, where: NDArray[np.bool_]) -> None:
        places = self._breaks[kind]
        places.count += int(where.sum())
        for at in _first(where, SHOWN - len(places.first)):
            times = f" ({asked.preferences[at]} preferences, {asked.dead_letters[at]} dead letters)"
            places.first.append(
                f"{self._topic}/{number}/{asked.span.start + at}{times if kind is not Break.LOST else ''}"
            )


def _due(asked: _Partition, committed: int | None) -> NDArray[np.bool_]:
    """Which offsets the group has committed past."""
    return np.arange(asked.span.start, asked.span.stop) < (committed or 0)


def _missing(asked: _Partition, committed: int | None, answers_since_ms: int | None) -> NDArray[np.bool_]:
    """Which records need an answer by now and have none, though by their times none can have been deleted."""
    answered = (asked.preferences > 0) | (asked.dead_letters > 0) | (asked.older > 0)
    missing = asked.there & ~asked.passed_over & ~answered & _due(asked, committed)
    return missing if answers_since_ms is None else missing & (asked.timestamps > answers_since_ms)


def _of_the_future(asked: _Partition) -> NDArray[np.bool_]:
    behind_ms = np.minimum.accumulate(asked.answered_ms[::-1])[::-1]
    return asked.timestamps - CLOCKS_DIFFER_MS > behind_ms


def _is_older(answer: AuditedAnswer, record_ms: int) -> bool:
    """Whether an answer is from before the record that it names, as far as itself tells."""
    if answer.original_ms is not None:
        return answer.original_ms != record_ms
    return answer.timestamp_ms < record_ms - CLOCKS_DIFFER_MS


def _count(counts: NDArray[np.uint8], at: int) -> None:
    counts[at] = min(_MOST, int(counts[at]) + 1)


def _first(where: NDArray[np.bool_], count: int) -> Iterator[int]:
    for at in np.flatnonzero(where)[: max(0, count)]:
        yield int(at)


def _digest(battle_id: str) -> int:
    """Tells ids apart, but for one pair in 2^64; never 0, which is no id."""
    digest = hashlib.blake2b(battle_id.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
