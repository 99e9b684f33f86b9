"""Battles that a person should look at: of each day those that the panel was least sure of, and most divided on."""

from __future__ import annotations

import heapq
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

from prefstream.consumer.board.store.tables import Facts

MS_PER_DAY: Final = 86_400_000

PER_DAY: Final = 100
"""For each reason: more than people look at in a day."""

DAYS: Final = 30
"""That are kept, back from the newest one."""

REASONS: Final = ("disagreement", "entropy")
"""Columns of the facts that battles are ranked by, the greatest first."""


class Candidate(NamedTuple):
    """A battle that may be one of its day's."""

    id_hash: bytes
    id: str
    facts: Facts


def keep_candidates(connection: sqlite3.Connection, battles: Iterable[Candidate]) -> None:
    """Keep those that are among their day's `PER_DAY`, whatever the order in which they come.

    Args:
        connection: in a transaction.
        battles: counted for the first time, as far as that is remembered: one may be among its day's already.
    """
    by_day: defaultdict[int, list[Candidate]] = defaultdict(list)
    for battle in battles:
        by_day[battle.facts.at // MS_PER_DAY].append(battle)
    if not by_day:
        return
    for day, those in by_day.items():
        for why in REASONS:
            _keep(connection, day, why, those)
    (newest,) = connection.execute("SELECT max(day) FROM candidates").fetchone()
    today = int(time.time() * 1000) // MS_PER_DAY  # a timestamp of the future must not empty the list
    connection.execute("DELETE FROM candidates WHERE day <= ?", (min(newest, today) - DAYS,))


def _keep(connection: sqlite3.Connection, day: int, why: str, battles: list[Candidate]) -> None:
    best = heapq.nsmallest(PER_DAY, battles, key=lambda battle: (-getattr(battle.facts, why), battle.id_hash))
    connection.executemany(
        _INSERT, ((day, why, getattr(one.facts, why), one.id_hash, one.id, *one.facts) for one in best)
    )
    connection.execute(
        "DELETE FROM candidates WHERE day = :day AND why = :why AND id_hash IN ("
        "SELECT id_hash FROM candidates WHERE day = :day AND why = :why ORDER BY score DESC, id_hash LIMIT -1 "
        f"OFFSET {PER_DAY})",
        {"day": day, "why": why},
    )


_INSERT: Final = f"REPLACE INTO candidates VALUES ({', '.join('?' * (5 + len(Facts._fields)))})"
