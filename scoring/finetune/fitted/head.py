"""A head that is fitted before anything else is trained, to the states of the base as it is.

From a head of zeros LoRA spends its first hundreds of steps on the head, and bends states for its sake; from a head
that fits it has only what the states lack to learn: linear probing, then fine-tuning (Kumar et al. 2022, "Fine-Tuning
can Distort Pretrained Features and Underperform Out-of-Distribution", ICLR). Each sequence is read once, and what then
is to be found is the minimum of a convex loss.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.atomic_file import write_atomically
from prefstream.scoring.calibration.cross_fit import deal_prompts
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.fitted.convex import FREE, ConvexFit, Vector, Verdicts, fit_convex

_FILE: Final = "head.safetensors"

FOLDS: Final = 5
"""Into which the prompts are dealt to choose a penalty."""

_DEALING: Final = 0
"""Seed of the dealing."""

_MOST_ITERATIONS: Final = 500
"""Of each fit; one to 8,000 pairs and 640 columns took 60 (measured)."""

_CONSTANT: Final = 1e-6
"""Deviation of a column, relative to the largest, below which it does not vary."""


@dataclass(frozen=True, slots=True, eq=False)
class FittedHead:
    """A pointwise head.

    Attributes:
        weights: shape (2, columns of a state), float32: of the score and of the tie.
        tau: offset of the tie's logit.
        penalty: that was chosen.
        log_losses: on prompts that a fit had not seen, weighted, by penalty.
    """

    weights: NDArray[np.float32]
    tau: float
    penalty: float
    log_losses: dict[float, float]

    @classmethod
    def read(cls, work: Path) -> Self | None:
        """The head that a run began with; None where it has none yet.

        Args:
            work: the run's folder.
        """
        from safetensors import safe_open

        path = work / _FILE
        if not path.exists():
            return None
        with safe_open(path, framework="numpy") as stored:
            told = json.loads(stored.metadata()["head"])
            losses = {float(penalty): loss for penalty, loss in told["log_losses"].items()}
            return cls(stored.get_tensor("weights"), told["tau"], told["penalty"], losses)

    def write(self, work: Path) -> None:
        """Keep it, so that a run that is resumed begins with the very same.

        Args:
            work: the run's folder.
        """
        from safetensors.numpy import save

        told = {"tau": self.tau, "penalty": self.penalty, "log_losses": self.log_losses}
        write_atomically(work / _FILE, save({"weights": self.weights}, metadata={"head": json.dumps(told)}))

    def put_into(self, model: Any) -> None:
        """Make it the head of a model that is about to be trained.

        Args:
            model: peft's.
        """
        import torch

        for name, parameter in model.named_parameters():
            if parameter.requires_grad and ".score." in name:
                parameter.data.copy_(torch.from_numpy(self.weights))


def fit_head(states: NDArray[np.float32], pairs: Pairs, weights: Vector, penalties: Sequence[float]) -> FittedHead:
    """Fit a pointwise head, with the penalty that does best on prompts that it was not fitted on.

    Args:
        states: shape (sequences, columns), what the head reads of each of `pairs.sequences`; those of pairs that don't
            count may hold anything.
        pairs: the training pairs.
        weights: how much each counts; more than 0 for at least one.
        penalties: to choose from, on weights for columns of like size.
    """
    rows = np.flatnonzero(weights > 0)
    problem = _Problem.of(states, pairs, rows, weights[rows])
    losses = {}
    if len(penalties) > 1:
        folds = deal_prompts(pairs.prompts[rows].astype(np.str_), FOLDS, _DEALING)
        losses = {penalty: problem.held_out_loss(penalty, folds) for penalty in penalties}
    best = min(penalties, key=lambda penalty: losses.get(penalty, 0.0))
    head, tau = problem.in_terms_of_states(problem.fit(best, np.arange(len(rows))))
    return FittedHead(head, tau, best, losses)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """The pairs as the fit sees them.

    Attributes:
        sides: shape (n, columns), what A's state has more than B's, in deviations.
        both: shape (n, 1 + columns), a constant, and the mean of both states, in deviations from the middle.
        judged: what people said.
        middle: of all states.
        scale: deviation of each column.
    """

    sides: NDArray[np.float64]
    both: NDArray[np.float64]
    judged: Verdicts
    middle: Vector
    scale: Vector

    @classmethod
    def of(cls, states: NDArray[np.float32], pairs: Pairs, rows: NDArray[np.intp], weights: Vector) -> _Problem:
        first, second = (states[ends[rows]].astype(np.float64) for ends in (pairs.first, pairs.second))
        middle = (first + second).mean(axis=0) / 2
        scale = np.sqrt((((first - middle) ** 2).mean(axis=0) + ((second - middle) ** 2).mean(axis=0)) / 2)
        scale[scale <= _CONSTANT * scale.max(initial=0.0)] = np.inf  # its weight is 0 then
        mean = ((first + second) / 2 - middle) / scale
        return cls(
            sides=(first - second) / scale,
            both=np.concatenate([np.ones((len(rows), 1)), mean], axis=1),
            judged=Verdicts(pairs.targets[rows].astype(np.float64), pairs.ties_possible[rows], weights),
            middle=middle,
            scale=scale,
        )

    def fit(self, penalty: float, rows: NDArray[np.intp]) -> ConvexFit:
        """The minimum over some of the pairs."""
        penalties = np.full(self.sides.shape[1] + self.both.shape[1], penalty)
        penalties[self.sides.shape[1]] = FREE  # the constant
        return fit_convex(
            self.sides[rows], self.both[rows], self.judged.at(rows), penalties, most_iterations=_MOST_ITERATIONS
        )

    def held_out_loss(self, penalty: float, folds: NDArray[np.intp]) -> float:
        """Weighted mean log loss of each pair by a fit to the other folds."""
        losses = np.zeros(len(folds))
        for fold in np.unique(folds):
            held = np.flatnonzero(folds == fold)
            found = self.fit(penalty, np.flatnonzero(folds != fold))
            losses[held] = found.losses(self.sides[held], self.both[held], self.judged.at(held))
        return float(np.average(losses, weights=self.judged.weights))

    def in_terms_of_states(self, found: ConvexFit) -> tuple[NDArray[np.float32], float]:
        """Weights for states as they are, and what then is left for the constant."""
        score, tie = found.sides / self.scale, found.both[1:] / self.scale
        return np.stack([score, tie]).astype(np.float32), float(found.both[0] - tie @ self.middle)
