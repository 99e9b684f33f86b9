"""Which features a judge of features reads: part of its recipe, and of the record beside its weights."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Final

from pydantic import Field, model_validator

from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.settings import Settings

VERSION: Final = 1
"""Raised whenever the same battle would have other features: weights mean nothing for others than they learnt."""

_LONGEST_NGRAM: Final = 6
"""Longer runs hardly ever come twice."""


class FeatureSpec(Settings):
    """What is counted of the texts, beside what is always measured."""

    words: Annotated[
        tuple[int, int], Field(description="Words in the shortest and in the longest sequence that is counted.")
    ] = (1, 2)
    characters: Annotated[
        tuple[int, int] | None, Field(description="Likewise of characters within words; None for no such counts.")
    ] = None
    hash_bits: Annotated[int, Field(ge=6, le=20, description="Counts fall into 2 to the power of so many buckets.")] = (
        16
    )
    max_chars: Annotated[
        int,
        Field(ge=100, description="Of the prompt and of each answer; the middle of what is longer is not counted."),
    ] = 8000
    mask_identity: Annotated[bool, Field(description="Mask phrases in which an answer names its maker.")] = True

    @model_validator(mode="after")
    def _ranges_ascend(self) -> FeatureSpec:
        for name, ngrams in (("words", self.words), ("characters", self.characters)):
            if ngrams is not None and not 1 <= ngrams[0] <= ngrams[1] <= _LONGEST_NGRAM:
                raise ValueError(f"{name}: give the shortest and the longest length, from 1 to {_LONGEST_NGRAM}")
        return self

    @property
    def columns(self) -> tuple[int, int]:
        """How many columns `Features.sides` and `Features.both` have."""
        buckets = 2**self.hash_bits
        return len(SIDES) + buckets * (1 if self.characters is None else 2), len(BOTH) + buckets

    @property
    def name(self) -> str:
        """Family and version of the list, as a preference's `template`."""
        return f"features-{VERSION}"

    @property
    def hash(self) -> str:
        """SHA-256 (64 hexadecimal digits) of the list: of all that decides what a weight means."""
        content = [VERSION, SIDES, BOTH, self.model_dump(mode="json")]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
