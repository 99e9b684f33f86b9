"""Pairs of answers by what the answers hold of their battles: language, length, rounds, formatting, who answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.comparison.answers import UNKNOWN, AnswerTable
from prefstream.scoring.comparison.pairs import AnswerPairs
from prefstream.scoring.comparison.rows import RowFacts
from prefstream.scoring.evaluation.slices import (
    LENGTH,
    LENGTH_NAMES,
    NOT_GIVEN,
    Slice,
    length_names,
    rounds_names,
    slices_by_count,
    slices_in_order,
)
from prefstream.scoring.short_hash import short_hash
from prefstream.scoring.style import STYLE_FEATURES

_RATIO: Final = "length of the longer answer by the shorter's"
_RATIO_EDGES: Final = (1.2, 1.5, 2.0)
_RATIO_NAMES: Final = ("under 1.2 times", "1.2 to 1.5", "1.5 to 2", "2 times and more")

_FORMATTING: Final[Mapping[str, str]] = {
    "list_items": "lists",
    "headings": "headings",
    "bold": "bold text",
    "code_blocks": "code blocks",
}
"""What is shown of the counts of style; others are rarer, or go with these."""

_IN_ANSWERS: Final = ("in neither answer", "in one answer", "in both answers")

PANELS: Final = "panels, left and right"


def cut_pairs(left: AnswerTable, right: AnswerTable, pairs: AnswerPairs, rows: RowFacts) -> Iterator[Slice]:
    """All slices, dimension by dimension; a dimension of which nothing is known, or all is alike, is left out.

    Args:
        left: one side.
        right: the other.
        pairs: of both; a slice's rows are positions among them.
        rows: what is known of the battles of the pairs beside the answers.
    """
    names = [
        told or said or others or NOT_GIVEN
        for told, said, others in zip(
            rows.languages,
            (left.languages[row] for row in pairs.left.tolist()),
            (right.languages[row] for row in pairs.right.tolist()),
            strict=True,
        )
    ]
    yield from slices_by_count("language", names)
    if (rows.rounds != UNKNOWN).any():
        known = rows.rounds != UNKNOWN
        rounds = [
            name if there else NOT_GIVEN for name, there in zip(rounds_names(rows.rounds), known.tolist(), strict=True)
        ]
        yield from slices_in_order("rounds", rounds, sorted(set(rounds)))
    yield from _by_style(_styles(left, right, pairs))
    yield from slices_by_count(PANELS, _panels(left, right, pairs))


def _styles(left: AnswerTable, right: AnswerTable, pairs: AnswerPairs) -> NDArray[np.int32]:
    """Of each pair, as either side has it."""
    said, others = left.styles[pairs.left], right.styles[pairs.right]
    styles: NDArray[np.int32] = np.where(said == UNKNOWN, others, said)
    return styles


def _by_style(styles: NDArray[np.int32]) -> Iterator[Slice]:
    known = (styles != UNKNOWN).all(axis=(1, 2))
    if not known.any():
        return

    def named(numbers: NDArray[np.intp], names: tuple[str, ...]) -> list[str]:
        told = zip(numbers.tolist(), known.tolist(), strict=True)
        return [names[number] if there else NOT_GIVEN for number, there in told]

    characters = styles[:, :, STYLE_FEATURES.index("characters")].astype(np.float64)
    both = [
        name if there else NOT_GIVEN
        for name, there in zip(length_names(characters.sum(axis=1)), known.tolist(), strict=True)
    ]
    yield from slices_in_order(LENGTH, both, (*LENGTH_NAMES, NOT_GIVEN))
    # By one character more, so that an empty answer has a ratio, too.
    ratio = (characters.max(axis=1) + 1) / (characters.min(axis=1) + 1)
    ratio_names = named(np.searchsorted(_RATIO_EDGES, np.where(known, ratio, 1.0), side="right"), _RATIO_NAMES)
    yield from slices_in_order(_RATIO, ratio_names, (*_RATIO_NAMES, NOT_GIVEN))
    for feature, called in _FORMATTING.items():
        having = (styles[:, :, STYLE_FEATURES.index(feature)] > 0).sum(axis=1)
        yield from slices_in_order(called, named(having, _IN_ANSWERS), (*_IN_ANSWERS, NOT_GIVEN))


def _panels(left: AnswerTable, right: AnswerTable, pairs: AnswerPairs) -> list[str]:
    both = ([_short(side, row) for row in rows.tolist()] for side, rows in ((left, pairs.left), (right, pairs.right)))
    return [f"{one} and {other}" for one, other in zip(*both, strict=True)]


def _short(side: AnswerTable, row: int) -> str:
    panel = side.panel(row)
    return "not told" if panel is None else short_hash(panel.hash)
