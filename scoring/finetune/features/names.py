"""Naming the features that decide most: measures by what they measure, buckets by the words that fell into them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from prefstream.scoring.features.extract import Extractor, Features
from prefstream.scoring.features.linear import LinearModel
from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.features.strongest import Decides, NamedFeature
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.finetune.features.fit import standard_deviations

_WORDS_NAMED: Final[dict[Decides, int]] = {"winner": 250, "tie": 50}
"""Buckets that are named: who looks reads tens of them, and the record is to stay small."""

_LEAST_PROMPTS: Final = 5
"""Words that stand on fewer prompts may be somebody's own, a name or a number, and are not written down."""

_DIGITS: Final = 6
"""Of a weight for people."""


def name_features(
    model: LinearModel, features: Features, examples: Sequence[LabelledBattle], extractor: Extractor
) -> tuple[NamedFeature, ...]:
    """The strongest features by name, strongest first.

    Args:
        model: that was fitted.
        features: what it was fitted on.
        examples: some of the same battles, in whose texts names are looked for.
        extractor: that counted the features.
    """
    winner = _name("winner", model.sides, features.sides, SIDES, examples, extractor)
    tie = _name("tie", model.both, features.both, BOTH, examples, extractor)
    return tuple(sorted((*winner, *tie), key=lambda one: (-abs(one.effect), one.name)))


def _name(
    decides: Decides,
    weights: NDArray[np.float32],
    columns: csr_array,
    measures: Sequence[str],
    examples: Sequence[LabelledBattle],
    extractor: Extractor,
) -> Iterator[NamedFeature]:
    effects = weights * standard_deviations(columns)

    def named(place: int, name: str, *, hashed: bool) -> NamedFeature:
        weight, effect = round(float(weights[place]), _DIGITS), round(float(effects[place]), _DIGITS)
        return NamedFeature(name=name, decides=decides, weight=weight, effect=effect, hashed=hashed)

    for place, name in enumerate(measures):
        if weights[place]:
            yield named(place, name, hashed=False)
    buckets = np.arange(2**extractor.spec.hash_bits)
    of_words = np.abs(effects[len(measures) + buckets])
    strongest = buckets[np.lexsort((buckets, -of_words))][: _WORDS_NAMED[decides]]
    texts = _texts(decides, examples, extractor)
    for bucket, words in _most_frequent(strongest[of_words[strongest] > 0], texts, extractor).items():
        yield named(len(measures) + bucket, words, hashed=True)


def _texts(
    decides: Decides, examples: Sequence[LabelledBattle], extractor: Extractor
) -> Iterator[tuple[bytes, frozenset[str]]]:
    """The prompt, and what is counted for this decision, of each battle."""
    for one in examples:
        of_prompt, of_answers = extractor.sequences_of(one.battle)
        yield prompt_key(one.battle), of_answers if decides == "winner" else of_prompt


def _most_frequent(
    buckets: NDArray[np.intp], texts: Iterable[tuple[bytes, frozenset[str]]], extractor: Extractor
) -> dict[int, str]:
    """The sequence of words that stands on most prompts, of each bucket in which one stands on enough of them."""
    wanted = frozenset(buckets.tolist())
    known: dict[str, int] = {}
    prompts: dict[int, dict[str, set[bytes]]] = {bucket: defaultdict(set) for bucket in wanted}
    for prompt, sequences in texts:
        unknown = sorted(sequences - known.keys())
        known.update(zip(unknown, extractor.buckets_of(unknown).tolist(), strict=True))
        for sequence in sequences:
            if known[sequence] in wanted:
                prompts[known[sequence]][sequence].add(prompt)
    named = {}
    for bucket, found in prompts.items():
        best = min(found, key=lambda sequence: (-len(found[sequence]), sequence), default=None)
        if best is not None and len(found[best]) >= _LEAST_PROMPTS:
            named[bucket] = best
    return named
