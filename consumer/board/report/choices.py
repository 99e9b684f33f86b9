"""What can be asked of the board: the choices of its options and of its API's parameters."""

from __future__ import annotations

from typing import Literal, TypeAlias

Method: TypeAlias = Literal["both", "votes", "judges"]
"""What strengths come from: people's votes, the panel's preferences, or both by prediction-powered inference."""

Window: TypeAlias = Literal["all", "week", "day"]
"""Which votes and preferences count, by when the preferences were published."""

Step: TypeAlias = Literal["hour", "day"]
"""Length of a slice of time."""

StoredTableName: TypeAlias = Literal[
    "models",
    "pairs",
    "ties",
    "languages",
    "time",
    "trust",
    "trust-time",
    "trust-slices",
    "reliability",
    "length",
    "review",
    "minutes",
    "counters",
]
"""The tables of what is stored, as CSV."""

TableName: TypeAlias = Literal[StoredTableName, "lag", "dead-letters"]
"""The tables that there are as CSV; two of them only who watches the stream can tell."""

UnknownSelection: TypeAlias = Literal["as-random", "leave-out"]
"""What becomes of votes of which nobody knows how probable it was that they were asked for."""
