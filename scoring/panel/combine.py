"""From what the judges said to the panel's answers: weighted mean, disagreement, objects for the wire.

Arithmetic is done on whole batches. Equal rows share one object: building objects is most of the cost where the
judges are cheap.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import (
    OUTCOMES,
    FileSource,
    JudgeOpinion,
    KafkaSource,
    Outcome,
    Preference,
    Probabilities,
    Provenance,
    Timings,
    Truncation,
)
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.probabilities import Triples, exchange, normalise


@dataclass(frozen=True, slots=True)
class PanelAnswer:
    """What the panel says about one battle.

    Attributes:
        probabilities: the weighted mean of the judges', calibrated.
        preferred: the most probable outcome.
        judges: what each judge said, in the panel's order.
        left_out: names of judges that failed and did not take part.
        disagreement: mean Jensen-Shannon divergence over pairs of judges, bits, 0..1; 0 for a lone judge.
    """

    probabilities: Probabilities
    preferred: Outcome
    judges: tuple[JudgeOpinion, ...]
    left_out: tuple[str, ...]
    disagreement: float

    def to_preference(
        self, battle_id: str, source: KafkaSource | FileSource, timings: Timings | None = None
    ) -> Preference:
        """The answer as it is published.

        Args:
            battle_id: id of the battle that was scored.
            source: where the battle came from.
            timings: seconds in each stage; left out where the output must be reproducible.
        """
        return Preference(
            id=battle_id,
            probabilities=self.probabilities,
            preferred=self.preferred,
            judges=self.judges,
            left_out=self.left_out,
            disagreement=self.disagreement,
            source=source,
            timings=timings,
        )


@dataclass(frozen=True, slots=True)
class JudgeAnswers:
    """What one judge said about a batch.

    Attributes:
        name: of the judge.
        weight: share in the mean; the weights of a batch need not sum to 1.
        provenance: of the judge.
        as_given: probabilities in the battles' own order.
        swapped: with swap, those of the exchanged battles, still in the exchanged battles' terms.
        truncations: one receipt per battle; empty for a judge that reads nothing.
    """

    name: str
    weight: float
    provenance: Provenance
    as_given: Triples
    swapped: Triples | None
    truncations: Sequence[Truncation]

    def swapped_back(self) -> Triples | None:
        """The swapped answers in terms of the battles as given."""
        return None if self.swapped is None else exchange(self.swapped)

    def mean(self) -> Triples:
        """The judge's answer: the mean of both orders where there are two."""
        back = self.swapped_back()
        return self.as_given if back is None else (self.as_given + back) / 2


def combine(
    answers: Sequence[JudgeAnswers],
    *,
    calibration: Calibration,
    left_out: tuple[str, ...],
    too_large: Mapping[int, BattleTooLargeError],
) -> list[PanelAnswer | BattleTooLargeError]:
    """Make the panel's answers.

    Args:
        answers: at least one judge's, all about the same battles, with a positive sum of weights.
        calibration: of the weighted mean.
        left_out: names of judges that failed.
        too_large: by position, battles that a judge could not read.

    Returns:
        One per battle, in order: an answer, or the error that takes its place.
    """
    means = [answer.mean() for answer in answers]
    weights = [answer.weight for answer in answers]
    panel = calibration.apply(weighted_mean(means, weights))
    rows = _Rows()
    opinions = [_opinions(answer, mean, rows) for answer, mean in zip(answers, means, strict=True)]
    preferred = [OUTCOMES[column] for column in panel.argmax(axis=1).tolist()]
    disagreement = _disagreement(means).tolist()
    answered: list[PanelAnswer | BattleTooLargeError] = [
        PanelAnswer(rows[row], winner, judges, left_out, gap)
        for row, winner, judges, gap in zip(
            map(tuple, panel.tolist()), preferred, zip(*opinions, strict=True), disagreement, strict=True
        )
    ]
    for position, error in too_large.items():
        answered[position] = error
    return answered


def weighted_mean(means: Sequence[Triples], weights: Sequence[float]) -> Triples:
    """The judges' mean before the panel's own calibration.

    Args:
        means: of each judge, all about the same battles.
        weights: of each judge; they need not sum to 1, but to more than 0.
    """
    # Summed by hand: NumPy's reductions may add in another order for another number of judges.
    total = sum((weight * mean for weight, mean in zip(weights, means, strict=True)), np.zeros_like(means[0]))
    return normalise(total)


class _Rows(dict[tuple[float, ...], Probabilities]):
    """Probabilities by their values, built at first use."""

    def __missing__(self, row: tuple[float, ...]) -> Probabilities:
        built = self[row] = Probabilities(model_a=row[0], model_b=row[1], tie=row[2])
        return built


def _opinions(answer: JudgeAnswers, mean: Triples, rows: _Rows) -> list[JudgeOpinion]:
    back = answer.swapped_back()
    count = len(mean)
    gaps: list[float | None] = [None] * count
    if back is not None:
        gaps = list(np.clip(np.abs(answer.as_given - back).sum(axis=1) / 2, 0.0, 1.0).tolist())
    known: dict[object, JudgeOpinion] = {}
    opinions = []
    for position, (row, given, exchanged, gap) in enumerate(
        zip(
            map(tuple, mean.tolist()),
            map(tuple, answer.as_given.tolist()),
            [None] * count if back is None else map(tuple, back.tolist()),
            gaps,
            strict=True,
        )
    ):
        truncation = answer.truncations[position] if answer.truncations else None
        key = (row, given, exchanged) if truncation is None else position
        opinion = known.get(key)
        if opinion is None:
            opinion = known[key] = JudgeOpinion(
                name=answer.name,
                probabilities=rows[row],
                as_given=None if exchanged is None else rows[given],
                swapped=None if exchanged is None else rows[exchanged],
                position_gap=gap,
                truncation=truncation,
                provenance=answer.provenance,
            )
        opinions.append(opinion)
    return opinions


def _disagreement(means: Sequence[Triples]) -> NDArray[np.float64]:
    """Mean Jensen-Shannon divergence over pairs of judges, bits, shape (battles,)."""
    entropies = [_entropy(mean) for mean in means]
    gaps = [
        _entropy((means[one] + means[other]) / 2) - (entropies[one] + entropies[other]) / 2
        for one, other in itertools.combinations(range(len(means)), 2)
    ]
    if not gaps:
        return np.zeros(len(means[0]))
    # Rounding can leave the range by an ulp, which the contract would refuse.
    clipped: NDArray[np.float64] = np.clip(np.mean(gaps, axis=0), 0.0, 1.0)
    return clipped


def _entropy(triples: Triples) -> NDArray[np.float64]:
    """In bits; 0 log 0 is 0."""
    logs = np.log2(triples, out=np.zeros_like(triples), where=triples > 0)
    bits: NDArray[np.float64] = -(triples * logs).sum(axis=1)
    return bits
