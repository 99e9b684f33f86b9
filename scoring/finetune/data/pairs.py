"""Labelled battles as a judge reads them in training: distinct sequences, and pairs that point into them.

Encoded by serving's own `Encoder`. A sequence that several pairs share (an answer that was judged against many
others) is kept once, and read once where they meet in a forward pass.

No text stays: a pair takes four bytes for each token of its sequences, which the judge's `max_length` bounds, and less
than a kilobyte beside them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.probabilities import exchange

_CHUNK_BATTLES: Final = 256
"""Encoded in one call: the tokenizer works on many texts at once; more only needs more memory."""


Ends: TypeAlias = tuple[tuple[int, ...], tuple[int, ...]]
"""The two sequences of a pair."""

_COLUMNS: Final = {
    "first": np.int64,
    "second": np.int64,
    "targets": np.float32,
    "outcomes": np.int64,
    "weights": np.float64,
    "ties_possible": np.bool_,
    "characters": np.int64,
}
"""Columns of `Pairs` that are numbers as they are gathered."""

_NUMBERS: Final = np.dtype(
    [
        ("first", np.int64),
        ("second", np.int64),
        ("prompt", "S32"),
        ("targets", np.float32, (3,)),
        ("outcomes", np.int8),
        ("weights", np.float64),
        ("ties_possible", np.bool_),
        ("characters", np.int64, (2,)),
    ]
)
"""Of one pair, as it is gathered."""


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
    tiers: NDArray[np.object_]
    sources: NDArray[np.object_]
    ids: NDArray[np.object_]

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


class _Gathering:
    """What of the pairs is no number of a fixed size. Of equal sequences and names one is kept."""

    def __init__(self) -> None:
        self.sequences: list[NDArray[np.int32]] = []
        self.ids: list[str] = []
        self.tiers: list[str] = []
        self.sources: list[str] = []
        self._place_of: dict[bytes, int] = {}
        self._known: dict[str, str] = {}

    def row(self, labelled: LabelledBattle, ends: Ends, *, soft_labels: bool) -> tuple[Any, ...]:
        """The numbers of a pair; the rest is kept here."""
        battle, label = labelled.battle, labelled.label
        self.ids.append(battle.id)
        self.tiers.append(self._kept(labelled.tier))
        self.sources.append(self._kept(labelled.source))
        outcome = OUTCOMES.index(label.outcome)
        return (
            *map(self._place, ends),
            prompt_key(battle),
            label.target if soft_labels else tuple(float(place == outcome) for place in range(len(OUTCOMES))),
            outcome,
            label.weight,
            label.ties_possible,
            (_characters(battle.response_a), _characters(battle.response_b)),
        )

    def _place(self, sequence: tuple[int, ...]) -> int:
        ids = np.array(sequence, dtype=np.int32)
        key = hashlib.sha256(ids.tobytes()).digest()  # tuples as keys would take ten times the memory of the ids
        if key not in self._place_of:
            self._place_of[key] = len(self.sequences)
            self.sequences.append(ids)
        return self._place_of[key]

    def _kept(self, name: str | None) -> str:
        return self._known.setdefault(name or "", name or "")


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
    sequences: Callable[[Sequence[LabelledBattle]], Iterable[Ends]],
    *,
    soft_labels: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Pairs:
    """Gather labelled battles as pairs, whatever they are read as; a chunk of them is held at a time.

    Args:
        battles: in the order that the pairs keep.
        sequences: the two sequences of each of some battles; equal ones read the same.
        soft_labels: as for `encode_pairs`.
        on_progress: likewise.
    """
    gathering = _Gathering()

    def rows() -> Iterator[tuple[Any, ...]]:
        stream = iter(battles)
        while chunk := list(islice(stream, _CHUNK_BATTLES)):
            for labelled, ends in zip(chunk, sequences(chunk), strict=True):
                yield gathering.row(labelled, ends, soft_labels=soft_labels)
            if on_progress:
                on_progress(len(gathering.ids))

    numbers = np.fromiter(rows(), dtype=_NUMBERS)
    return Pairs(
        sequences=gathering.sequences,
        prompts=_numbered(numbers["prompt"]),
        ids=np.array(gathering.ids, dtype=np.object_),
        tiers=np.array(gathering.tiers, dtype=np.object_),
        sources=np.array(gathering.sources, dtype=np.object_),
        **{name: numbers[name].astype(kind) for name, kind in _COLUMNS.items()},
    )


def _numbered(keys: NDArray[np.bytes_]) -> NDArray[np.int64]:
    """Equal keys by one number, in the order in which they first come."""
    _, first, which = np.unique(keys, return_index=True, return_inverse=True)
    number = np.empty(len(first), dtype=np.int64)
    number[np.argsort(first)] = np.arange(len(first))
    numbers: NDArray[np.int64] = number[which]
    return numbers


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


def _sequences(chunk: Sequence[LabelledBattle], encoder: Encoder) -> Iterator[Ends]:
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


def _characters(turns: Sequence[str]) -> int:
    return sum(map(len, turns))
