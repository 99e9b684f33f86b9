"""Fitting a calibration on battles that people judged: temperatures, tie biases and the judges' weights.

By maximum likelihood, with a mild pull towards changing nothing. Where a source has no ties, a battle says who was
better and nothing about ties: it counts with P(A) / (P(A) + P(B)) alone. A and B are treated alike throughout, so
that exchanging the sides of every battle gives the same parameters.

Where a judge is recused, what it says is not fitted to, neither its own parameters nor its weight nor the mean's: it
would be judged by answers that serving does not use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.panel.combine import weighted_mean
from prefstream.scoring.probabilities import SMALLEST_PROBABILITY, Triples, log_losses

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]

IDENTITY_PRIOR: Final = 1.0
"""Pull of temperature and tie bias towards the identity: the inverse temperature is taken to be 1 and the bias 0, each
give or take 1, before any battle is seen. A dozen battles outweigh it, and data that a sharper judge would fit ever
better still have an optimum."""

WEIGHT_PRIOR_BATTLES: Final = 10.0
"""Pull of the judges' weights towards equality, in battles: between judges that are about equally good, a few hundred
battles can't tell which share is best, and an equal one is the safer guess."""

_TEMPERATURES: Final = (0.01, 100.0)
_TIE_BIASES: Final = (-30.0, 30.0)
"""The bounds of `Calibration`."""

_TIE: Final = 2
"""Column of the tie."""

_PRECISE: Final[Mapping[str, float]] = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 500}
"""scipy's defaults stop some digits early, which would show as different parameters for exchanged sides."""


class CalibrationBounds(NamedTuple):
    """Within which a calibration is looked for.

    Attributes:
        temperatures: the least and the greatest.
        tie_biases: likewise, in nats.
    """

    temperatures: tuple[float, float]
    tie_biases: tuple[float, float]


@dataclass(frozen=True, slots=True)
class JudgeReadings:
    """What one judge said about the battles, before any calibration.

    Attributes:
        name: of the judge.
        orders: shape (orders, battles, 3), in terms of the battles as given: one order, or with swap two.
        weight: in the panel file; a judge with 0 only listens, and keeps 0.
        adjustable: False for a judge that serving does not calibrate, such as a prior.
        counted: shape (battles,): where its answer counts in the panel's; None where it always does.
    """

    name: str
    orders: NDArray[np.float64]
    weight: float = 1.0
    adjustable: bool = True
    counted: Mask | None = None

    def take(self, rows: NDArray[np.intp] | Mask) -> JudgeReadings:
        """The same of some battles."""
        counted = None if self.counted is None else self.counted[rows]
        return replace(self, orders=self.orders[:, rows], counted=counted)

    @property
    def counts(self) -> Mask:
        """Where its answer counts in the panel's."""
        return np.ones(self.orders.shape[1], dtype=np.bool_) if self.counted is None else self.counted

    def weights(self, share: float) -> Vector:
        """Its weight in each battle's mean.

        Args:
            share: where it counts.
        """
        return np.where(self.counts, share, 0.0)

    def calibrated(self, calibration: Calibration) -> Triples:
        """The judge's answers as serving gives them: each order calibrated, then their mean."""
        answers = [calibration.apply(order) for order in self.orders]
        return answers[0] if len(answers) == 1 else (answers[0] + answers[1]) / 2


@dataclass(frozen=True, slots=True)
class Targets:
    """What people said about the battles.

    Attributes:
        shares: shape (battles, 3): share of each outcome; rows sum to 1.
        weights: shape (battles,): for how many battles each counts.
        masked: shape (battles,): True where ties were impossible.
    """

    shares: Triples
    weights: Vector
    masked: Mask

    def take(self, rows: NDArray[np.intp] | Mask) -> Self:
        """The same of some battles."""
        return type(self)(self.shares[rows], self.weights[rows], self.masked[rows])

    def repeated(self, times: int) -> Self:
        """Each battle so many times, which together count as much as before."""
        return type(self)(
            np.tile(self.shares, (times, 1)), np.tile(self.weights / times, times), np.tile(self.masked, times)
        )

    def on_what_was_possible(self) -> tuple[Triples, Vector]:
        """Shares without the tie's where ties were impossible, and the weights that go with them."""
        shares, weights = self.shares.copy(), self.weights
        shares[self.masked, _TIE] = 0.0
        total = shares.sum(axis=1, keepdims=True)
        return np.divide(shares, total, out=np.zeros_like(shares), where=total > 0), np.where(total[:, 0], weights, 0.0)


@dataclass(frozen=True, slots=True)
class PanelFit:
    """Fitted parameters of a panel.

    Attributes:
        judges: calibration of each judge by name; the identity for one that can't be adjusted.
        weights: share of each judge in the mean, by name; they sum to 1.
        panel: calibration of the mean.
    """

    judges: Mapping[str, Calibration]
    weights: Mapping[str, float]
    panel: Calibration

    @classmethod
    def unchanged(cls, readings: Sequence[JudgeReadings]) -> Self:
        """The panel as its file describes it, without any calibration."""
        total = sum(judge.weight for judge in readings)
        return cls(
            judges={judge.name: Calibration() for judge in readings},
            weights={judge.name: judge.weight / total for judge in readings},
            panel=Calibration(),
        )

    def apply(self, readings: Sequence[JudgeReadings]) -> tuple[dict[str, Triples], Triples]:
        """What serving would answer with these parameters: each judge by name, and the panel."""
        judges = {judge.name: judge.calibrated(self.judges[judge.name]) for judge in readings}
        mean = weighted_mean(list(judges.values()), [judge.weights(self.weights[judge.name]) for judge in readings])
        return judges, self.panel.apply(mean)

    def file(self, readings: Sequence[JudgeReadings], *, length_slope: float | None = None) -> CalibrationFile:
        """What the panel file's `calibration` names; says nothing of judges that serving does not calibrate.

        Args:
            readings: of the panel's judges.
            length_slope: of what the panel says with these parameters; None where it has none.
        """
        adjustable = {judge.name for judge in readings if judge.adjustable}
        return CalibrationFile(
            panel=self.panel,
            judges={name: calibration for name, calibration in self.judges.items() if name in adjustable},
            weights=self.weights,
            length_slope=length_slope,
        )


def fit_panel(readings: Sequence[JudgeReadings], targets: Targets) -> PanelFit:
    """Fit everything: each judge by itself, then the weights of their mean, then the mean's own calibration.

    Args:
        readings: of each judge, all about the same battles, with a positive sum of weights.
        targets: what people said about these battles.
    """
    judges = {judge.name: _fit_judge(judge, targets) for judge in readings}
    counted = [judge for judge in readings if judge.weight]
    answers = [judge.calibrated(judges[judge.name]) for judge in counted]
    fitted = fit_weights(answers, targets, [judge.counts for judge in counted]).tolist()
    weights = {judge.name: 0.0 for judge in readings} | {
        judge.name: weight for judge, weight in zip(counted, fitted, strict=True)
    }
    mean = weighted_mean(answers, [judge.weights(share) for share, judge in zip(fitted, counted, strict=True)])
    panel = fit_calibration(mean, targets.shares, targets.weights, targets.masked)
    return PanelFit(judges, weights, panel)


def _fit_judge(judge: JudgeReadings, targets: Targets) -> Calibration:
    """Both orders count half each: the mean of two softmaxes is no softmax, and its loss is below theirs anyway."""
    if not judge.adjustable:
        return Calibration()
    if judge.counted is not None:
        targets, judge = targets.take(judge.counted), judge.take(judge.counted)
    both = targets.repeated(len(judge.orders))
    return fit_calibration(np.concatenate(judge.orders), both.shares, both.weights, both.masked)


def fit_calibration(
    probabilities: Triples, targets: Triples, weights: Vector, masked: Mask, within: CalibrationBounds | None = None
) -> Calibration:
    """Fit temperature and tie bias by maximum likelihood.

    The logits are linear in inverse temperature and tie bias, so the loss is convex in them: there is one optimum,
    and it is found from anywhere. Never worse on these battles than changing nothing.

    Args:
        probabilities: shape (battles, 3), in the order of `schemas.OUTCOMES`.
        targets: shape (battles, 3): share of each outcome.
        weights: shape (battles,): for how many battles each counts.
        masked: shape (battles,): True where ties were impossible; such a battle says nothing about the tie bias.
        within: the best of these is found; None for all that there are. Where it leaves changing nothing out, what is
            found may be worse than that.
    """
    within = within or CalibrationBounds(_TEMPERATURES, _TIE_BIASES)
    shares, counts = Targets(targets, weights, masked).on_what_was_possible()
    logs = -log_losses(probabilities)

    def loss(parameters: Vector) -> tuple[float, Vector]:
        logits, offsets = parameters[0] * logs, parameters - _IDENTITY
        logits[:, _TIE] += parameters[1]
        fit = (shares * logits).sum(axis=1)
        logits[masked, _TIE] = -np.inf
        excess = softmax(logits, axis=1) - shares
        slope = np.array([counts @ (excess * logs).sum(axis=1), counts @ excess[:, _TIE]])
        value = counts @ (logsumexp(logits, axis=1) - fit) + IDENTITY_PRIOR / 2 * (offsets @ offsets)
        return float(value), slope + IDENTITY_PRIOR * offsets

    coldest, hottest = within.temperatures
    bounds = [(1 / hottest, 1 / coldest), within.tie_biases]
    found = minimize(loss, _IDENTITY, jac=True, method="L-BFGS-B", bounds=bounds, options=dict(_PRECISE))
    inverse, tie_bias = found.x.tolist()
    return Calibration(temperature=float(np.clip(1 / inverse, coldest, hottest)), tie_bias=tie_bias)


_IDENTITY: Final = np.array([1.0, 0.0])
"""Inverse temperature and tie bias that change nothing."""


def fit_weights(answers: Sequence[Triples], targets: Targets, counts: Sequence[Mask] | None = None) -> Vector:
    """Fit the judges' shares in the mean by maximum likelihood.

    Args:
        answers: of each judge, shape (battles, 3), all about the same battles.
        targets: what people said about them.
        counts: of each judge, where it counts; each battle has one that does, and those that do share its mean. None:
            all do, everywhere.

    Returns:
        One share per judge, positive, summing to 1.
    """
    shares, weights = targets.on_what_was_possible()
    stacked = np.maximum(np.stack(answers), SMALLEST_PROBABILITY)
    counting = np.ones(stacked.shape[:2], dtype=np.bool_) if counts is None else np.stack(counts)
    stacked *= counting[:, :, None]
    decided = stacked[:, targets.masked, :_TIE].sum(axis=2)
    decided_weights = weights[targets.masked]
    # Where all count, their shares sum to 1; where ties were impossible, what they sum to cancels out.
    partly = ~counting.all(axis=0) & ~targets.masked
    counting, partly_weights = counting[:, partly], (weights * shares.sum(axis=1))[partly]

    def loss(scores: Vector) -> tuple[float, Vector]:
        mix = softmax(scores)
        mean, possible, present = np.tensordot(mix, stacked, axes=1), mix @ decided, mix @ counting
        prior = WEIGHT_PRIOR_BATTLES * np.mean(np.log(mix))
        value = decided_weights @ np.log(possible) - weights @ (shares * np.log(mean)).sum(axis=1) - prior
        value += partly_weights @ np.log(present)
        slope = decided @ (decided_weights / possible) - np.einsum("n,nk,jnk->j", weights, shares / mean, stacked)
        slope += counting @ (partly_weights / present)
        slope = mix * (slope - mix @ slope) - WEIGHT_PRIOR_BATTLES * (1 / len(mix) - mix)
        return float(value), slope

    # The mean's likelihood is concave in the shares, so this finds their one optimum; battles without ties alone, and
    # recusals, may bend it, and then the search from equal shares decides.
    found = minimize(loss, np.zeros(len(answers)), jac=True, method="L-BFGS-B", options=dict(_PRECISE))
    mix: Vector = softmax(found.x)
    return mix
