"""Takes preferences and votes in, each batch in one transaction with the offsets behind it."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

from prefstream.consumer.board.store.candidates import Candidate, keep_candidates
from prefstream.consumer.board.store.facts import FactFinder
from prefstream.consumer.board.store.file import FileLock, identity, open_for_writing, writing
from prefstream.consumer.board.store.hours import HourSums
from prefstream.consumer.board.store.join import Join, JoinBounds
from prefstream.consumer.board.store.minutes import MinuteSums
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.board.store.records import (
    Note,
    PreferenceRecord,
    ReadProgress,
    StoredOffset,
    VoteRecord,
    hash_id,
)
from prefstream.consumer.board.store.verdicts import keep_verdicts
from prefstream.consumer.errors import BoardWriteError
from prefstream.schemas import Preference

DEFAULT_VOTE_WINDOW: Final = timedelta(days=30)
DEFAULT_MAX_JOIN_ROWS: Final = 1_000_000

MOST_NOTES: Final = 100
"""That are kept, the newest ones."""

NOTHING: Final = ReadProgress()


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch.

    Attributes:
        counted: what was added to each counter.
        duplicates: preferences whose battle was counted before: partition and offset, or 0 and line.
    """

    counted: Mapping[str, int]
    duplicates: Sequence[tuple[int, int]]


class Store:
    """The board's file, for the one process that writes it. Not thread-safe.

    A kill at any moment loses and doubles nothing: what `apply` takes is in the file with its offsets, or neither is.

    Args:
        path: the file; made where there is none. None: in memory.
        vote_window: a vote counts where its record lies at most this far from that of its battle's preference.
        max_join_rows: battles that wait for votes, and votes that wait for battles, at most.
        settings: what the file is made for, such as its topics: a file that was made for something else is refused.

    Raises:
        BoardFileError: another process has the file, or it can't be used as it is.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        vote_window: timedelta = DEFAULT_VOTE_WINDOW,
        max_join_rows: int = DEFAULT_MAX_JOIN_ROWS,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._path = path
        self._lock = FileLock(path) if path is not None else None
        try:
            self._connection = open_for_writing(path, settings or {})
        except BaseException:
            self._unlock()
            raise
        self._identity = None if path is None else identity(path)
        bounds = JoinBounds(vote_window // timedelta(milliseconds=1), max_join_rows)
        meta = dict(self._connection.execute("SELECT key, value FROM meta"))
        self._key: str = meta["file_key"]
        self._facts = FactFinder(self._connection)
        self._join = Join(self._connection, bounds, meta["voter_key"])

    def apply(
        self,
        preferences: Sequence[PreferenceRecord] = (),
        votes: Sequence[VoteRecord] = (),
        progress: ReadProgress = NOTHING,
    ) -> Applied:
        """Take in a batch: all of it, or nothing.

        Args:
            preferences: in the order in which they came: of two with one battle's id the first counts.
            votes: in any order.
            progress: what moves with them.

        Raises:
            BoardWriteError: it could not be written, or the file is not there any more; nothing of it is in the file.
        """
        self._require_own_file()
        counted: Counter[str] = Counter(progress.counters)
        duplicates: list[tuple[int, int]] = []
        try:
            with writing(self._connection):
                self._take_preferences(preferences, counted, duplicates)
                self._take_votes(votes, counted)
                self._join.give_up(progress.preferences_until, progress.votes_until, counted)
                self._write(progress, counted)
        except BaseException:
            self._facts.forget()
            with suppress(sqlite3.Error):  # a damaged file can't be counted either: what failed first is told
                self._join.recount()
            raise
        return Applied({name: count for name, count in counted.items() if count}, duplicates)

    def offsets(self) -> list[StoredOffset]:
        """Where reading goes on."""
        rows = self._connection.execute("SELECT topic, partition, topic_id, next_offset FROM offsets")
        return [StoredOffset(*row) for row in rows]

    def reader(self) -> BoardReader:
        """Reads the board: a connection of its own, for any thread; in memory this one, for this thread."""
        if self._path is None:
            return BoardReader(self._connection)
        return BoardReader.open(self._path)

    def close(self) -> None:
        """Close the file; it can be opened by others from then on."""
        self._connection.close()
        self._unlock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take_preferences(
        self, records: Sequence[PreferenceRecord], counted: Counter[str], duplicates: list[tuple[int, int]]
    ) -> None:
        hashes = [hash_id(record.preference.id) for record in records]
        known = self._join.known(hashes)
        battles: list[Candidate] = []
        fresh: list[PreferenceRecord] = []
        sums, minutes = HourSums(), MinuteSums(int(time.time() * 1000))
        for id_hash, record in zip(hashes, records, strict=True):
            if id_hash in known:
                duplicates.append((record.partition, record.offset))
                continue
            known.add(id_hash)
            said, facts = record.preference, self._facts.read(record)
            sums.add(facts, turned=_is_turned(said))
            minutes.add(record)
            battles.append(Candidate(id_hash, said.id, facts))
            fresh.append(record)
            counted["unnamed"] += not (facts.model_a and facts.model_b)
        counted["preferences"] += len(battles)
        counted["duplicate_battles"] += len(duplicates)
        if battles:
            self._join.add_battles(battles, counted)
            sums.write(self._connection)
            minutes.write(self._connection)
            keep_verdicts(self._connection, self._key, self._counted(), fresh)
            keep_candidates(self._connection, battles)
            self._bound("first_preference_at", min(battle.facts.at for battle in battles), least=True)
            self._bound("last_preference_at", max(battle.facts.at for battle in battles), least=False)

    def _counted(self) -> int:
        """Battles, before this transaction."""
        rows = self._connection.execute("SELECT value FROM counters WHERE name = 'preferences'").fetchall()
        return int(rows[0][0]) if rows else 0

    def _take_votes(self, records: Sequence[VoteRecord], counted: Counter[str]) -> None:
        if records:
            counted["votes"] += len(records)
            self._join.add_votes(records, counted)
            self._bound("first_vote_at", min(record.at for record in records), least=True)
            self._bound("last_vote_at", max(record.at for record in records), least=False)

    def _write(self, progress: ReadProgress, counted: Counter[str]) -> None:
        self._connection.executemany("REPLACE INTO offsets VALUES (?, ?, ?, ?)", progress.offsets)
        self._connection.executemany(
            "INSERT INTO counters VALUES (?, ?) ON CONFLICT DO UPDATE SET value = value + excluded.value",
            [(name, count) for name, count in counted.items() if count],
        )
        if progress.notes:
            self._keep_notes(progress.notes)

    def _keep_notes(self, notes: Sequence[Note]) -> None:
        self._connection.executemany("INSERT INTO notes (at, kind, detail) VALUES (?, ?, ?)", notes)
        self._connection.execute("DELETE FROM notes WHERE note <= (SELECT max(note) FROM notes) - ?", (MOST_NOTES,))

    def _bound(self, key: str, value: int, *, least: bool) -> None:
        """Keep the least, or the greatest, of all values."""
        function = "min" if least else "max"
        self._connection.execute(
            f"INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = {function}(value, excluded.value)",
            (key, value),
        )

    def _require_own_file(self) -> None:
        """What is written into a file that was deleted is gone with this process, and nobody would know until then."""
        if self._path is None:
            return
        try:
            found = identity(self._path)
        except OSError:
            found = None
        if found != self._identity:
            raise BoardWriteError(
                f"board file {self._path}: was deleted or replaced while it was in use; start again, and the board is "
                "filled as far back as the topics go"
            )

    def _unlock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None


def _is_turned(said: Preference) -> bool:
    """Whether A and B stand the other way round in the sums by pair."""
    return said.model_a is not None and said.model_b is not None and said.model_b < said.model_a
