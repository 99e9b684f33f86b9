"""Learning from a teacher: what a panel said of the training pairs, mixed into the labels.

Hinton, Vinyals and Dean (2015), *Distilling the Knowledge in a Neural Network*, without their temperature: a teacher's
probabilities are taken as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from prefstream.schemas import OUTCOMES
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.evaluation.prediction_files import read_probabilities
from prefstream.scoring.file_names import printable
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.data.parts import DataPart
from prefstream.scoring.probabilities import Triples, possible


@dataclass(frozen=True, slots=True)
class Teacher:
    """What was said of training pairs.

    Attributes:
        answers: by the battle's id, probabilities in the order of `schemas.OUTCOMES`; the mean over files.
        files: one record a file for the receipt: its name, SHA-256, how many pairs it answers, and how many of its rows
            are about other battles or can't be used.
    """

    answers: Mapping[str, Triples] = field(repr=False)
    files: tuple[Mapping[str, Any], ...]


def read_teacher(paths: Sequence[Path], train: DataPart) -> Teacher | None:
    """Read predictions about training pairs.

    Args:
        paths: as `prefstream score` writes them, or the dev predictions of runs; none for no teacher.
        train: the pairs.

    Raises:
        FileError: a file can't be read, or is about none of the pairs.
    """
    if not paths:
        return None
    ids = frozenset(one.battle.id for one in train.battles())
    said: dict[str, list[Triples]] = {}
    files = []
    for path in paths:
        found = read_probabilities(path, ids)
        for name, answer in found.by_id.items():
            said.setdefault(name, []).append(np.array([getattr(answer, outcome) for outcome in OUTCOMES]))
        files.append(
            {
                "file": printable(path.name),
                "sha256": hash_file(path),
                "pairs": len(found.by_id),
                "other_rows": found.unknown_ids + len(found.rejected),
            }
        )
    return Teacher({name: np.mean(answers, axis=0) for name, answers in said.items()}, tuple(files))


def taught(pairs: Pairs, teacher: Teacher, *, share: float) -> tuple[Pairs, int]:
    """Mix a teacher's answers into the targets.

    Where ties are impossible the teacher counts with P(A) and P(B) relative to each other, as the loss does.

    Args:
        pairs: with people's labels.
        teacher: what it said; a pair that it doesn't know keeps its label.
        share: of the teacher in the target, 0 to 1.

    Returns:
        The pairs, and how many of them learn from the teacher.
    """
    known = np.array([name in teacher.answers for name in pairs.ids.tolist()], dtype=np.bool_)
    said = np.array([teacher.answers[name] for name in pairs.ids[known].tolist()]).reshape(-1, len(OUTCOMES))
    mixed = pairs.targets.copy()
    mixed[known] = (1 - share) * pairs.targets[known] + share * possible(said, pairs.ties_possible[known])
    return replace(pairs, targets=mixed), int(known.sum())
