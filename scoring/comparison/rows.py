"""What rows of battles tell beside the answers: prompts, rounds, languages, and what people said. No text stays."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES, Battle, Outcome
from prefstream.scoring.comparison.answers import UNKNOWN
from prefstream.scoring.files.labelled import prompt_key
from prefstream.scoring.files.languages import language_name


class BattleRows:
    """Takes battles one after the other; of two with one id the last counts."""

    def __init__(self) -> None:
        self._row_of: dict[str, int] = {}
        self._prompts: list[bytes] = []
        self._rounds = array("i")
        self._outcomes = array("b")
        self._languages: list[str | None] = []

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, battle: Battle, outcome: Outcome | None) -> None:
        """Take a battle.

        Args:
            battle: of which its prompt's hash, its rounds and its language stay.
            outcome: what people said; None where nobody did.
        """
        self._row_of[battle.id] = len(self._prompts)
        self._prompts.append(prompt_key(battle))
        self._rounds.append(len(battle.prompt))
        self._outcomes.append(UNKNOWN if outcome is None else OUTCOMES.index(outcome))
        self._languages.append(battle.language and language_name(battle.language))

    def of(self, ids: Sequence[str]) -> RowFacts:
        """What is known of battles.

        Args:
            ids: of any battles, taken or not.
        """
        rows = [self._row_of.get(one, UNKNOWN) for one in ids]
        at = np.array(rows, dtype=np.intp)
        known = at != UNKNOWN
        rounds, outcomes = (
            np.where(known, np.append(np.array(column, dtype=np.intp), UNKNOWN)[at], UNKNOWN)
            for column in (self._rounds, self._outcomes)
        )
        return RowFacts(
            prompts=tuple(None if row == UNKNOWN else self._prompts[row] for row in rows),
            rounds=rounds,
            outcomes=outcomes,
            languages=tuple(None if row == UNKNOWN else self._languages[row] for row in rows),
        )


@dataclass(frozen=True, slots=True, eq=False)
class RowFacts:
    """What is known of n battles.

    Attributes:
        prompts: hash of each prompt; None where it is not known.
        rounds: of each; `UNKNOWN` where they are not known.
        outcomes: column of what people said; `UNKNOWN` where nobody did.
        languages: English names, where they are known.
    """

    prompts: tuple[bytes | None, ...] = field(repr=False)
    rounds: NDArray[np.intp]
    outcomes: NDArray[np.intp]
    languages: tuple[str | None, ...]
