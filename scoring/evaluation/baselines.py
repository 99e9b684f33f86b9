"""Forecasts that read no text: what a judge must beat before its probabilities are worth anything.

Both are fitted by cross-validation on the very battles that are evaluated, grouped by prompt: no battle is forecast by
a model that has seen its prompt. In training every battle stands twice, once with its sides exchanged, so that
neither can learn anything about the order.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from prefstream.schemas import OUTCOMES
from prefstream.scoring.evaluation.battle_facts import BattleFacts
from prefstream.scoring.panel.predict import Forecast
from prefstream.scoring.probabilities import EXCHANGED, Triples

CLASS_PRIOR: Final = "class prior"
LENGTH_ONLY: Final = "length only"

FOLDS: Final = 5
"""Four fifths to train on; more folds would move three or four parameters by little."""


def fit_baselines(facts: BattleFacts) -> list[Forecast]:
    """The forecasts of both baselines; none where all battles share one prompt, which leaves nothing to train on.

    Args:
        facts: of the battles that are evaluated.
    """
    folds = min(FOLDS, facts.distinct_prompts)
    if folds < 2:
        return []
    features = length_features(facts)
    prior = np.zeros((len(facts), len(OUTCOMES)))
    lengths = np.zeros_like(prior)
    for train, test in GroupKFold(folds).split(features, groups=facts.prompts):
        outcomes = np.concatenate([facts.outcomes[train], np.take(EXCHANGED, facts.outcomes[train])])
        doubled = np.concatenate([features[train], _exchange(features[train])])
        prior[test] = _shares(outcomes)
        lengths[test] = _fit_lengths(doubled, outcomes, features[test])
    return [_forecast(CLASS_PRIOR, prior), _forecast(LENGTH_ONLY, lengths)]


def length_features(facts: BattleFacts) -> NDArray[np.float64]:
    """What the length-only baseline sees: how much longer A is, how unlike the lengths are, how long both are.

    Logarithms of characters. The first changes its sign when the sides are exchanged, the others stay.
    """
    log_a, log_b = np.log1p(facts.chars_a), np.log1p(facts.chars_b)
    return np.stack([log_a - log_b, np.abs(log_a - log_b), log_a + log_b], axis=1)


def _exchange(features: NDArray[np.float64]) -> NDArray[np.float64]:
    exchanged: NDArray[np.float64] = features * np.array([-1.0, 1.0, 1.0])
    return exchanged


def _shares(outcomes: NDArray[np.intp]) -> Triples:
    """Share of each outcome, one added to every count: an outcome that the fold never saw stays possible."""
    counts = np.bincount(outcomes, minlength=len(OUTCOMES)) + 1.0
    shares: Triples = counts / counts.sum()
    return shares


def _fit_lengths(train: NDArray[np.float64], outcomes: NDArray[np.intp], test: NDArray[np.float64]) -> Triples:
    seen = np.unique(outcomes)
    if len(seen) < 2:  # nothing but ties
        return np.tile(_shares(outcomes), (len(test), 1))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(train, outcomes)
    probabilities = np.zeros((len(test), len(OUTCOMES)))
    probabilities[:, seen] = model.predict_proba(test)
    # As in `_shares`: three imagined battles, one of each outcome.
    imagined = len(OUTCOMES) / (len(outcomes) + len(OUTCOMES))
    smoothed: Triples = probabilities * (1.0 - imagined) + imagined / len(OUTCOMES)
    return smoothed


def _forecast(name: str, probabilities: Triples) -> Forecast:
    # Training saw both orders of every battle, so what differs between them is the solver's rounding.
    return Forecast(name, probabilities, as_given=probabilities, swapped=probabilities, symmetric=True)
