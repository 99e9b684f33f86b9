"""Votes joined with battles by id, in any order, within bounds of age and number.

A vote counts where its record and that of the battle's preference lie at most the window apart. Whatever is given up is
counted: `too_late` for a battle that left the join, or a vote from outside the window; `unknown_battles` for a vote
whose battle did not come for as long as it was waited for.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from prefstream.consumer.board.store.records import WINNERS, VoteRecord, hash_id, hash_voter
from prefstream.consumer.board.store.tables import FACTS, Facts
from prefstream.scoring.moments import milliseconds

_AT_ONCE: Final = 500
"""Keys in one statement; SQLite takes more, but no faster."""


@dataclass(frozen=True, slots=True)
class JoinBounds:
    """How much is kept for votes that may still come.

    Attributes:
        window_ms: a vote that lies further from its battle's preference does not count.
        max_rows: battles in the join, battles remembered as gone, and votes that wait, each at most.
    """

    window_ms: int
    max_rows: int


class _Vote(NamedTuple):
    """A row of `pending_votes`, and with a battle's number in place of its hash one of `votes`."""

    id_hash: bytes
    voter: bytes
    winner: int
    at: int
    occurred_at: int | None
    partition: int
    offset: int

    @property
    def order(self) -> tuple[int, int, int]:
        """The same on every reading of the topic, however its partitions are interleaved."""
        return (self.at, self.partition, self.offset)


class Join:
    """The join's tables.

    Args:
        connection: in a transaction whenever something is called.
        bounds: how much is kept.
        voter_key: by which voters are hashed.
    """

    def __init__(self, connection: sqlite3.Connection, bounds: JoinBounds, voter_key: bytes) -> None:
        self._connection = connection
        self._bounds = bounds
        self._voter_key = voter_key
        self.recount()

    def recount(self) -> None:
        """Count rows anew: at the start, and after a transaction that was rolled back."""
        self._rows = {
            table: int(self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
            for table in ("battles", "gone", "pending_votes")
        }

    def known(self, hashes: Iterable[bytes]) -> set[bytes]:
        """Which battles have been counted already, as far as that is remembered."""
        wanted = list(hashes)
        return {
            found
            for table in ("battles", "voted", "gone")
            for (found,) in self._select(f"SELECT id_hash FROM {table} WHERE id_hash IN", wanted)
        }

    def add_battles(self, battles: Sequence[tuple[bytes, str, Facts]], counted: Counter[str]) -> None:
        """Put battles into the join, and count the votes that waited for them.

        Args:
            battles: hash, id and facts of each; none is known.
            counted: what becomes of the votes is added.
        """
        self._connection.executemany(_INSERT_BATTLE, ((id_hash, *facts) for id_hash, _, facts in battles))
        self._rows["battles"] += len(battles)
        if not self._rows["pending_votes"]:
            return
        waiting = [
            _Vote(*row)
            for row in self._select("SELECT * FROM pending_votes WHERE id_hash IN", [one[0] for one in battles])
        ]
        if waiting:
            ids = {id_hash: battle_id for id_hash, battle_id, _ in battles}
            self._settle(waiting, ids, counted)
            hashes = {vote.id_hash for vote in waiting}
            self._connection.executemany("DELETE FROM pending_votes WHERE id_hash = ?", ((one,) for one in hashes))
            self._rows["pending_votes"] -= len(waiting)

    def add_votes(self, records: Sequence[VoteRecord], counted: Counter[str]) -> None:
        """Count votes, or let them wait for their battles.

        Args:
            records: in any order.
            counted: what becomes of them is added.
        """
        ids = {hash_id(record.vote.id): record.vote.id for record in records}
        pending = self._settle(list(map(self._row, records)), ids, counted)
        # A topic that was created anew and filled from a copy holds the very records that wait already.
        added = self._connection.executemany(_INSERT_PENDING, pending).rowcount if pending else 0
        self._rows["pending_votes"] += added
        counted["replaced_votes"] += len(pending) - added

    def give_up(self, preferences_until: int | None, votes_until: int | None, counted: Counter[str]) -> None:
        """Let go what no record can meet any more, and the oldest of what is too many.

        Args:
            preferences_until: as `ReadProgress.preferences_until`.
            votes_until: as `ReadProgress.votes_until`.
            counted: what was given up is added.
        """
        window, most = self._bounds.window_ms, self._bounds.max_rows
        if votes_until is not None:
            self._leave("at < ?", votes_until - window)
        if (excess := self._rows["battles"] - most) > 0:
            counted["join_full"] += excess
            self._leave("battle IN (SELECT battle FROM battles ORDER BY at, id_hash LIMIT ?)", excess)
        if (excess := self._rows["gone"] - most) > 0:
            self._delete("gone", "id_hash IN (SELECT id_hash FROM gone ORDER BY at, id_hash LIMIT ?)", excess)
        if preferences_until is not None:
            counted["unknown_battles"] += self._delete("pending_votes", "at < ?", preferences_until - window)
        if (excess := self._rows["pending_votes"] - most) > 0:
            oldest = "SELECT id_hash, voter, at, partition, offset FROM pending_votes ORDER BY at, partition, offset"
            where = f"(id_hash, voter, at, partition, offset) IN ({oldest} LIMIT ?)"
            counted["unknown_battles"] += self._delete("pending_votes", where, excess)

    def _row(self, record: VoteRecord) -> _Vote:
        vote = record.vote
        return _Vote(
            hash_id(vote.id),
            hash_voter(self._voter_key, record),
            WINNERS.index(vote.winner),
            record.at,
            None if vote.occurred_at is None else milliseconds(vote.occurred_at),
            record.partition,
            record.offset,
        )

    def _settle(self, votes: Sequence[_Vote], ids: dict[bytes, str], counted: Counter[str]) -> list[_Vote]:
        """Count votes whose battles are known; returns the others."""
        hashes = list({vote.id_hash for vote in votes})
        voted = {found: (number, at) for found, number, at in self._select(_SELECT_VOTED, hashes)}
        joined = dict(self._select("SELECT id_hash, at FROM battles WHERE id_hash IN", hashes))
        gone = {found for (found,) in self._select("SELECT id_hash FROM gone WHERE id_hash IN", hashes)}
        unknown = []
        for vote in votes:
            one = vote.id_hash
            published = voted[one][1] if one in voted else joined.get(one)
            if published is None and one not in gone:
                unknown.append(vote)
            elif published is None or abs(vote.at - published) > self._bounds.window_ms:
                counted["too_late"] += 1
            else:
                if one not in voted:
                    voted[one] = (self._first_vote(one, ids[one]), published)
                self._count(voted[one][0], vote, counted)
        return unknown

    def _first_vote(self, id_hash: bytes, battle_id: str) -> int:
        """Keep a battle beyond the join; returns its number in `voted`."""
        return int(self._connection.execute(_INSERT_VOTED, (battle_id, id_hash)).lastrowid or 0)

    def _count(self, battle: int, vote: _Vote, counted: Counter[str]) -> None:
        """Count a vote; of two of one voter the later record counts."""
        earlier = self._connection.execute(_SELECT_VOTE, (battle, vote.voter)).fetchone()
        if earlier is not None:
            counted["replaced_votes"] += 1
            if tuple(earlier) >= vote.order:
                return
        self._connection.execute(_REPLACE_VOTE, (battle, *vote[1:]))

    def _leave(self, where: str, value: int) -> None:
        """Battles leave the join; that they were there is remembered."""
        self._connection.execute(f"INSERT INTO gone SELECT id_hash, at FROM battles WHERE {where}", (value,))
        self._rows["gone"] += self._delete("battles", where, value)

    def _delete(self, table: str, where: str, value: int) -> int:
        deleted = self._connection.execute(f"DELETE FROM {table} WHERE {where}", (value,)).rowcount
        self._rows[table] -= deleted
        return deleted

    def _select(self, statement: str, keys: Sequence[bytes]) -> Iterator[tuple[Any, ...]]:
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            yield from self._connection.execute(f"{statement} ({', '.join('?' * len(some))})", some)


def _marks(count: int) -> str:
    return ", ".join("?" * count)


_INSERT_BATTLE: Final = f"INSERT INTO battles (id_hash, {FACTS}) VALUES ({_marks(1 + len(Facts._fields))})"
_INSERT_PENDING: Final = f"INSERT OR IGNORE INTO pending_votes VALUES ({_marks(len(_Vote._fields))})"
_INSERT_VOTED: Final = (
    f"INSERT INTO voted (id_hash, {FACTS}, id) SELECT id_hash, {FACTS}, ? FROM battles WHERE id_hash = ?"
)
_REPLACE_VOTE: Final = f"REPLACE INTO votes VALUES ({_marks(len(_Vote._fields))})"
_SELECT_VOTE: Final = "SELECT at, partition, offset FROM votes WHERE battle = ? AND voter = ?"
_SELECT_VOTED: Final = "SELECT id_hash, battle, at FROM voted WHERE id_hash IN"
