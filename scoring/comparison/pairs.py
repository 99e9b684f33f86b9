"""Which answers of two sides are about the same battle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.comparison.answers import UNKNOWN, AnswerTable

JoinKey: TypeAlias = Literal["source", "id"]
"""What tells a battle from others: where it stands, or its id."""

_NOTHING: Final = np.zeros(0, dtype=np.intp)


@dataclass(frozen=True, slots=True, eq=False)
class AnswerPairs:
    """Two sides, joined. Every row of a side is joined, alone, or repeated: one of these.

    Attributes:
        by: what was joined by.
        left: rows of the left side that have a partner, in the order of what was joined by.
        right: rows of the right side, each the partner of the left row at its position.
        only_left: rows of the left side without a partner.
        only_right: likewise.
        repeated_left: rows of the left side in whose place a later one of the same battle counts.
        repeated_right: likewise.
        other_ids: battles that stand at one place and have two ids: the topic was made anew, or the file changed. They
            have no partner.
    """

    by: JoinKey
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    only_left: int
    only_right: int
    repeated_left: int
    repeated_right: int
    other_ids: int

    def __len__(self) -> int:
        return len(self.left)


def join(left: AnswerTable, right: AnswerTable, by: JoinKey | None = None) -> AnswerPairs:
    """Find which answers are about the same battle; of several of one side, the last counts.

    Args:
        left: one side.
        right: the other.
        by: what to join by. None: by places, where both sides name places of one topic, or of one file, and no id
            contradicts that (lines of a file move); by ids elsewhere.

    Returns:
        The pairs in an order that is the same with the sides exchanged.
    """
    if by is not None:
        return _join(left, right, by)
    if not set(left.source_names) & set(right.source_names):
        return _join(left, right, "id")
    placed = _join(left, right, "source")
    of_topics = any(kind == "topic" for kind, _ in left.source_names)
    return placed if of_topics or not placed.other_ids else _join(left, right, "id")


def _join(left: AnswerTable, right: AnswerTable, by: JoinKey) -> AnswerPairs:
    keys_left, keys_right = _keys(left, by), _keys(right, by)
    last_left, last_right = _last(keys_left), _last(keys_right)
    shared = sorted(last_left.keys() & last_right.keys())
    found = [(last_left[key], last_right[key]) for key in shared]
    pairs = [(one, other) for one, other in found if left.ids[one] == right.ids[other]]
    rows_left, rows_right = np.array(pairs, dtype=np.intp).T if pairs else (_NOTHING, _NOTHING)
    unplaced_left, unplaced_right = keys_left.count(None), keys_right.count(None)
    return AnswerPairs(
        by=by,
        left=rows_left,
        right=rows_right,
        only_left=len(last_left) - len(pairs) + unplaced_left,
        only_right=len(last_right) - len(pairs) + unplaced_right,
        repeated_left=len(left) - len(last_left) - unplaced_left,
        repeated_right=len(right) - len(last_right) - unplaced_right,
        other_ids=len(found) - len(pairs),
    )


_Key: TypeAlias = tuple[str | int, ...]


def _keys(table: AnswerTable, by: JoinKey) -> list[_Key | None]:
    """What tells each row's battle from others; None where the row does not say."""
    if by == "id":
        return [(one,) for one in table.ids]
    return [
        None if number == UNKNOWN else (*table.source_names[number], partition, place)
        for number, partition, place in table.sources.tolist()
    ]


def _last(keys: Sequence[_Key | None]) -> dict[_Key, int]:
    """The last row of each key."""
    return {key: row for row, key in enumerate(keys) if key is not None}
