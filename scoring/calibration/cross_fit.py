"""Calibrating a panel on battles that people judged, and what that is worth on prompts that it has not seen.

The prompts are dealt into folds. Parameters that were fitted on all other folds answer the battles of each, so that
what is measured after calibration carries no optimism. The parameters that are kept are fitted on all battles.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES
from prefstream.scoring.calibration.fit import JudgeReadings, PanelFit, Targets, fit_panel
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import BattleFacts
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, Estimate, Resamples
from prefstream.scoring.evaluation.metrics import Statistic, accuracy, calibration_error, difference, log_loss
from prefstream.scoring.judges.calibration import STEEPEST_LENGTH, CalibrationFile
from prefstream.scoring.panel.predict import Forecast, Predictions
from prefstream.scoring.probabilities import Triples, possible
from prefstream.scoring.trust.length import LengthVotes, Slopes, fit_slopes

Balance: TypeAlias = Literal["none", "tier", "source"]
"""What counts equally: battles, or groups of them whatever their size."""

Labels: TypeAlias = Literal["verdict", "votes"]
"""What is fitted to: the outcome that most people chose, or the share that each outcome got."""

DEFAULT_FOLDS: Final = 5
DEFAULT_SEED: Final = 0

MIN_BATTLES: Final = 50
"""With fewer, the interval of a log loss is wider than anything that two parameters a judge can gain."""

PANEL: Final = "panel"


@dataclass(frozen=True, slots=True)
class Figures:
    """How good answers are, each with its 95 % interval over prompts.

    Attributes:
        log_loss: nats, against the verdict.
        accuracy: how often the verdict was the most probable outcome.
        calibration_error: expected; top outcome, 10 equal-width bins.
    """

    log_loss: Estimate
    accuracy: Estimate
    calibration_error: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class BeforeAfter:
    """What calibration changes for one judge or the panel. Where ties were impossible, A and B share all probability.

    Attributes:
        name: of the judge; `panel` for the panel.
        before: answers without any calibration, shape (battles, 3).
        after: answers by parameters that were fitted on other prompts.
        figures_before: how good the first are.
        figures_after: how good the second are.
        log_loss_change: after minus before, on the same draws of prompts; below 0 where calibration helps.
    """

    name: str
    before: Triples
    after: Triples
    figures_before: Figures
    figures_after: Figures
    log_loss_change: Estimate


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationResult:
    """Fitted parameters, and what they are worth.

    Attributes:
        file: what the panel file's `calibration` names; fitted on all battles.
        fit: the same parameters.
        panel: before and after, for the panel.
        judges: likewise for each judge, in the panel's order.
        length: how much longer answers are preferred, by people and by the panel's answers on prompts that it was not
            fitted on; None where too few battles with a winner say so, and then the file has no slope either.
        facts: of the battles that took part, row by row as in `panel` and `judges`.
        out_of_fold: the panel's answers as serving would give them, by parameters that were fitted on other prompts.
        prompts: how many different ones there are.
        warnings: what the user should know about the data, one sentence each.
    """

    file: CalibrationFile
    fit: PanelFit
    panel: BeforeAfter
    judges: tuple[BeforeAfter, ...]
    length: Slopes | None
    facts: BattleFacts
    out_of_fold: Triples
    prompts: int
    warnings: tuple[str, ...]


def calibrate_panel(
    facts: BattleFacts,
    predictions: Predictions,
    *,
    labels: Labels = "verdict",
    balance: Balance = "none",
    folds: int = DEFAULT_FOLDS,
    seed: int = DEFAULT_SEED,
    resamples: int = DEFAULT_RESAMPLES,
    source: str = "the battles",
) -> CalibrationResult:
    """Fit a panel's calibration, and measure it on prompts that it was not fitted on.

    Args:
        facts: of the battles that the predictions are about, with what people said.
        predictions: of a panel that `load_uncalibrated_panel` loaded.
        labels: what to fit to; figures are always against the verdict.
        balance: whose total weight is made equal.
        folds: into how many the prompts are dealt, at least 2.
        seed: of the dealing and of the bootstrap.
        resamples: of the bootstrap.
        source: what the battles were read from, for messages.

    Raises:
        FileError: there is too little to fit on, or one side never won.
    """
    facts = facts.at(predictions.positions)
    counted = facts.weights > 0
    facts = facts.at(np.flatnonzero(counted))
    warnings = check_battles(facts, folds=folds, source=source)
    readings = [_readings(judge).take(counted) for judge in predictions.judges]
    targets = Targets(
        shares=_shares(facts, labels), weights=balanced_weights(facts, balance), masked=~facts.ties_possible
    )
    fitted = fit_panel(readings, targets)
    judges_before, panel_before = PanelFit.unchanged(readings).apply(readings)
    judges_after, panel_after = fit_out_of_fold(readings, targets, deal_prompts(facts.prompts, folds, seed))
    draws = Resamples(facts.prompts, resamples=resamples, seed=seed)

    def compare(name: str, before: Triples, after: Triples) -> BeforeAfter:
        return _compare(name, before, after, facts.outcomes, targets, draws)

    _, as_served = fitted.apply(readings)
    return CalibrationResult(
        file=fitted.file(readings, length_slope=_steepness(_length_slopes(facts, as_served, targets.weights))),
        fit=fitted,
        panel=compare(PANEL, panel_before, panel_after),
        judges=tuple(compare(name, before, judges_after[name]) for name, before in judges_before.items()),
        length=_length_slopes(facts, panel_after, targets.weights),
        facts=facts,
        out_of_fold=panel_after,
        prompts=facts.distinct_prompts,
        warnings=warnings,
    )


def balanced_weights(facts: BattleFacts, balance: Balance) -> NDArray[np.float64]:
    """The battles' own weights, scaled so that each tier or source has the same total. They sum to what they did.

    Battles that name no tier or source are a group of their own.

    Args:
        facts: of battles with weights above 0.
        balance: whose total is made equal.
    """
    weights = facts.weights
    if balance == "none" or not len(facts):
        return weights
    names = facts.tiers if balance == "tier" else facts.sources
    groups: Counter[str | None] = Counter()
    for name, weight in zip(names, weights.tolist(), strict=True):
        groups[name] += weight
    share = weights.sum() / len(groups)
    scales: NDArray[np.float64] = np.array([share / groups[name] for name in names])
    return weights * scales


def deal_prompts(
    prompts: NDArray[np.bytes_] | NDArray[np.str_] | Sequence[str], folds: int, seed: int
) -> NDArray[np.intp]:
    """The fold of each battle; battles of one prompt are in one fold, and folds are about equally large.

    Depends on the prompts, their counts and the seed, not on the order of the battles.

    Args:
        prompts: what tells each battle's prompt from others.
        folds: how many.
        seed: which of the many ways to deal them.
    """
    names, numbers, counts = np.unique(np.asarray(prompts), return_inverse=True, return_counts=True)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    sizes = np.zeros(folds)
    fold_of = np.zeros(len(names), dtype=np.intp)
    for name in shuffled[np.argsort(-counts[shuffled], kind="stable")]:  # the large ones while any fold has room
        fold_of[name] = sizes.argmin()
        sizes[fold_of[name]] += counts[name]
    dealt: NDArray[np.intp] = fold_of[numbers]
    return dealt


def fit_out_of_fold(
    readings: Sequence[JudgeReadings],
    targets: Targets,
    fold_of: NDArray[np.intp],
) -> tuple[dict[str, Triples], Triples]:
    """Answers to each battle by parameters that were fitted on the other folds.

    Args:
        readings: of each judge.
        targets: what people said.
        fold_of: the fold of each battle.

    Returns:
        Each judge's answers by name, and the panel's.
    """
    judges = {judge.name: np.zeros((len(fold_of), len(OUTCOMES))) for judge in readings}
    panel = np.zeros((len(fold_of), len(OUTCOMES)))
    for fold in np.unique(fold_of):
        held_out = fold_of == fold
        fitted = fit_panel([judge.take(~held_out) for judge in readings], targets.take(~held_out))
        answers, panel[held_out] = fitted.apply([judge.take(held_out) for judge in readings])
        for name, answer in answers.items():
            judges[name][held_out] = answer
    return judges, panel


def check_battles(facts: BattleFacts, *, folds: int, source: str) -> tuple[str, ...]:
    """Refuse what can't be fitted on, before judges are loaded for it.

    Args:
        facts: of the battles; those of weight 0 don't count.
        folds: into how many their prompts will be dealt.
        source: what they were read from, for the message.

    Returns:
        What is worth a warning, one sentence each.

    Raises:
        FileError: there is too little to fit on, or one side never won.
    """
    facts = facts.at(np.flatnonzero(facts.weights > 0))
    if len(facts) < MIN_BATTLES:
        raise FileError(
            f"{source}: {len(facts)} labelled battles count, too few to calibrate on; at least {MIN_BATTLES} are "
            "needed, some hundreds are better"
        )
    prompts = facts.distinct_prompts
    if prompts < folds:
        raise FileError(
            f"{source}: {prompts} different prompts can't be dealt into {folds} folds; take fewer folds, or battles "
            "of more prompts"
        )
    won = np.bincount(facts.outcomes, minlength=len(OUTCOMES))
    never = [outcome for outcome, count in zip(OUTCOMES[:2], won, strict=False) if not count]
    if never:
        raise FileError(
            f"{source}: {' and '.join(never)} never won, so nothing tells a good judge from one that prefers a side; "
            "exchange the answers of half of the battles, and their labels"
        )
    could_tie = int(facts.ties_possible.sum())
    warnings = []
    if not could_tie:
        warnings.append("Ties were impossible in every battle: the tie bias stays 0, nothing is learnt about ties.")
    elif not won[OUTCOMES.index("tie")]:
        warnings.append(
            f"None of {could_tie:,} battles ended in a tie, so ties become improbable. If their source knows no ties, "
            "mark them with ties_possible: false."
        )
    return tuple(warnings)


def _readings(judge: Forecast) -> JudgeReadings:
    is_prior = judge.provenance is not None and judge.provenance.kind == "prior"  # serving calibrates no prior
    orders = [judge.as_given]
    if judge.swapped is not None and not judge.symmetric:
        orders.append(judge.swapped)
    return JudgeReadings(judge.name, np.stack(orders), judge.weight, adjustable=not is_prior, counted=judge.counted)


def _length_slopes(facts: BattleFacts, answers: Triples, weights: NDArray[np.float64]) -> Slopes | None:
    """How much longer answers are preferred, by people and by the panel. Battles of one prompt are alike."""
    _, prompt_of = np.unique(facts.prompts, return_inverse=True)
    return fit_slopes(
        LengthVotes.between(
            outcomes=facts.outcomes,
            forecasts=answers,
            characters=(facts.chars_a, facts.chars_b),
            weights=weights,
            battles=prompt_of,
        )
    )


def _steepness(slopes: Slopes | None) -> float | None:
    """The panel's slope as its file has it; None where it has none."""
    if slopes is None or slopes.judges.value is None:
        return None
    # A seventh digit would move no probability by a millionth.
    return round(float(np.clip(slopes.judges.value, -STEEPEST_LENGTH, STEEPEST_LENGTH)), 6) or None


def _shares(facts: BattleFacts, labels: Labels) -> Triples:
    if labels == "votes":
        return facts.targets
    verdicts: Triples = np.eye(len(OUTCOMES))[facts.outcomes]
    return verdicts


def _compare(
    name: str, before: Triples, after: Triples, outcomes: NDArray[np.intp], targets: Targets, draws: Resamples
) -> BeforeAfter:
    answers = {"before": possible(before, ~targets.masked), "after": possible(after, ~targets.masked)}
    statistics = {
        (when, what): _weighted(measure(answer, outcomes), targets.weights)
        for when, answer in answers.items()
        for what, measure in _MEASURES.items()
    }
    named = {" ".join(key): statistic for key, statistic in statistics.items()}
    named["change"] = difference(statistics["after", "log_loss"], statistics["before", "log_loss"])
    estimates = draws.estimate(named)
    figures = {when: Figures(**{what: estimates[f"{when} {what}"] for what in _MEASURES}) for when in answers}
    return BeforeAfter(
        name=name,
        before=answers["before"],
        after=answers["after"],
        figures_before=figures["before"],
        figures_after=figures["after"],
        log_loss_change=estimates["change"],
    )


_MEASURES: Final = {"log_loss": log_loss, "accuracy": accuracy, "calibration_error": calibration_error}


def _weighted(statistic: Statistic, weights: NDArray[np.float64]) -> Statistic:
    """Battles count as often as they did in the fit: every metric is made of sums over battles."""
    return Statistic(statistic.columns * weights[:, None], statistic.value)
