"""What makes a training run pointless, found before anything is fetched or loaded, and told together."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from filelock import lock_descriptor

from prefstream.scoring.atomic_file import try_to_write
from prefstream.scoring.errors import ConfigError, FileError
from prefstream.scoring.files.data_report import OTHER, UNKNOWN, DataReport, OutcomeCounts
from prefstream.scoring.files.labelled import check_labelled_file
from prefstream.scoring.finetune.data.parts import DataPart
from prefstream.scoring.finetune.recipe import DataRecipe
from prefstream.scoring.finetune.steps import unknown_names
from prefstream.scoring.loading.adapter_record import RECORD

WORK: Final = "run"
"""Folder beside the adapter's files: checkpoints, TensorBoard's files, and what the run was started with."""

IDENTITY: Final = "run.json"
"""In that folder: what the run was started with."""

ANY_DATA: Final = "the recipes gemma-3-270m and smollm2-135m train the demo's bases on data without tiers"


class MeasuredTiers(Protocol):
    """What of the dev pairs a recipe asks for."""

    @property
    def tiers(self) -> tuple[str, ...]:
        """Tiers; empty for all."""


class CheckedRecipe(Protocol):
    """What is held against the data, of whatever recipe."""

    @property
    def name(self) -> str:
        """Of the recipe."""

    @property
    def data(self) -> DataRecipe:
        """What counts, and how much."""

    @property
    def dev(self) -> MeasuredTiers:
        """What is measured on."""


def check_run(train: Path, dev: Path | None, output: Path, *, resume: bool, force: bool) -> None:
    """Look at the files' heads and at the output.

    Raises:
        FileError: a file can't be used, or the output can't, or would be overwritten.
    """
    for path in (train, dev):
        if path is not None:
            check_labelled_file(path)
    if resume and force:
        raise FileError("--resume goes on with a run and --force starts anew: choose one")
    started = (output / WORK / IDENTITY).exists() or (output / RECORD).exists()
    if started and not (resume or force):
        raise FileError(f"{output} holds a run already; go on with --resume, or start anew with --force")
    try:
        output.mkdir(parents=True, exist_ok=True)
        try_to_write(output / RECORD)
    except OSError as error:
        raise FileError(f"can't write to {output}: {error.strerror}") from None


@contextmanager
def written_alone(output: Path) -> Iterator[None]:
    """Let no other run write to a folder meanwhile: checkpoints of two would mix, and weights with another's receipt.

    The folder itself is locked: nothing is left in it, and the kernel frees it however the process dies. Where the file
    system has no locks, nothing is held.

    Raises:
        FileError: another process is writing there.
    """
    descriptor = os.open(output, os.O_RDONLY)
    try:
        locked = True
        with suppress(OSError):
            locked = lock_descriptor(descriptor, blocking=False)
        if not locked:
            raise FileError(f"another process is writing to {output}; wait for it, or end it first")
        yield
    finally:
        os.close(descriptor)


def read_reports(
    train: DataPart, dev: DataPart | None, recipe: CheckedRecipe, seen: Callable[[str, DataReport], None]
) -> tuple[DataReport, DataReport | None]:
    """Read both parts through, as they will be read once more to be tokenised, and hold them against the recipe.

    Args:
        train: labelled pairs to learn from.
        dev: labelled pairs to select by.
        recipe: how to train.
        seen: told what was found in each part.

    Raises:
        FileError: a file can't be read, or not be learnt from.
        ConfigError: the recipe asks for data that the parts don't have.
    """
    reports = {name: _report(part) for name, part in (("train", train), ("dev", dev)) if part is not None}
    for name, report in reports.items():
        seen(name, report)
    reports["train"].check_learnable(train.path)
    if dev is not None and not reports["dev"].usable:
        raise FileError(f"{dev.path}: no row can be used")
    _check_names(recipe, reports["train"], reports.get("dev"))
    return reports["train"], reports.get("dev")


def shared_prompts(train: DataPart, train_report: DataReport, dev: DataPart, dev_report: DataReport) -> str | None:
    """What to say of prompts that stand in both files; None where none does."""
    shared = train_report.shared_prompts(dev_report)
    if not shared:
        return None
    return (
        f"{shared:,} of {dev_report.prompts:,} prompts of {dev.name} stand in {train.name}, too: "
        "figures on them flatter; split by prompt"
    )


def _report(part: DataPart) -> DataReport:
    report = DataReport()
    for _ in report.usable_rows(part.read()):
        pass
    return report


def _check_names(recipe: CheckedRecipe, train: DataReport, dev: DataReport | None) -> None:
    tiers, sources = _names(train.tiers), _names(train.sources)
    errors = () if OTHER in tiers | sources else unknown_names(recipe.data, tiers, sources)
    if dev is not None and recipe.dev.tiers:
        there = _names(dev.tiers)
        if OTHER not in there and not there & set(recipe.dev.tiers):
            names = ", ".join(recipe.dev.tiers)
            errors += (f"dev.tiers: no dev pair has {names}; there are {', '.join(sorted(there)) or 'none'}",)
    if errors and not tiers:
        errors += (f"the data names no tier at all; {ANY_DATA}",)
    if errors:
        raise ConfigError(recipe.name, errors)


def _names(groups: dict[str, OutcomeCounts]) -> set[str]:
    return set(groups) - {UNKNOWN}
