"""Reading pairs for a judge of features, without keeping a text: once for what was said of them, once to count.

What stays of a pair are those of its features that are not 0, in 12 bytes each: the words and pairs of neighbours that
one answer has and the other has not, those of the prompt, and some hundred measures. Nothing else that grows with the
file is as large, and no text's length matters beyond the recipe's `max_chars`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress, islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from prefstream.scoring.errors import FileError
from prefstream.scoring.features.extract import Extractor, Features
from prefstream.scoring.files.labelled import LabelledBattle, read_again
from prefstream.scoring.finetune.data.pairs import Pairs, gather_pairs, take
from prefstream.scoring.finetune.data.parts import DataPart

MOST_EXAMPLES: Final = 2_000
"""Battles that are kept, to name features by their words: what decides much is frequent."""

_CHUNK_BATTLES: Final = 256
"""Counted at a time: enough to show progress, few enough to bound memory."""


@dataclass(frozen=True, slots=True, eq=False)
class ChosenPairs:
    """Pairs that a recipe takes of a part of the data.

    Attributes:
        part: of the data.
        pairs: what is known of them without their texts.
        taken: for each usable row of the part, whether it is one of them.
    """

    part: DataPart
    pairs: Pairs
    taken: NDArray[np.bool_]

    @classmethod
    def read(cls, part: DataPart, chosen: Callable[[Pairs], NDArray[np.bool_]], *, soft_labels: bool) -> ChosenPairs:
        """Read a part for the first time.

        Args:
            part: of the data.
            chosen: which pairs the recipe takes.
            soft_labels: as for `gather_pairs`.

        Raises:
            FileError: it takes none.
        """
        # There are no tokens: two sequences stand for all answers.
        pairs = gather_pairs(part.battles(), lambda chunk: [((0,), (1,))] * len(chunk), soft_labels=soft_labels)
        taken = chosen(pairs)
        if not taken.any():
            raise FileError(
                f"{part.path}: no pair counts by this recipe; look at its data.stages, data.weights and dev.tiers"
            )
        return cls(part, take(pairs, np.flatnonzero(taken)), taken)

    def counted(
        self, extractor: Extractor, on_progress: Callable[[int, int], None]
    ) -> Iterator[tuple[Sequence[LabelledBattle], Features]]:
        """Read the pairs for the second time, a chunk at a time, each with its features.

        Args:
            extractor: counts.
            on_progress: told how many are counted, and how many there are.

        Raises:
            FileError: the file is not what it was.
        """
        battles = read_again(
            compress(self.part.battles(), self.taken.tolist()), self.pairs.ids.tolist(), self.part.path
        )
        done = 0
        on_progress(done, len(self.pairs))
        while chunk := list(islice(battles, _CHUNK_BATTLES)):
            yield chunk, extractor.extract([one.battle for one in chunk])
            done += len(chunk)
            on_progress(done, len(self.pairs))


@dataclass(frozen=True, slots=True, eq=False)
class CountedPairs:
    """Pairs to learn from, counted.

    Attributes:
        alike: in which of all pairs somebody was preferred though nothing that is counted tells the answers apart.
        features: of the others.
        examples: some of the battles, evenly spread, in whose words names are looked for.
    """

    alike: NDArray[np.bool_]
    features: Features
    examples: Sequence[LabelledBattle]


def count_pairs(
    chosen: ChosenPairs, extractor: Extractor, on_progress: Callable[[int, int], None] = lambda _done, _all: None
) -> CountedPairs:
    """Count what is in the texts of pairs to learn from.

    Args:
        chosen: the pairs.
        extractor: counts.
        on_progress: told how many are counted, and how many there are.

    Raises:
        FileError: the file is not what it was, or nothing tells the answers of any pair apart.
    """
    targets = chosen.pairs.targets
    decided = targets[:, 0] != targets[:, 1]
    alike = np.zeros(len(targets), dtype=np.bool_)
    sides, both = _RowBuffer(), _RowBuffer()
    step = math.ceil(len(targets) / MOST_EXAMPLES)
    examples: list[LabelledBattle] = []
    done = 0
    for battles, features in chosen.counted(extractor, on_progress):
        rows = slice(done, done + len(battles))
        alike[rows] = decided[rows] & (np.diff(features.sides.indptr) == 0)
        kept = np.flatnonzero(~alike[rows])
        sides.add(csr_array(features.sides[kept]))
        both.add(csr_array(features.both[kept]))
        examples += battles[-done % step :: step]
        done = rows.stop
    if alike.all():
        raise FileError("nothing to learn from: in every pair that counts both answers read the same")
    return CountedPairs(alike, Features(sides.matrix(), both.matrix()), examples)


class _RowBuffer:
    """A sparse matrix that grows by rows, in place: put together of its parts at the end, it would be there twice."""

    def __init__(self) -> None:
        self._data = array("d")
        self._columns = array("i")
        self._ends = array("q", [0])
        self._width = 0

    def add(self, rows: csr_array) -> None:
        """Append rows.

        Args:
            rows: as wide as all before.
        """
        self._width = rows.shape[1]
        self._ends.extend((rows.indptr[1:].astype(np.int64) + len(self._data)).tolist())
        self._data.frombytes(rows.data.astype(np.float64, copy=False).tobytes())
        self._columns.frombytes(rows.indices.astype(np.int32, copy=False).tobytes())

    def matrix(self) -> csr_array:
        """All rows; none can be appended afterwards."""
        data, columns = np.frombuffer(self._data, dtype=np.float64), np.frombuffer(self._columns, dtype=np.int32)
        return csr_array((data, columns, np.array(self._ends)), shape=(len(self._ends) - 1, self._width))
