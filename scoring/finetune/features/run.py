"""Fitting a judge of features, from files to an adapter folder: seconds, no base, no GPU, the same bits each time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from prefstream.scoring.adapters.receipt import RECEIPT
from prefstream.scoring.atomic_file import hash_file, write_atomically, write_json
from prefstream.scoring.features.extract import Extractor
from prefstream.scoring.features.linear import LinearModel
from prefstream.scoring.features.strongest import NamedFeature, describe_strongest
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.finetune.checks import read_reports, shared_prompts
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.data.parts import DataPart, Fold, parts
from prefstream.scoring.finetune.data.teacher import read_teacher, taught
from prefstream.scoring.finetune.dev_metrics import in_tiers, measure
from prefstream.scoring.finetune.features.count import ChosenPairs, count_pairs
from prefstream.scoring.finetune.features.fit import fit_linear
from prefstream.scoring.finetune.features.names import name_features
from prefstream.scoring.finetune.features.recipe import FeaturesRecipe
from prefstream.scoring.finetune.fitted.convex import Verdicts
from prefstream.scoring.finetune.receipt import (
    data_line,
    data_record,
    drop_predictions,
    metrics_table,
    surroundings,
    write_card,
    write_predictions,
)
from prefstream.scoring.finetune.steps import pair_weights
from prefstream.scoring.judges.readout import read_pairwise
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS
from prefstream.scoring.loading.features import FeaturesRecord

_PACKAGES: Final = ("prefstream", "scikit-learn", "scipy", "numpy", "safetensors")

_SHOWN: Final = 12
"""Of the strongest features of each sort, on the card."""


def finetune_features(
    recipe: FeaturesRecipe,
    train: Path,
    output: Path,
    *,
    dev: Path | None = None,
    hold_out: Fold | None = None,
    teachers: Sequence[Path] = (),
    say: Callable[[str], None],
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
    seen: Callable[[str, DataReport], None] = lambda _name, _report: None,
) -> Mapping[str, float]:
    """Fit a judge of features.

    Args:
        recipe: how.
        train: labelled pairs, of which those of tiers and sources that the recipe takes count.
        output: folder for the adapter; what it held of its files is replaced.
        dev: labelled pairs to measure it on; nothing is chosen by them.
        hold_out: the prompts of `train` whose pairs are not learnt from, and measured on in place of `dev`.
        teachers: files of predictions about the training pairs, to be mixed into their labels.
        say: told what happens.
        on_progress: told how many pairs of a file are counted, and how many it has.
        seen: told what was found in each file.

    Returns:
        Metrics on the dev pairs; empty without them.

    Raises:
        FileError: the data can't be read or learnt from.
        ConfigError: the recipe asks for data that the files don't have.
    """
    began = time.monotonic()
    learnt_from, measured_on = parts(train, dev, hold_out)
    teacher = read_teacher(teachers, learnt_from)
    reports = read_reports(learnt_from, measured_on, recipe, seen)
    extractor = Extractor(recipe.features)
    say(f"counting {learnt_from.name}")
    chosen = _read(learnt_from, recipe, lambda pairs: pair_weights(pairs, recipe.data) > 0)
    learnt = count_pairs(chosen, extractor, on_progress)
    reports[0].alike = int(learnt.alike.sum())
    if reports[0].alike:
        say(
            f"{reports[0].alike:,} of {len(learnt.alike):,} pairs read the same on both sides, though people preferred "
            "one: not trained on"
        )
    weights = np.where(learnt.alike, 0.0, pair_weights(chosen.pairs, recipe.data))
    pairs, known = (chosen.pairs, 0) if teacher is None else taught(chosen.pairs, teacher, share=recipe.data.teacher)
    if teacher is not None:
        say(f"{known:,} of {len(pairs):,} pairs learn from the teacher, which counts {recipe.data.teacher:g} in them")
    counts = np.flatnonzero(~learnt.alike)
    say(f"fitting to {len(counts):,} pairs")
    judged = Verdicts(pairs.targets.astype(np.float64), pairs.ties_possible, weights)
    fit = fit_linear(learnt.features, judged.at(counts), recipe)
    model = fit.model
    if not fit.settled:
        say(f"the fit was cut off after {fit.iterations:,} iterations, before it settled; raise most_iterations")
    named = name_features(model, learnt.features, learnt.examples, extractor)
    del learnt  # before the dev data are read
    output.mkdir(parents=True, exist_ok=True)
    drop_predictions(output)
    _store(output, model, recipe, named)
    metrics: dict[str, float] = {}
    if measured_on is not None and reports[1] is not None:
        if shared := shared_prompts(learnt_from, reports[0], measured_on, reports[1]):
            say(shared)
        say(f"counting {measured_on.name}")
        held = _read(measured_on, recipe, lambda pairs: in_tiers(pairs, recipe.dev.tiers))
        logits = [model.logits(features) for _, features in held.counted(extractor, on_progress)]
        probabilities = read_pairwise(np.concatenate(logits))
        metrics = measure(probabilities, held.pairs)
        write_predictions(output, held.pairs, probabilities)
        say(f"on {len(held.pairs):,} dev pairs, with the weights as stored:")
    data = {
        "train": data_record(train, hash_file(train), reports[0]),
        "dev": data_record(measured_on.path, hash_file(measured_on.path), reports[1])
        if measured_on and reports[1]
        else None,
        "held_out": str(hold_out) if hold_out else None,
        "teacher": {"files": list(teacher.files), "pairs": known} if teacher else None,
    }
    _write_receipt(output, recipe, data, pairs, weights, metrics, time.monotonic() - began)
    _write_card(output, recipe, data, metrics, named)
    return metrics


def _read(part: DataPart, recipe: FeaturesRecipe, chosen: Callable[[Pairs], NDArray[np.bool_]]) -> ChosenPairs:
    return ChosenPairs.read(part, chosen, soft_labels=recipe.data.soft_labels)


def _store(folder: Path, model: LinearModel, recipe: FeaturesRecipe, named: tuple[NamedFeature, ...]) -> None:
    """Write the weights, and the record that serving holds them against."""
    content = save({"sides": model.sides, "both": model.both, "bounds": model.bounds})
    write_atomically(folder / WEIGHTS, content)
    spec = recipe.features
    FeaturesRecord(
        template=spec.name,
        template_hash=spec.hash,
        features=spec,
        weights_hash=hashlib.sha256(content).hexdigest(),
        strongest=named,
    ).write(folder)


def _write_receipt(
    folder: Path,
    recipe: FeaturesRecipe,
    data: Mapping[str, Any],
    pairs: Pairs,
    weights: NDArray[np.float64],
    metrics: Mapping[str, float],
    seconds: float,
) -> None:
    tiers = {str(tier): float(weights[pairs.tiers == tier].sum()) for tier in np.unique(pairs.tiers)}
    fields = {
        "recipe": recipe.model_dump(mode="json"),
        "template": recipe.features.name,
        "template_hash": recipe.features.hash,
        "data": data,
        "plan": {"pairs": int((weights > 0).sum()), "weight_by_tier": tiers},
        "metrics": metrics,
        "seconds": round(seconds, 1),
        **surroundings(_PACKAGES),
    }
    write_json(folder / RECEIPT, fields)


def _write_card(
    folder: Path,
    recipe: FeaturesRecipe,
    data: Mapping[str, Any],
    metrics: Mapping[str, float],
    named: tuple[NamedFeature, ...],
) -> None:
    spec = recipe.features
    lines = [
        f"# {recipe.name}",
        "",
        "Weights for prefstream: a judge of features, a linear model over what can be counted of both answers.",
        "It predicts which of two chat answers people prefer.",
        "",
        f"* Licence: {recipe.licence or 'that of the data it was trained on'}",
        f"* Features: {spec.name}, {2**spec.hash_bits:,} buckets, at most {spec.max_chars:,} characters a text",
        *(f"* Data ({role}): {data_line(data[role])}" for role in ("train", "dev") if data[role]),
        "",
        *metrics_table(metrics),
        "What speaks most for an answer (+) or against it (-), in nats per standard deviation:",
        "",
        *(f"* {line}" for line in describe_strongest(named, most=_SHOWN)),
        "",
        f"`{RECEIPT}` holds the whole recipe, data hashes and versions; `{RECORD}` what serving verifies.",
        "",
    ]
    write_card(folder, lines)
