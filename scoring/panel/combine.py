"""From what the judges said to the panel's answers: weighted mean, disagreement, objects for the wire.

Arithmetic is done on whole batches. Equal rows share one object: building objects is most of the cost where the
judges are cheap.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import (
    OUTCOMES,
    Battle,
    FileSource,
    JudgeOpinion,
    KafkaSource,
    Outcome,
    PanelIdentity,
    Preference,
    Probabilities,
    Provenance,
    Timings,
    Truncation,
    Uncertainty,
)
from prefstream.schemas.preference import MAX_ENTROPY_BITS
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.panel.length import take_length_out
from prefstream.scoring.panel.recusal import Recused, who_counts
from prefstream.scoring.probabilities import Triples, entropy_bits, exchange, normalise
from prefstream.scoring.style import style_of


@dataclass(frozen=True, slots=True)
class PanelAnswer:
    """What the panel says about one battle.

    Attributes:
        probabilities: the weighted mean of the judges', calibrated.
        preferred: the most probable outcome.
        judges: what each judge said, in the panel's order.
        left_out: names of judges that failed and did not take part.
        disagreement: mean Jensen-Shannon divergence over pairs of the judges that count, bits, 0..1; 0 for a lone
            judge.
        uncertainty: entropy of the answer, and the part of it that is the judges' disagreement; None where the answer
            was put together without it.
        panel: which panel answered; likewise.
        recused: names of judges that did not count, because a response may be of their own family. Where no other
            judge with a weight was there, they counted all the same, and their weight says so.
        adjusted: the probabilities with the panel's fitted length slope taken out; None where it has none.
    """

    probabilities: Probabilities
    preferred: Outcome
    judges: tuple[JudgeOpinion, ...]
    left_out: tuple[str, ...]
    disagreement: float
    uncertainty: Uncertainty | None = None
    panel: PanelIdentity | None = None
    recused: tuple[str, ...] = ()
    adjusted: Probabilities | None = None

    def to_preference(
        self,
        battle: Battle,
        source: KafkaSource | FileSource,
        timings: Timings | None = None,
        *,
        publish_models: bool = True,
    ) -> Preference:
        """The answer as it is published: with what the battle says of itself, and what its responses look like.

        No text of the battle is in it, and no name of a response (`response_id_a`, `response_id_b`): who has the
        battle has them, joined by id.

        Args:
            battle: that was scored.
            source: where it came from.
            timings: seconds in each stage; left out where the output must be reproducible.
            publish_models: pass on who wrote the responses, as the battle says. Language and time are passed on
                always: they are the prompt's, and tell nobody who answered it.
        """
        return Preference(
            id=battle.id,
            probabilities=self.probabilities,
            preferred=self.preferred,
            judges=self.judges,
            left_out=self.left_out,
            recused=self.recused or None,
            disagreement=self.disagreement,
            uncertainty=self.uncertainty,
            adjusted=self.adjusted,
            model_a=battle.model_a if publish_models else None,
            model_b=battle.model_b if publish_models else None,
            language=battle.language,
            occurred_at=battle.occurred_at,
            style=style_of(battle),
            panel=self.panel,
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
        uncalibrated: the mean of both orders before the judge's own calibration; None where it has none.
    """

    name: str
    weight: float
    provenance: Provenance
    as_given: Triples
    swapped: Triples | None
    truncations: Sequence[Truncation]
    uncalibrated: Triples | None = None

    def swapped_back(self) -> Triples | None:
        """The swapped answers in terms of the battles as given."""
        return None if self.swapped is None else exchange(self.swapped)

    def mean(self) -> Triples:
        """The judge's answer: the mean of both orders where there are two."""
        return mean_of_orders(self.as_given, self.swapped)


def mean_of_orders(as_given: Triples, swapped: Triples | None) -> Triples:
    """A judge's answer: where it was asked in both orders, their mean.

    Args:
        as_given: probabilities in the battles' own order.
        swapped: those of the exchanged battles, in the exchanged battles' terms; None where nobody asked.
    """
    return as_given if swapped is None else (as_given + exchange(swapped)) / 2


def combine(
    answers: Sequence[JudgeAnswers],
    *,
    calibration: Calibration,
    identity: PanelIdentity | None = None,
    left_out: tuple[str, ...],
    too_large: Mapping[int, BattleTooLargeError],
    recused: Recused | None = None,
    length_odds: NDArray[np.float64] | None = None,
) -> list[PanelAnswer | BattleTooLargeError]:
    """Make the panel's answers.

    Args:
        answers: at least one judge's, all about the same battles, with a positive sum of weights.
        calibration: of the weighted mean.
        identity: of the panel.
        left_out: names of judges that failed.
        too_large: by position, battles that a judge could not read.
        recused: who of `answers` must not count where, a column each; None where nobody is recused.
        length_odds: what is taken out for the length of each battle's answers, as `length.length_odds` has it; None
            where nothing is.

    Returns:
        One per battle, in order: an answer, or the error that takes its place.
    """
    means = [answer.mean() for answer in answers]
    counts = np.ones((len(means[0]), len(answers)), dtype=np.bool_)
    if recused is not None:
        counts = who_counts(recused, [answer.weight for answer in answers])
    weights = [np.where(counting, answer.weight, 0.0) for answer, counting in zip(answers, counts.T, strict=True)]
    total = _sum(weights)
    shares = [weight / total for weight in weights]
    mean = weighted_mean(means, weights)
    panel = calibration.apply(mean)
    rows = _Rows()
    opinions = [
        _opinions(answer, said, share, rows) for answer, said, share in zip(answers, means, shares, strict=True)
    ]
    preferred = [OUTCOMES[column] for column in panel.argmax(axis=1).tolist()]
    entropies = [entropy_bits(said) for said in means]
    adjusted: Iterable[Probabilities | None] = itertools.repeat(None, len(panel))
    if length_odds is not None:
        adjusted = [rows[tuple(row)] for row in take_length_out(panel, length_odds).tolist()]
    answered: list[PanelAnswer | BattleTooLargeError] = [
        PanelAnswer(rows[row], winner, judges, left_out, gap, uncertainty, identity, names, taken_out)
        for row, winner, judges, gap, uncertainty, names, taken_out in zip(
            map(tuple, panel.tolist()),
            preferred,
            zip(*opinions, strict=True),
            _disagreement(means, entropies, counts.T).tolist(),
            _uncertainties(entropy_bits(panel), entropy_bits(mean), shares, entropies),
            _recused_names([answer.name for answer in answers], recused, len(panel)),
            adjusted,
            strict=True,
        )
    ]
    for position, error in too_large.items():
        answered[position] = error
    return answered


def weighted_mean(means: Sequence[Triples], weights: Sequence[float | NDArray[np.float64]]) -> Triples:
    """The judges' mean before the panel's own calibration.

    Args:
        means: of each judge, all about the same battles.
        weights: of each judge, one for all battles or one for each; those of a battle need not sum to 1, but to more
            than 0.
    """
    return normalise(_sum([np.reshape(weight, (-1, 1)) * mean for weight, mean in zip(weights, means, strict=True)]))


def _sum(terms: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """By hand: NumPy's reductions may add in another order for another number of judges."""
    return sum(terms, np.zeros_like(terms[0]))


class _Rows(dict[tuple[float, ...], Probabilities]):
    """Probabilities by their values, built at first use."""

    def __missing__(self, row: tuple[float, ...]) -> Probabilities:
        built = self[row] = Probabilities(model_a=row[0], model_b=row[1], tie=row[2])
        return built


def _opinions(answer: JudgeAnswers, mean: Triples, shares: NDArray[np.float64], rows: _Rows) -> list[JudgeOpinion]:
    back = answer.swapped_back()
    count = len(mean)
    gaps: list[float | None] = [None] * count
    if back is not None:
        gaps = list(np.clip(np.abs(answer.as_given - back).sum(axis=1) / 2, 0.0, 1.0).tolist())
    # In one order alone the answer is the one as given.
    given_rows = _tuples(None if back is None else answer.as_given, count)
    known: dict[object, JudgeOpinion] = {}
    opinions = []
    for position, (row, share, given, exchanged, raw, gap) in enumerate(
        zip(
            map(tuple, mean.tolist()),
            shares.tolist(),
            given_rows,
            _tuples(back, count),
            _tuples(answer.uncalibrated, count),
            gaps,
            strict=True,
        )
    ):
        truncation = answer.truncations[position] if answer.truncations else None
        key = (row, share, given, exchanged, raw) if truncation is None else position
        opinion = known.get(key)
        if opinion is None:
            opinion = known[key] = JudgeOpinion(
                name=answer.name,
                probabilities=rows[row],
                as_given=None if given is None else rows[given],
                swapped=None if exchanged is None else rows[exchanged],
                position_gap=gap,
                weight=share,
                uncalibrated=None if raw is None else rows[raw],
                truncation=truncation,
                provenance=answer.provenance,
            )
        opinions.append(opinion)
    return opinions


def _tuples(triples: Triples | None, count: int) -> Iterable[tuple[float, ...] | None]:
    """Row by row; where there are none, as often nothing."""
    return itertools.repeat(None, count) if triples is None else map(tuple, triples.tolist())


def _recused_names(names: Sequence[str], recused: Recused | None, battles: int) -> Iterable[tuple[str, ...]]:
    """Of each battle."""
    if recused is None:
        return itertools.repeat((), battles)
    return (tuple(itertools.compress(names, row)) for row in recused.tolist())


def _uncertainties(
    panel: NDArray[np.float64],
    mean: NDArray[np.float64],
    shares: Sequence[NDArray[np.float64]],
    entropies: Sequence[NDArray[np.float64]],
) -> Iterator[Uncertainty]:
    """How little the panel knows of each battle; equal ones are one object.

    What the judges disagree about is their generalised Jensen-Shannon divergence (Lin 1991): the entropy of their
    weighted mean less the weighted mean of their entropies.

    Args:
        panel: entropies of the panel's answers.
        mean: those of the judges' weighted mean, before the panel's calibration.
        shares: of each judge in that mean.
        entropies: those of each judge's answers.
    """
    within = _sum([share * bits for share, bits in zip(shares, entropies, strict=True)])
    # Rounding can leave the range by an ulp, which the contract would refuse.
    entropy = np.clip(panel, 0.0, MAX_ENTROPY_BITS).tolist()
    between = np.clip(mean - within, 0.0, MAX_ENTROPY_BITS).tolist()
    known: dict[tuple[float, float], Uncertainty] = {}
    for both in zip(entropy, between, strict=True):
        if both not in known:
            known[both] = Uncertainty(entropy=both[0], between_judges=both[1])
        yield known[both]


def _disagreement(
    means: Sequence[Triples], entropies: Sequence[NDArray[np.float64]], counts: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean Jensen-Shannon divergence over pairs of judges that count, bits, shape (battles,); 0 without a pair.

    Args:
        means: of each judge.
        entropies: of these.
        counts: where each judge counts, shape (judges, battles).
    """
    gaps, pairs = np.zeros(len(means[0])), np.zeros(len(means[0]))
    for one, other in itertools.combinations(range(len(means)), 2):
        both = counts[one] & counts[other]
        gap = entropy_bits((means[one] + means[other]) / 2) - (entropies[one] + entropies[other]) / 2
        gaps += gap * both
        pairs += both
    # Rounding can leave the range by an ulp, which the contract would refuse.
    clipped: NDArray[np.float64] = np.clip(gaps / np.maximum(pairs, 1), 0.0, 1.0)
    return clipped
