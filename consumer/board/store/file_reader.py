"""A board's file, read: one moment of it, and its small tables."""

from __future__ import annotations

import sqlite3
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from prefstream.consumer.board.store.file import open_for_reading
from prefstream.consumer.board.store.minutes import MS_PER_MINUTE
from prefstream.consumer.board.store.reading import MinuteFacts
from prefstream.consumer.board.store.records import Note, StoredOffset
from prefstream.consumer.board.store.verdicts import ID_OF_RECENT, MOST_KEPT
from prefstream.consumer.errors import BoardFileError
from prefstream.scoring.moments import moment_of


class FileReader:
    """Reads a board's file beside the process that writes it. Safe in any thread; calls wait for each other.

    Args:
        connection: to a board's file.
        owned: whether `close` closes it.
    """

    def __init__(self, connection: sqlite3.Connection, *, owned: bool = False) -> None:
        self._connection = connection
        self._owned = owned
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Read a file, whether a process writes it or not.

        Raises:
            BoardFileError: there is none, or not one of this version.
        """
        return cls(open_for_reading(path), owned=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._owned:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        """All that is read in the block is of one moment, whatever is written meanwhile."""
        with self._lock:
            if self._connection.in_transaction:
                yield self
                return
            self._connection.execute("BEGIN")
            try:
                yield self
            finally:
                self._connection.execute("ROLLBACK")

    def counters(self) -> dict[str, int]:
        """What was counted, by name; what never happened is left out."""
        return dict(self.rows("SELECT name, value FROM counters ORDER BY name"))

    def notes(self) -> list[Note]:
        """What went otherwise than it should, the latest first."""
        return [Note(*row) for row in self.rows("SELECT at, kind, detail FROM notes ORDER BY note DESC")]

    def offsets(self) -> list[StoredOffset]:
        """How far the topics have been read."""
        return [StoredOffset(*row) for row in self.rows("SELECT topic, partition, topic_id, next_offset FROM offsets")]

    def since(self) -> datetime | None:
        """From when on battles are counted: the first preference's record timestamp; None where there is none."""
        return self._moment("first_preference_at")

    def last_preference(self) -> datetime | None:
        """The latest preference's record timestamp."""
        return self._moment("last_preference_at")

    def last_vote(self) -> datetime | None:
        """The latest vote's record timestamp."""
        return self._moment("last_vote_at")

    def meta(self, key: str) -> str | int | None:
        """What else is known of the file, by its key."""
        rows = self.rows("SELECT value FROM meta WHERE key = ? AND key != 'voter_key'", [key])
        value: str | int | None = rows[0][0] if rows else None
        return value

    def minutes(self, since_ms: int) -> list[MinuteFacts]:
        """Sums by minute over all preferences of the last two days, the oldest first; only minutes with battles.

        Args:
            since_ms: only the minute of then and later, ms since the epoch.
        """
        since = since_ms // MS_PER_MINUTE
        with self.snapshot():
            sums = self.rows("SELECT * FROM minutes WHERE minute >= ? ORDER BY minute", [since])
            bins = self.rows("SELECT * FROM minute_bins WHERE minute >= ? ORDER BY minute, bin", [since])
        by_minute: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
        for minute, place, battles in bins:
            by_minute[minute].append((place, battles))
        return [
            MinuteFacts(minute, battles, timed, queue / 1e6, tokenise / 1e6, inference / 1e6, tuple(by_minute[minute]))
            for minute, battles, timed, queue, tokenise, inference in sums
        ]

    def verdicts(self, *, after: int = 0, until: int | None = None, limit: int = MOST_KEPT) -> list[tuple[int, str]]:
        """The newest verdicts with their sequence, the oldest of them first, in JSON; only those that are kept.

        Args:
            after: only those with a greater sequence.
            until: only those with no greater one.
            limit: at most so many.
        """
        where, values = between("sequence", after + 1, None if until is None else until + 1)
        return self.rows(
            f"SELECT * FROM (SELECT sequence, verdict FROM recent WHERE {' AND '.join(where)} "
            "ORDER BY sequence DESC LIMIT ?) ORDER BY sequence",
            [*values, limit],
        )

    def verdict_of(self, battle_id: str) -> str | None:
        """The newest verdict of one battle, in JSON; only of those that are kept."""
        found = self.rows(
            f"SELECT verdict FROM recent WHERE {ID_OF_RECENT} = ? ORDER BY sequence DESC LIMIT 1", [battle_id]
        )
        return found[0][0] if found else None

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """What a statement finds.

        Args:
            statement: in SQL; it only reads.
            values: of its marks.

        Raises:
            BoardFileError: the file can't be read.
        """
        with self._lock:
            try:
                return self._connection.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                raise BoardFileError(f"the board's file can't be read ({error})") from error

    def _moment(self, key: str) -> datetime | None:
        found = self.meta(key)
        return None if found is None else moment_of(int(found))


def between(column: str, since: int | None, until: int | None) -> tuple[list[str], list[Any]]:
    """Conditions on a column, and the values of their marks.

    Args:
        column: its name.
        since: it is this or more; None: whatever.
        until: it is less; None: whatever.
    """
    bounds = [(f"{column} >= ?", since), (f"{column} < ?", until)]
    return [text for text, value in bounds if value is not None], [v for _, v in bounds if v is not None]
