"""What evaluation knows of labelled battles: labels, lengths, where they come from. No text of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.files.languages import language_name
from prefstream.scoring.probabilities import Triples


@dataclass(frozen=True, slots=True, eq=False)
class BattleFacts:
    """Facts about n battles, one array element or item each.

    Attributes:
        outcomes: column of what people said, in the order of `schemas.OUTCOMES`.
        targets: shape (n, 3): shares of the votes.
        prompts: hash of the prompt, by which battles are grouped.
        chars_a: characters of response A, over all its turns.
        chars_b: those of response B.
        rounds: number of the prompt's turns.
        ties_possible: whether the source has ties.
        sources: data set, where it is known.
        tiers: group of data sets, where it is known.
        languages: English name of the language, where it is known.
    """

    outcomes: NDArray[np.intp]
    targets: Triples
    prompts: tuple[str, ...]
    chars_a: NDArray[np.float64]
    chars_b: NDArray[np.float64]
    rounds: NDArray[np.intp]
    ties_possible: NDArray[np.bool_]
    sources: tuple[str | None, ...]
    tiers: tuple[str | None, ...]
    languages: tuple[str | None, ...]

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def has_votes(self) -> bool:
        """Whether any label is more than one verdict."""
        return bool((self.targets.max(axis=1, initial=0.0) < 1.0).any())


def gather_facts(labelled: Sequence[LabelledBattle]) -> BattleFacts:
    """Take from labelled battles what evaluation needs.

    Args:
        labelled: any number.
    """
    battles = [one.battle for one in labelled]
    return BattleFacts(
        outcomes=np.array([OUTCOMES.index(one.label.outcome) for one in labelled], dtype=np.intp),
        targets=np.array([one.label.target for one in labelled], dtype=np.float64).reshape(-1, len(OUTCOMES)),
        prompts=tuple(map(prompt_key, battles)),
        chars_a=np.array([_chars(battle.response_a) for battle in battles], dtype=np.float64),
        chars_b=np.array([_chars(battle.response_b) for battle in battles], dtype=np.float64),
        rounds=np.array([len(battle.prompt) for battle in battles], dtype=np.intp),
        ties_possible=np.array([one.label.ties_possible for one in labelled], dtype=np.bool_),
        sources=tuple(one.source for one in labelled),
        tiers=tuple(one.tier for one in labelled),
        languages=tuple(battle.language and language_name(battle.language) for battle in battles),
    )


def _chars(turns: Sequence[str]) -> int:
    return sum(map(len, turns))
