"""From the parts of the data to encoded pairs, without what can't be learnt from, with what a teacher said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from prefstream.scoring.errors import FileError
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.finetune.checks import shared_prompts
from prefstream.scoring.finetune.data.pairs import Pairs, alike_and_decided, encode_pairs, keep_one_order, take
from prefstream.scoring.finetune.data.parts import DataPart
from prefstream.scoring.finetune.data.teacher import Teacher, taught
from prefstream.scoring.finetune.model import Student
from prefstream.scoring.finetune.receipt import data_record


@dataclass(frozen=True, slots=True)
class EncodedPart:
    """One part of the data.

    Attributes:
        part: its rows.
        report: what was found in them.
        pairs: as the judge reads them.
        taught: how many of them learn from a teacher.
    """

    part: DataPart
    report: DataReport
    pairs: Pairs
    taught: int = 0

    def record(self, sha256: str) -> dict[str, Any]:
        """For the receipt.

        Args:
            sha256: of the file.
        """
        return data_record(self.part.path, sha256, self.report)


def encode_train(
    student: Student, part: DataPart, report: DataReport, teacher: Teacher | None, say: Callable[[str], None]
) -> EncodedPart:
    """Tokenise what is learnt from.

    Args:
        student: who learns it.
        part: the rows.
        report: of them; told how many read the same on both sides.
        teacher: what it said of them.
        say: told what happens, and what is left out.

    Raises:
        FileError: nothing is left to learn from.
    """
    recipe = student.recipe
    pairs = _encoded(student, part, report, say)
    if report.alike:
        say(
            f"{report.alike:,} of {len(pairs):,} pairs read the same on both sides, cut and masked as this judge reads "
            "them, though people preferred one: not trained on"
        )
        pairs = take(pairs, np.flatnonzero(~alike_and_decided(pairs)))
    if not (pairs.weights > 0).any():
        alike = "in every pair that counts both answers read the same"
        raise FileError(f"{part.path} holds nothing to learn from: {alike}")
    known = 0
    if teacher is not None:
        pairs, known = taught(pairs, teacher, share=recipe.data.teacher)
        others = sum(found["other_rows"] for found in teacher.files)
        say(
            f"{known:,} of {len(pairs):,} pairs learn from the teacher, which counts {recipe.data.teacher:g} in them"
            + (f"; {others:,} of its rows are about other battles, or none" if others else "")
        )
    if recipe.kind == "pairwise" and recipe.data.swap == "random":
        pairs = keep_one_order(pairs, seed=recipe.seed)
    return EncodedPart(part, report, pairs, known)


def encode_dev(
    student: Student, part: DataPart, report: DataReport, train: EncodedPart, say: Callable[[str], None]
) -> EncodedPart:
    """Tokenise what is measured on.

    Args:
        student: who is measured.
        part: the rows.
        report: of them.
        train: what is learnt from; prompts in both are told.
        say: told what happens.
    """
    if shared := shared_prompts(train.part, train.report, part, report):
        say(shared)
    return EncodedPart(part, report, _encoded(student, part, report, say))


def _encoded(student: Student, part: DataPart, report: DataReport, say: Callable[[str], None]) -> Pairs:
    say(f"tokenising {part.name}")
    pairs = encode_pairs(part.battles(), student.encoder, soft_labels=student.recipe.data.soft_labels)
    report.alike = int(alike_and_decided(pairs).sum())
    return pairs
