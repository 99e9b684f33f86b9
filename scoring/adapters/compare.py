"""Runs held against each other, battle by battle, on the pairs that all of them were measured on.

Figures of two runs differ by luck, too: a difference comes with its 95 % interval, over the same draws of prompts. What
a run says is compared after a calibration that was fitted on other prompts, as it would be served: a temperature is
cheap, and a run that is only too sure of itself has not learnt less.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES, Probabilities
from prefstream.scoring.adapters.receipt import PREDICTIONS, RECEIPT, read_receipt
from prefstream.scoring.calibration.cross_fit import DEFAULT_FOLDS, MIN_BATTLES, deal_prompts, fit_out_of_fold
from prefstream.scoring.calibration.fit import JudgeReadings, Targets
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import BattleFacts
from prefstream.scoring.evaluation.bias import length_statistics
from prefstream.scoring.evaluation.bootstrap import Estimate, Resamples
from prefstream.scoring.evaluation.metrics import Statistic, accuracy, difference, log_loss
from prefstream.scoring.evaluation.prediction_files import read_probabilities
from prefstream.scoring.panel.predict import triples
from prefstream.scoring.probabilities import Triples, possible

NO_TIER: Final = "(no tier)"

_NEEDED: Final = frozenset({"recipe", "data", "seconds"})
"""Of a receipt: an average's, or another program's file of this name, has none of them."""

_SEED: Final = 0
"""Of the dealing and of the draws: figures must not change from one look to the next."""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run was; of one with several folds, what they took together.

    Attributes:
        name: of its folder, or of all its folders.
        differences: settings that are not those of the first run, and other inputs; the values, by setting.
        minutes: by the clock on the wall.
        cpu_minutes: of CPU time; None where the receipt doesn't say.
        steps: optimiser steps done; None where the receipt doesn't say.
        tokens: read in training; None where the receipt doesn't say.
        seed: of the recipe; None where nothing is drawn.
    """

    name: str
    differences: Mapping[str, Any]
    minutes: float
    cpu_minutes: float | None
    steps: int | None
    tokens: int | None
    seed: int | None


@dataclass(frozen=True, slots=True)
class RunFigures:
    """How good a run is on one tier; where ties were impossible, A and B share all probability.

    All but `log_loss` is by a calibration that was fitted on other prompts, where there are enough battles to fit on.

    Attributes:
        name: of its folder.
        log_loss: nats, as it answered.
        calibrated: log loss, calibrated; None with too few battles to fit on.
        change: of the calibrated log loss against the first run; None for the first.
        accuracy: how often the verdict was the most probable outcome.
        accuracy_change: against the first run; None for the first.
        longer: mean probability of the longer answer among A and B, over decided battles.
        shorter_found: how often the winner was held for better where it was the shorter answer.
    """

    name: str
    log_loss: Estimate
    calibrated: Estimate | None
    change: Estimate | None
    accuracy: Estimate
    accuracy_change: Estimate | None
    longer: Estimate
    shorter_found: Estimate


@dataclass(frozen=True, slots=True)
class TierComparison:
    """All runs on the battles of one tier.

    Attributes:
        tier: its name.
        battles: how many all runs answered.
        prompts: different ones among them.
        people_longer: how often the longer answer won, over decided battles.
        runs: in the order asked for.
    """

    tier: str
    battles: int
    prompts: int
    people_longer: Estimate
    runs: tuple[RunFigures, ...]


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Runs, and how good they are.

    Attributes:
        records: in the order asked for.
        tiers: the largest first.
    """

    records: tuple[RunRecord, ...]
    tiers: tuple[TierComparison, ...]


def compare_runs(facts: BattleFacts, runs: Sequence[Sequence[Path]]) -> RunComparison:
    """Compare runs.

    Args:
        facts: of judged battles, among them those that the runs were measured on.
        runs: the folder of each, or of each the folders of its folds, which are measured on other prompts and count as
            one; the one first that others are held against.

    Raises:
        FileError: a folder holds no run with predictions, or no battle was answered by all.
    """
    receipts = [[_receipt(folder) for folder in folders] for folders in runs]
    ids = frozenset(facts.ids)
    answers = [_answers(folders, ids) for folders in runs]
    tiers: dict[str, list[int]] = {}
    for row, (name, tier) in enumerate(zip(facts.ids, facts.tiers, strict=True)):
        if all(name in known for known in answers):
            tiers.setdefault(tier or NO_TIER, []).append(row)
    if not tiers:
        raise FileError("there is no battle that all of these runs were measured on; compare runs of one part")
    names = [" + ".join(folder.resolve().name for folder in folders) for folders in runs]

    def compare(tier: str) -> TierComparison:
        part = facts.at(np.array(tiers[tier]))
        said = [triples([known[name] for name in part.ids]) for known in answers]
        return _compare_tier(tier, part, names, said)

    return RunComparison(
        tuple(_record(name, folds, receipts[0]) for name, folds in zip(names, receipts, strict=True)),
        tuple(map(compare, sorted(tiers, key=lambda tier: -len(tiers[tier])))),
    )


def _receipt(folder: Path) -> dict[str, Any]:
    receipt = read_receipt(folder)
    if receipt is None or not receipt.keys() >= _NEEDED:
        raise FileError(
            f"{folder}: holds no finished run (no {RECEIPT} of one); give the folder of finetune's --output"
        )
    if not (folder / PREDICTIONS).is_file():
        raise FileError(f"{folder}: the run was measured on nothing; train with --hold-out or --eval")
    return receipt


def _answers(folders: Sequence[Path], ids: frozenset[str]) -> dict[str, Probabilities]:
    """What the folds of a run said of the battles that they were measured on, by id."""
    answers: dict[str, Probabilities] = {}
    for folder in folders:
        answers |= read_probabilities(folder / PREDICTIONS, ids).by_id
    return answers


def _record(name: str, folds: Sequence[Mapping[str, Any]], first: Sequence[Mapping[str, Any]]) -> RunRecord:
    ours, theirs = _inputs(folds), _inputs(first)
    different = {key: ours.get(key) for key in {**theirs, **ours} if ours.get(key) != theirs.get(key)}
    cpu_seconds = _total([fold.get("cpu_seconds") for fold in folds])
    return RunRecord(
        name=name,
        differences=different,
        minutes=sum(fold["seconds"] for fold in folds) / 60,
        cpu_minutes=None if cpu_seconds is None else cpu_seconds / 60,
        steps=_total([fold.get("steps") for fold in folds]),
        tokens=_total([(fold.get("plan") or {}).get("tokens") for fold in folds]),
        seed=folds[0]["recipe"].get("seed"),
    )


def _total(counts: Sequence[Any]) -> Any:
    """Their sum; None where one is unknown."""
    return None if None in counts else sum(counts)


def _inputs(folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """All that decided a run, by dotted names; of folds, but for the part held out, what decided the first."""
    receipt = folds[0]
    data = receipt["data"]
    teacher = data.get("teacher")
    return {
        **_flat(receipt["recipe"]),
        "train": data["train"]["sha256"][:12],
        "hold-out": " + ".join(fold["data"].get("held_out") or "none" for fold in folds),
        "teacher": " + ".join(one["file"] for one in teacher["files"]) if teacher else None,
        "start-from": receipt.get("start"),
    }


def _flat(fields: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in fields.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def _compare_tier(tier: str, facts: BattleFacts, names: Sequence[str], answers: Sequence[Triples]) -> TierComparison:
    plain = [possible(answer, facts.ties_possible) for answer in answers]
    calibrated = [_calibrated(answer, facts) for answer in answers]
    draws = Resamples(facts.prompts, seed=_SEED)
    statistics: dict[str, Statistic] = {}
    for place, (said, fitted) in enumerate(zip(plain, calibrated, strict=True)):
        best = said if fitted is None else fitted
        lengths = length_statistics(best, facts.outcomes, facts.chars_a, facts.chars_b)
        statistics |= {
            f"log_loss {place}": log_loss(said, facts.outcomes),
            f"best {place}": log_loss(best, facts.outcomes),
            f"accuracy {place}": accuracy(best, facts.outcomes),
            f"longer {place}": lengths["predicted_mass"],
            f"shorter_found {place}": lengths["accuracy_shorter_won"],
            "people": lengths["human"],
        }
        if place:
            for what in ("best", "accuracy"):
                statistics[f"{what} change {place}"] = difference(
                    statistics[f"{what} {place}"], statistics[f"{what} 0"]
                )
    found = draws.estimate(statistics)
    runs = tuple(
        RunFigures(
            name=name,
            log_loss=found[f"log_loss {place}"],
            calibrated=None if calibrated[place] is None else found[f"best {place}"],
            change=found.get(f"best change {place}"),
            accuracy=found[f"accuracy {place}"],
            accuracy_change=found.get(f"accuracy change {place}"),
            longer=found[f"longer {place}"],
            shorter_found=found[f"shorter_found {place}"],
        )
        for place, name in enumerate(names)
    )
    return TierComparison(tier, len(facts), facts.distinct_prompts, found["people"], runs)


def _calibrated(answers: Triples, facts: BattleFacts) -> Triples | None:
    """Answers by a temperature and a tie bias that were fitted on other prompts; None where there are too few."""
    if len(facts) < MIN_BATTLES or facts.distinct_prompts < DEFAULT_FOLDS:
        return None
    verdicts: NDArray[np.float64] = np.eye(len(OUTCOMES))[facts.outcomes]
    targets = Targets(shares=verdicts, weights=np.ones(len(facts)), masked=~facts.ties_possible)
    readings = [JudgeReadings("run", answers[None])]
    judges, _ = fit_out_of_fold(readings, targets, deal_prompts(facts.prompts, DEFAULT_FOLDS, _SEED))
    return possible(judges["run"], facts.ties_possible)
