"""Labelled battles as a judge reads them in training: distinct sequences, and pairs that point into them.

Encoded by serving's own `Encoder`. A sequence that several pairs share (an answer that was judged against many
others) is kept once, and read once where they meet in a forward pass.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.probabilities import exchange

_CHUNK_BATTLES: Final = 256
"""Encoded in one call: the tokenizer works on many texts at once; more only needs more memory."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Encoded pairs, as columns of equal length n.

    Attributes:
        sequences: distinct token ids; pointwise: prompt and one answer; pairwise: the battle in one order.
        first: positions in `sequences`; pointwise: of A's; pairwise: of the battle as given.
        second: pointwise: of B's; pairwise: of the battle's swap.
        targets: shape (n, 3), shares of the outcomes in the order of `schemas.OUTCOMES`.
        outcomes: positions in `schemas.OUTCOMES`.
        weights: the rows' own.
        ties_possible: False where the source has no ties.
        prompts: number of the prompt; pairs on the same prompt have the same.
        characters: shape (n, 2), of A's and B's answer as given.
        tiers: empty where the row doesn't say.
        sources: empty where the row doesn't say.
        ids: of the battles.
    """

    sequences: Sequence[NDArray[np.int32]] = field(repr=False)
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    targets: NDArray[np.float32]
    outcomes: NDArray[np.int64]
    weights: NDArray[np.float64]
    ties_possible: NDArray[np.bool_]
    prompts: NDArray[np.int64]
    characters: NDArray[np.int64]
    tiers: NDArray[np.str_]
    sources: NDArray[np.str_]
    ids: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def longer(self) -> NDArray[np.int64]:
        """1 where A is the longer answer, -1 where B is, 0 where they are equal."""
        signs: NDArray[np.int64] = np.sign(self.characters[:, 0] - self.characters[:, 1])
        return signs

    @property
    def length_ratio(self) -> NDArray[np.float64]:
        """How many times as long as the shorter answer the longer one is, at least 1; infinite where one is empty."""
        longer, shorter = self.characters.max(axis=1), self.characters.min(axis=1)
        empty = np.where(longer == shorter, 1.0, np.inf)
        ratio: NDArray[np.float64] = np.divide(longer, shorter, out=empty, where=shorter > 0)
        return ratio


@dataclass(slots=True)
class _Columns:
    """Pairs while they are being gathered."""

    sequences: list[NDArray[np.int32]] = field(default_factory=list, repr=False)
    place_of: dict[bytes, int] = field(default_factory=dict, repr=False)
    prompt_of: dict[str, int] = field(default_factory=dict)
    ends: list[tuple[int, int]] = field(default_factory=list)
    prompts: list[int] = field(default_factory=list)
    labelled: list[tuple[str, tuple[float, float, float], int, float, bool, tuple[int, int], str, str]] = field(
        default_factory=list
    )

    def place(self, sequence: tuple[int, ...]) -> int:
        ids = np.array(sequence, dtype=np.int32)
        key = hashlib.sha256(ids.tobytes()).digest()  # tuples as keys would take ten times the memory of the ids
        if key not in self.place_of:
            self.place_of[key] = len(self.sequences)
            self.sequences.append(ids)
        return self.place_of[key]


def encode_pairs(
    battles: Iterable[LabelledBattle],
    encoder: Encoder,
    *,
    soft_labels: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Pairs:
    """Encode labelled battles, reading them as a stream.

    Args:
        battles: in the order that the pairs keep.
        encoder: the judge's.
        soft_labels: take the shares of the votes as the target where there are any, else the outcome alone.
        on_progress: told how many battles are encoded so far.
    """
    return gather_pairs(battles, partial(_sequences, encoder=encoder), soft_labels=soft_labels, on_progress=on_progress)


def gather_pairs(
    battles: Iterable[LabelledBattle],
    sequences: Callable[[Sequence[LabelledBattle]], Iterable[tuple[tuple[int, ...], tuple[int, ...]]]],
    *,
    soft_labels: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Pairs:
    """Gather labelled battles as pairs, whatever they are read as.

    Args:
        battles: in the order that the pairs keep.
        sequences: the two sequences of each of some battles; equal ones read the same.
        soft_labels: as for `encode_pairs`.
        on_progress: likewise.
    """
    columns = _Columns()
    stream = iter(battles)
    while chunk := list(islice(stream, _CHUNK_BATTLES)):
        for labelled, (first, second) in zip(chunk, sequences(chunk), strict=True):
            _add(columns, labelled, first, second, soft_labels=soft_labels)
        if on_progress:
            on_progress(len(columns.ends))
    return _pairs(columns)


def alike_and_decided(pairs: Pairs) -> NDArray[np.bool_]:
    """Pairs in which somebody was preferred, though the judge reads the same on both sides.

    What told the answers apart was cut off or masked, or nothing did: from such a pair there is nothing to learn but
    noise.
    """
    alike: NDArray[np.bool_] = (pairs.first == pairs.second) & (pairs.targets[:, 0] != pairs.targets[:, 1])
    return alike


def take(pairs: Pairs, chosen: NDArray[np.int64]) -> Pairs:
    """Some of the pairs, with the sequences that they need."""
    ends = np.stack([pairs.first[chosen], pairs.second[chosen]])
    kept, places = np.unique(ends, return_inverse=True)
    places = places.reshape(2, -1)
    columns = ("targets", "outcomes", "weights", "ties_possible", "prompts", "characters", "tiers", "sources", "ids")
    return replace(
        pairs,
        sequences=[pairs.sequences[place] for place in kept],
        first=places[0],
        second=places[1],
        **{name: getattr(pairs, name)[chosen] for name in columns},
    )


def keep_one_order(pairs: Pairs, *, seed: int) -> Pairs:
    """For a pairwise judge: each pair in one order alone, drawn at random, the same in every epoch.

    Returns:
        Pairs whose `first` and `second` are the same sequence, with the targets of that order. `outcomes` and
        `characters` go on speaking of the battle as given.
    """
    swapped = np.random.default_rng(seed).random(len(pairs)) < 0.5
    kept = np.where(swapped, pairs.second, pairs.first)
    targets = np.where(swapped[:, None], exchange(pairs.targets), pairs.targets)
    return replace(pairs, first=kept, second=kept, targets=targets)


def _sequences(chunk: Sequence[LabelledBattle], encoder: Encoder) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The two sequences of each pair."""
    battles = [labelled.battle for labelled in chunk]
    encodings = encoder.encode(battles)
    if encoder.template.kind == "pointwise":
        for encoding in encodings:
            first, second = encoding.sequences
            yield first, second
    else:
        swapped = encoder.encode([battle.swap() for battle in battles])
        for encoding, other in zip(encodings, swapped, strict=True):
            yield encoding.sequences[0], other.sequences[0]


def _add(
    columns: _Columns,
    labelled: LabelledBattle,
    first: tuple[int, ...],
    second: tuple[int, ...],
    *,
    soft_labels: bool,
) -> None:
    label = labelled.label
    outcome = OUTCOMES.index(label.outcome)
    target = label.target
    if not soft_labels:
        shares = [0.0, 0.0, 0.0]
        shares[outcome] = 1.0
        target = (shares[0], shares[1], shares[2])
    columns.ends.append((columns.place(first), columns.place(second)))
    columns.prompts.append(columns.prompt_of.setdefault(prompt_key(labelled.battle), len(columns.prompt_of)))
    columns.labelled.append(
        (
            labelled.battle.id,
            target,
            outcome,
            label.weight,
            label.ties_possible,
            (_characters(labelled.battle.response_a), _characters(labelled.battle.response_b)),
            labelled.tier or "",
            labelled.source or "",
        )
    )


def _characters(turns: Sequence[str]) -> int:
    return sum(map(len, turns))


def _pairs(columns: _Columns) -> Pairs:
    ids, targets, outcomes, weights, ties_possible, characters, tiers, sources = (
        zip(*columns.labelled, strict=True) if columns.labelled else ((),) * 8
    )
    ends = np.array(columns.ends, dtype=np.int64).reshape(-1, 2)
    return Pairs(
        sequences=columns.sequences,
        first=ends[:, 0],
        second=ends[:, 1],
        targets=np.array(targets, dtype=np.float32).reshape(-1, 3),
        outcomes=np.array(outcomes, dtype=np.int64),
        weights=np.array(weights, dtype=np.float64),
        ties_possible=np.array(ties_possible, dtype=np.bool_),
        prompts=np.array(columns.prompts, dtype=np.int64),
        characters=np.array(characters, dtype=np.int64).reshape(-1, 2),
        tiers=np.array(tiers, dtype=np.str_),
        sources=np.array(sources, dtype=np.str_),
        ids=np.array(ids, dtype=np.str_),
    )
