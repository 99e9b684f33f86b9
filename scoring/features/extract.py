"""From battles to features: one matrix that changes its signs when the answers are exchanged, one that stays.

Whatever is made of both answers is a difference, or an operation that takes them in either order (product, minimum,
distance). So exchanging the answers gives the same bits with other signs, or the same bits.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from prefstream.schemas import Battle, Style, StyleCounts
from prefstream.scoring.encoding.identity import mask_identity
from prefstream.scoring.features import marks, words
from prefstream.scoring.features.names import BATTLE
from prefstream.scoring.features.spec import FeatureSpec
from prefstream.scoring.style import STYLE_FEATURES, style_differences, style_of

Matrix: TypeAlias = NDArray[np.float64]

_SIMILARITY_BITS: Final = 20
"""Buckets in which texts are compared: so many that two words of a text hardly ever share one."""

_COMPARED_CHARS: Final = 60
"""Of the beginnings of both answers: a sentence's first words."""

_LIMIT: Final = 0.5
"""Of the logarithm of the ratio of lengths: about where one answer is half as long again as the other."""


@dataclass(frozen=True, slots=True)
class Features:
    """Of n battles; what is measured comes first, then the buckets of the hash.

    Attributes:
        sides: shape (n, SIDES + buckets): how far the first answer is ahead of the second.
        both: shape (n, BOTH + buckets): of the battle, whichever order its answers have; the buckets are the prompt's.
    """

    sides: csr_array
    both: csr_array


@dataclass(frozen=True, slots=True)
class _Texts:
    """The prompts of n battles, or one side of each.

    Attributes:
        texts: as they are counted: cut, and marked at their ends.
        counts: of words and their neighbours.
        there: likewise, 1 for any number.
        characters: runs of characters, 1 for any number; None where they aren't counted.
    """

    texts: Sequence[str]
    counts: words.Counts
    there: words.Counts
    characters: words.Counts | None


class Extractor:
    """Reads battles by a list of features; keeps nothing of them, and may be used by several threads."""

    def __init__(self, spec: FeatureSpec) -> None:
        self.spec = spec
        self._words = words.count_words(spec.words, _SIMILARITY_BITS)
        self._characters = words.count_characters(spec.characters, spec.hash_bits) if spec.characters else None

    def extract(self, battles: Sequence[Battle]) -> Features:
        """Count and measure.

        Args:
            battles: at least one. What a text costs grows with its length, up to `max_chars`; its style, without end.
        """
        prompts = self._count([self._cut(one.prompt) for one in battles])
        first = self._count([self._answer(one.response_a) for one in battles])
        second = self._count([self._answer(one.response_b) for one in battles])
        styles = [style_of(one) for one in battles]
        answers_first = _measure(prompts, first, [one.response_a for one in battles], [one.a for one in styles])
        answers_second = _measure(prompts, second, [one.response_b for one in battles], [one.b for one in styles])
        battle = _measure_battles(battles, prompts, first, second, answers_first, answers_second)
        length = answers_first[:, 0] - answers_second[:, 0]
        more = answers_first - answers_second
        sides = np.hstack([more, _contrasts(styles), _of_length(length, battle, answers_first, answers_second)])
        both = np.hstack([battle, np.minimum(answers_first, answers_second), np.abs(more)])
        return Features(
            sides=_with_buckets(sides, self._buckets(first) - self._buckets(second)),
            both=_with_buckets(both, self._folded(prompts)),
        )

    def sequences_of(self, battle: Battle) -> tuple[frozenset[str], frozenset[str]]:
        """The sequences of words that are counted, to name buckets by: of the prompt, and of both answers."""
        analyse = self._words.analyse
        answers = analyse(self._answer(battle.response_a)), analyse(self._answer(battle.response_b))
        return frozenset(analyse(self._cut(battle.prompt))), frozenset(itertools.chain(*answers))

    def buckets_of(self, sequences: Sequence[str]) -> NDArray[np.intp]:
        """The bucket that each sequence of words falls into."""
        return words.buckets(sequences, self.spec.hash_bits).astype(np.intp)

    def _cut(self, turns: Sequence[str]) -> str:
        return words.read(turns, self.spec.max_chars)

    def _answer(self, turns: Sequence[str]) -> str:
        text = self._cut(turns)
        return mask_identity(text) if self.spec.mask_identity else text

    def _count(self, texts: Sequence[str]) -> _Texts:
        counts = self._words.count(texts)
        characters = None if self._characters is None else self._characters.count(texts)
        there = words.presence(counts)
        return _Texts(texts, counts, there, None if characters is None else words.presence(characters))

    def _folded(self, read: _Texts) -> words.Counts:
        return words.presence(words.fold(read.there, self.spec.hash_bits))

    def _buckets(self, read: _Texts) -> words.Counts:
        folded = self._folded(read)
        return folded if read.characters is None else csr_array(hstack([folded, read.characters]))


def _measure(prompts: _Texts, answers: _Texts, turns: Sequence[Sequence[str]], styles: Sequence[StyleCounts]) -> Matrix:
    """What is measured of one answer of each battle, shape (n, OF_ANSWER)."""
    of_style = [[math.log1p(getattr(style, name)) for name in STYLE_FEATURES] for style in styles]
    noticed = [
        [
            *(marks.refused(one), marks.blank(one), marks.unfinished(one), marks.asks(one)),
            marks.script_distance(marks.scripts(answer), marks.scripts(prompt)),
        ]
        for one, answer, prompt in zip(turns, answers.texts, prompts.texts, strict=True)
    ]
    counted = words.total(answers.counts)  # a text has its two ends at least
    shared = words.common(prompts.there, answers.there)
    wording = [
        1.0 - words.distinct(answers.there) / counted,
        np.array([len(text) for text in answers.texts]) / counted,
        shared / words.distinct(prompts.there),
        shared / words.distinct(answers.there),
    ]
    return np.hstack([np.array(of_style), np.array(noticed), np.stack(wording, axis=1)])


def _measure_battles(
    battles: Sequence[Battle], prompts: _Texts, first: _Texts, second: _Texts, one: Matrix, other: Matrix
) -> Matrix:
    """What is measured of each battle, shape (n, BATTLE)."""
    shared = words.common(first.there, second.there)
    similar = shared / (words.distinct(first.there) + words.distinct(second.there) - shared)
    length = one[:, 0] - other[:, 0]
    rows = []
    for battle, prompt, a, b in zip(battles, prompts.texts, first.texts, second.texts, strict=True):
        in_a, in_b = marks.numbers(a), marks.numbers(b)
        scripts = marks.scripts(prompt)
        rows.append(
            [
                float(battle.response_a == battle.response_b),
                _common_beginning(a, b),
                len(in_a & in_b) / max(1, len(in_a | in_b)),
                float(not in_a and not in_b),
                math.log1p(sum(map(len, battle.prompt))),
                math.log(len(battle.prompt)),
                float("```" in prompt),
                float("?" in prompt),
                1.0 - scripts.get("latin", 0) / max(1, sum(scripts.values())) if scripts else 0.0,
            ]
        )
    identical, beginnings, same, none, of_prompt, rounds, code, question, not_latin = np.array(rows).T
    longest = np.maximum(one[:, 0], other[:, 0])
    columns = [np.ones(len(battles)), identical, similar, beginnings, same, none, length * length, longest]
    return np.stack([*columns, of_prompt, rounds, code, question, not_latin], axis=1)


def _common_beginning(one: str, other: str) -> float:
    """How much of their first characters two texts have in common, 0 to 1."""
    pairs = zip(one[:_COMPARED_CHARS], other[:_COMPARED_CHARS], strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)) / _COMPARED_CHARS


def _contrasts(styles: Sequence[Style]) -> Matrix:
    """What more of each count there is, as a share of both: LMArena's covariates, of all that is counted."""
    return np.array([style_differences(style, STYLE_FEATURES) for style in styles])


def _of_length(length: NDArray[np.float64], battle: Matrix, one: Matrix, other: Matrix) -> Matrix:
    """What length is worth in which battles, shape (n, LENGTH)."""
    told = {name: battle[:, place] for place, name in enumerate(BATTLE)}
    columns = [
        np.clip(length, -_LIMIT, _LIMIT),
        length * np.abs(length),
        length * told["prompt's length"],
        length * told["rounds"],
        length * told["similar"],
        length * told["code in the prompt"],
        length * np.minimum(one[:, 0], other[:, 0]),
    ]
    return np.stack(columns, axis=1)


def _with_buckets(measured: Matrix, buckets: words.Counts) -> csr_array:
    return csr_array(hstack([csr_array(measured), buckets], format="csr"))
