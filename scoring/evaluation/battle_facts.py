"""What evaluation knows of labelled battles: labels, lengths, where they come from. No text of theirs.

Gathered while the rows stream by: however long its texts are, a battle takes less than 200 bytes beside its id, and
with `AnswerFacts` 100 more.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.files.languages import language_name
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.style import STYLE_FEATURES, style_of

_Item = TypeVar("_Item")
_Number = TypeVar("_Number", bound=np.generic)

_NUMBERS: Final = np.dtype(
    [
        ("line", np.int64),
        ("prompt", "S32"),
        ("outcome", np.int8),
        ("target", np.float64, (3,)),
        ("votes", np.float64, (3,)),
        ("weight", np.float64),
        ("ties_possible", np.bool_),
        ("chars_a", np.float64),
        ("chars_b", np.float64),
        ("rounds", np.int32),
    ]
)
"""Of one battle, as it is gathered."""


@dataclass(frozen=True, slots=True, eq=False)
class AnswerFacts:
    """Who wrote the answers of n battles, and what they look like.

    Attributes:
        models_a: who wrote response A, where it is known.
        models_b: who wrote response B, where it is known.
        styles: shape (n, 2, counts): of A and of B, `STYLE_FEATURES` in their order.
    """

    models_a: tuple[str | None, ...]
    models_b: tuple[str | None, ...]
    styles: NDArray[np.int32]

    def at(self, rows: NDArray[np.intp]) -> AnswerFacts:
        """Of some of the battles.

        Args:
            rows: which.
        """
        return AnswerFacts(_some(self.models_a, rows), _some(self.models_b, rows), self.styles[rows])


@dataclass(frozen=True, slots=True, eq=False)
class BattleFacts:
    """Facts about n battles, one array element or item each.

    Attributes:
        ids: of the battles.
        lines: number of the line of the file where its row starts, from 1.
        outcomes: column of what people said, in the order of `schemas.OUTCOMES`.
        targets: shape (n, 3): shares of the votes.
        votes: shape (n, 3): how many said what; all 0 where the row has no votes.
        weights: how much each counts in training and calibration.
        prompts: hash of the prompt, by which battles are grouped.
        chars_a: characters of response A, over all its turns.
        chars_b: those of response B.
        rounds: number of the prompt's turns.
        ties_possible: whether the source has ties.
        sources: data set, where it is known.
        tiers: group of data sets, where it is known.
        languages: English name of the language, where it is known.
        answers: what only the table of bias asks for; None where it was not gathered.
    """

    ids: tuple[str, ...]
    lines: NDArray[np.int64]
    outcomes: NDArray[np.intp]
    targets: Triples
    votes: Triples
    weights: NDArray[np.float64]
    prompts: NDArray[np.bytes_]
    chars_a: NDArray[np.float64]
    chars_b: NDArray[np.float64]
    rounds: NDArray[np.intp]
    ties_possible: NDArray[np.bool_]
    sources: tuple[str | None, ...]
    tiers: tuple[str | None, ...]
    languages: tuple[str | None, ...]
    answers: AnswerFacts | None = None

    def __len__(self) -> int:
        return len(self.outcomes)

    @property
    def has_votes(self) -> bool:
        """Whether any label is more than one verdict."""
        return bool((self.targets.max(axis=1, initial=0.0) < 1.0).any())

    @property
    def distinct_prompts(self) -> int:
        """How many different prompts there are."""
        return len(np.unique(self.prompts))

    def at(self, rows: NDArray[np.intp]) -> BattleFacts:
        """Facts about some of the battles.

        Args:
            rows: which.
        """
        return BattleFacts(
            ids=_some(self.ids, rows),
            lines=self.lines[rows],
            outcomes=self.outcomes[rows],
            targets=self.targets[rows],
            votes=self.votes[rows],
            weights=self.weights[rows],
            prompts=self.prompts[rows],
            chars_a=self.chars_a[rows],
            chars_b=self.chars_b[rows],
            rounds=self.rounds[rows],
            ties_possible=self.ties_possible[rows],
            sources=_some(self.sources, rows),
            tiers=_some(self.tiers, rows),
            languages=_some(self.languages, rows),
            answers=self.answers and self.answers.at(rows),
        )


def gather_facts(labelled: Iterable[LabelledBattle], *, answers: bool = False) -> BattleFacts:
    """Take from labelled battles what evaluation needs; each is let go before the next is asked for.

    Args:
        labelled: any number.
        answers: take who wrote the answers and what they look like, too; counting that takes longer than all else.
    """
    gathering = _Gathering(answers=answers)
    numbers = np.fromiter(map(gathering.row, labelled), dtype=_NUMBERS)

    def column(name: str, kind: type[_Number]) -> NDArray[_Number]:
        return np.ascontiguousarray(numbers[name], dtype=kind)

    return BattleFacts(
        ids=tuple(gathering.ids),
        lines=column("line", np.int64),
        outcomes=column("outcome", np.intp),
        targets=column("target", np.float64),
        votes=column("votes", np.float64),
        weights=column("weight", np.float64),
        prompts=np.ascontiguousarray(numbers["prompt"]),
        chars_a=column("chars_a", np.float64),
        chars_b=column("chars_b", np.float64),
        rounds=column("rounds", np.intp),
        ties_possible=column("ties_possible", np.bool_),
        sources=tuple(gathering.sources),
        tiers=tuple(gathering.tiers),
        languages=tuple(gathering.languages),
        answers=gathering.answers(),
    )


class _Gathering:
    """What of the battles is no number, or not always asked for. Of equal names one is kept."""

    def __init__(self, *, answers: bool) -> None:
        self.ids: list[str] = []
        self.sources: list[str | None] = []
        self.tiers: list[str | None] = []
        self.languages: list[str | None] = []
        self._models: tuple[list[str | None], list[str | None]] = ([], [])
        self._styles = array("i") if answers else None
        self._known: dict[str | None, str | None] = {}

    def row(self, one: LabelledBattle) -> tuple[Any, ...]:
        """The numbers of a battle; the rest is kept here."""
        battle, label = one.battle, one.label
        self.ids.append(battle.id)
        self.sources.append(self._kept(one.source))
        self.tiers.append(self._kept(one.tier))
        self.languages.append(self._kept(battle.language and language_name(battle.language)))
        if self._styles is not None:
            for models, model in zip(self._models, (battle.model_a, battle.model_b), strict=True):
                models.append(self._kept(model))
            style = style_of(battle)
            self._styles.extend(getattr(side, name) for side in (style.a, style.b) for name in STYLE_FEATURES)
        return (
            one.line,
            prompt_key(battle),
            OUTCOMES.index(label.outcome),
            label.target,
            label.votes or (0.0, 0.0, 0.0),
            label.weight,
            label.ties_possible,
            _chars(battle.response_a),
            _chars(battle.response_b),
            len(battle.prompt),
        )

    def answers(self) -> AnswerFacts | None:
        """Who wrote them and what they look like, if that was asked for."""
        if self._styles is None:
            return None
        styles = np.array(self._styles, dtype=np.int32).reshape(-1, 2, len(STYLE_FEATURES))
        return AnswerFacts(tuple(self._models[0]), tuple(self._models[1]), styles)

    def _kept(self, name: str | None) -> str | None:
        return self._known.setdefault(name, name)


def _chars(turns: Sequence[str]) -> int:
    return sum(map(len, turns))


def _some(items: tuple[_Item, ...], rows: NDArray[np.intp]) -> tuple[_Item, ...]:
    return tuple(items[row] for row in rows.tolist())
