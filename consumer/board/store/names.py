"""Names as small numbers: each stands once in its table, and in memory while there are not too many."""

from __future__ import annotations

import sqlite3
from typing import Final

from prefstream.consumer.board.store.tables import UNKNOWN

MOST_REMEMBERED: Final = 10_000
"""Names of a table that are kept in memory; the others are looked up."""


class Names:
    """The ids of one table's names. What was learned in a transaction that is rolled back is to be forgotten.

    Args:
        connection: in a transaction whenever an id is asked for.
        table: its name.
        columns: those that make a name, all of text.
    """

    def __init__(self, connection: sqlite3.Connection, table: str, columns: tuple[str, ...] = ("name",)) -> None:
        self._connection = connection
        listed, marks = ", ".join(columns), ", ".join("?" * len(columns))
        where = " AND ".join(f"{column} = ?" for column in columns)
        self._look_up = f"SELECT id FROM {table} WHERE {where}"
        self._insert = f"INSERT INTO {table} ({listed}) VALUES ({marks})"
        self._ids: dict[tuple[str, ...], int] = {}

    def id(self, *name: str) -> int:
        """The id of a name, which gets one where it has none."""
        found = self._ids.get(name)
        if found is None:
            row = self._connection.execute(self._look_up, name).fetchone()
            found = int(row[0]) if row else int(self._connection.execute(self._insert, name).lastrowid or 0)
            if len(self._ids) >= MOST_REMEMBERED:
                self._ids.clear()
            self._ids[name] = found
        return found

    def id_or_unknown(self, name: str | None) -> int:
        """Likewise; 0 where there is no name."""
        return UNKNOWN if name is None else self.id(name)

    def forget(self) -> None:
        """Forget what is known: ids of a transaction that was rolled back are nobody's."""
        self._ids.clear()
