"""From predictions and labels to an `Evaluation`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from prefstream.schemas import OUTCOMES
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.baselines import fit_baselines
from prefstream.scoring.evaluation.battle_facts import BattleFacts
from prefstream.scoring.evaluation.bias import length_bias, length_ratios, position_bias
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED, Resamples
from prefstream.scoring.evaluation.metrics import Statistic
from prefstream.scoring.evaluation.paired import COMPARED_METRICS, Metric, comparison_of, paired_differences
from prefstream.scoring.evaluation.reliability import reliability_bins
from prefstream.scoring.evaluation.results import (
    ClassResult,
    Evaluated,
    Evaluation,
    PeopleAgree,
    SliceResult,
    SystemKind,
    SystemResult,
)
from prefstream.scoring.evaluation.slices import Slice, cut_slices
from prefstream.scoring.panel.predict import Forecast, Predictions
from prefstream.scoring.probabilities import Triples

_METRICS: Final[Mapping[str, Metric]] = {
    **COMPARED_METRICS,
    "calibration_error": metrics.calibration_error,
    "decided_log_loss": metrics.decided_log_loss,
}
_OF_SLICES: Final = ("log_loss", "accuracy", "calibration_error", "decided_accuracy")


def evaluate(
    facts: BattleFacts,
    predictions: Predictions,
    evaluated: Evaluated,
    *,
    reference: Forecast | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> Evaluation:
    """Hold predictions against what people said.

    Labels count equally, whatever their `weight`: weights are for training. Baselines are fitted on the battles that
    were answered.

    Args:
        facts: of the battles that the predictions are about, those without an answer included.
        predictions: of a panel, or read from a file.
        evaluated: what this is an evaluation of.
        reference: what else the panel and its judges are compared with battle by battle, about the battles that were
            answered; its name differs from theirs.
        resamples: draws for the intervals.
        seed: of the draws.

    Raises:
        FileError: no battle was answered.
    """
    if not len(predictions.positions):
        raise FileError(f"{evaluated.file}: no labelled battle in it has an answer, so there is nothing to evaluate")
    facts = facts.at(predictions.positions)
    baselines = fit_baselines(facts)
    compared = baselines if reference is None else [*baselines, reference]
    draws = Resamples(facts.prompts, resamples=resamples, seed=seed)
    measured = [predictions.panel, *predictions.judges]
    systems: list[tuple[SystemKind, Forecast]] = [("panel", predictions.panel)]
    systems += [("judge", judge) for judge in predictions.judges]
    systems += [("baseline", baseline) for baseline in baselines]
    systems += [("reference", reference)] if reference is not None else []
    return Evaluation(
        evaluated=evaluated.model_copy(update={"rows_without_answer": len(predictions.unanswered)}),
        battles=len(facts),
        prompts=draws.prompts,
        outcomes=_counts(facts.outcomes),
        resamples=resamples,
        seed=seed,
        systems=tuple(_system(kind, forecast, facts, compared, draws) for kind, forecast in systems),
        classes=_classes(predictions.panel.probabilities, facts.outcomes),
        slices=tuple(_slice(cut, predictions.panel, compared, facts, draws) for cut in cut_slices(facts)),
        position=tuple(position_bias(forecast, draws) for forecast in measured),
        length=tuple(length_bias(forecast, facts, draws) for forecast in [*measured, *compared]),
        length_ratios=length_ratios(predictions.panel, facts, draws),
        people_agree=_people_agree(facts.votes, draws),
    )


def _system(
    kind: SystemKind, forecast: Forecast, facts: BattleFacts, compared: Sequence[Forecast], draws: Resamples
) -> SystemResult:
    own = {name: metric(forecast.probabilities, facts.outcomes) for name, metric in _METRICS.items()}
    if facts.has_votes:
        own["soft_log_loss"] = metrics.soft_log_loss(forecast.probabilities, facts.targets)
    others = [other for other in compared if other.name != forecast.name]
    by_chance = metrics.calibration_error_by_chance(forecast.probabilities, resamples=draws.resamples, seed=draws.seed)
    found = draws.estimate({**own, **_differences(own, others, facts.outcomes)})
    return SystemResult(
        name=forecast.name,
        kind=kind,
        provenance=forecast.provenance,
        calibration_error_by_chance=by_chance.mean,
        calibration_error_by_chance_95=by_chance.upper,
        soft_log_loss=found.get("soft_log_loss"),
        comparisons=tuple(comparison_of(found, other.name) for other in others),
        reliability=reliability_bins(forecast.probabilities, facts.outcomes, draws),
        **{name: found[name] for name in _METRICS},
    )


def _slice(
    cut: Slice, panel: Forecast, compared: Sequence[Forecast], facts: BattleFacts, draws: Resamples
) -> SliceResult:
    outcomes = facts.outcomes[cut.rows]
    # Drawn anew among the slice's own prompts: with those of all, a small slice would often be empty.
    own_draws = Resamples(facts.prompts[cut.rows], resamples=draws.resamples, seed=draws.seed)
    said = panel.probabilities[cut.rows]
    own = {name: _METRICS[name](said, outcomes) for name in {*_OF_SLICES, *COMPARED_METRICS}}
    others = [one.at(cut.rows) for one in compared]
    by_chance = metrics.calibration_error_by_chance(said, resamples=draws.resamples, seed=draws.seed)
    found = own_draws.estimate({**own, **_differences(own, others, outcomes)})
    a, b, tie = (count / len(outcomes) for count in _counts(outcomes))
    return SliceResult(
        dimension=cut.dimension,
        value=cut.value,
        battles=len(cut.rows),
        prompts=own_draws.prompts,
        shares=(a, b, tie),
        calibration_error_by_chance_95=by_chance.upper,
        comparisons=tuple(comparison_of(found, other.name) for other in others),
        **{name: found[name] for name in _OF_SLICES},
    )


def _differences(
    own: Mapping[str, Statistic], others: Sequence[Forecast], outcomes: NDArray[np.intp]
) -> dict[str, Statistic]:
    found: dict[str, Statistic] = {}
    for other in others:
        found |= paired_differences(own, other.probabilities, outcomes, baseline=other.name)
    return found


def _people_agree(votes: Triples, draws: Resamples) -> PeopleAgree | None:
    """From votes that are counts of people; None where no battle has two."""
    several, alike = metrics.voters_alike(votes)
    if not several.any():
        return None
    return PeopleAgree(battles=int(several.sum()), share=draws.estimate({"": metrics.share(alike, several)})[""])


def _classes(probabilities: Triples, outcomes: NDArray[np.intp]) -> tuple[ClassResult, ...]:
    labels = range(len(OUTCOMES))
    precision, recall, f1, _ = precision_recall_fscore_support(
        outcomes, probabilities.argmax(axis=1), labels=list(labels), zero_division=np.nan
    )
    return tuple(
        ClassResult(
            outcome=OUTCOMES[label],
            battles=int((outcomes == label).sum()),
            share=float((outcomes == label).mean()),
            mean_probability=float(probabilities[:, label].mean()),
            predicted=int((probabilities.argmax(axis=1) == label).sum()),
            precision=_known(precision[label]),
            recall=_known(recall[label]),
            f1=_known(f1[label]),
            area_under_roc=_area_under_roc(outcomes == label, probabilities[:, label]),
            log_loss=float(sklearn_log_loss(outcomes == label, probabilities[:, label], labels=[False, True])),
        )
        for label in labels
    )


def _area_under_roc(happened: NDArray[np.bool_], probability: NDArray[np.float64]) -> float | None:
    if happened.all() or not happened.any():
        return None
    return float(roc_auc_score(happened, probability))


def _known(number: float) -> float | None:
    return None if np.isnan(number) else float(number)


def _counts(outcomes: NDArray[np.intp]) -> tuple[int, int, int]:
    a, b, tie = np.bincount(outcomes, minlength=len(OUTCOMES)).tolist()
    return a, b, tie
