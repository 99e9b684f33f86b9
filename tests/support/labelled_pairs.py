"""Labelled battles that a tiny judge can learn from, and pairs made without a tokenizer, for tests of fine-tuning."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from prefstream.schemas import OUTCOMES
from prefstream.scoring.files.labelled import LabelledBattle, read_labelled
from prefstream.scoring.finetune.callbacks import StepReport
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.recipe import Recipe
from tests.support.models import one_torch_thread

MARK: Final = "zqprompt"
"""Stands in every prompt made here: found in a log or a message, it is a leak."""


class SilentObserver:
    """An observer of a training run whom nothing interests."""

    def say(self, line: str) -> None:
        """Not passed on."""

    def advanced(self, report: StepReport) -> None:
        """Not passed on."""


@contextmanager
def on_one_cpu_thread() -> Iterator[None]:
    """Train on the CPU, whatever else there is, and on one thread: what is compared bit by bit must not vary."""
    with one_torch_thread(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefstream.scoring.finetune.model._own_device", lambda: "cpu")
        yield


def make_rows(count: int, *, prompts: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows of a labelled file: the answer that says it is correct is preferred; of two alike it is a tie.

    Args:
        count: of battles.
        prompts: number of different prompts; battles on one prompt share answers.
        seed: of everything drawn.
    """
    rng = random.Random(seed)
    answers = {}
    for prompt in range(prompts):
        answers[prompt] = [
            (good, f"{'correct' if good else 'wrong'} " * rng.randint(1, 4) + f"{number}")
            for number, good in enumerate((True, False, rng.random() < 0.5))
        ]
    rows = []
    for number in range(count):
        prompt = number % prompts
        (good_a, text_a), (good_b, text_b) = rng.sample(answers[prompt], 2)
        winner = "tie" if good_a == good_b else "model_a" if good_a else "model_b"
        row: dict[str, Any] = {
            "id": f"battle-{seed}-{number}",
            "prompt": [f"{MARK} {seed} {prompt}"],
            "response_a": [text_a],
            "response_b": [text_b],
            "winner": winner,
            "tier": ("arena", "core")[prompt % 2],
            "source": ("one", "two", "three")[prompt % 3],
        }
        if number % 5 == 0:
            row["votes"] = {**dict.fromkeys(OUTCOMES, 1), winner: 4}
        rows.append(row)
    return rows


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """Write rows as JSONL; the path."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_rows(path: Path) -> list[LabelledBattle]:
    """The labelled battles of a file without faults."""
    labelled = []
    for record in read_labelled(path):
        assert isinstance(record.content, LabelledBattle)
        labelled.append(record.content)
    return labelled


def make_recipe(base: Path | str, **settings: Any) -> Recipe:
    """A recipe for a tiny judge in float32; `settings` override whole groups."""
    return Recipe.model_validate(
        {
            "name": "tiny",
            "base": str(base),
            "kind": "pointwise",
            "max_length": 96,
            "dtype": "float32",
            "store": "float32",
            "lora": {"rank": 4, "alpha": 8},
            "optimizer": {"learning_rate": 1e-2, "head_learning_rate": 5e-2},
            "step": {"weight": 4.0, "micro_batch_tokens": 400, "pass_tokens": 300},
            "dev": {"evaluations": 3},
            "checkpoints": 4,
            **settings,
        }
    )


def make_pairs(
    count: int,
    *,
    prompts: Sequence[int] | None = None,
    outcomes: Sequence[int] | None = None,
    longer: Sequence[int] | None = None,
    lengths: Sequence[int] | None = None,
    shared: bool = False,
) -> Pairs:
    """Pairs whose sequences are counting numbers: what plans and metrics look at, without text.

    Args:
        count: of pairs.
        prompts: number of each pair's prompt; by default one a pair.
        outcomes: positions in `OUTCOMES`; by default in turn.
        longer: 1 where A is the longer answer, -1 where B is, 0 where they are equal; by default A.
        lengths: tokens of each sequence; by default 10.
        shared: the pairs of a prompt have the first answer in common.
    """
    prompt_of = list(prompts if prompts is not None else range(count))
    first = [prompt_of.index(prompt) * 2 if shared else 2 * number for number, prompt in enumerate(prompt_of)]
    outcome_of = list(outcomes if outcomes is not None else (number % 3 for number in range(count)))
    sizes = list(lengths if lengths is not None else [10] * (2 * count))
    return Pairs(
        sequences=[np.arange(1, size + 1, dtype=np.int32) for size in sizes],
        first=np.array(first, dtype=np.int64),
        second=np.arange(count, dtype=np.int64) * 2 + 1,
        targets=np.eye(3, dtype=np.float32)[outcome_of].reshape(-1, 3),
        outcomes=np.array(outcome_of, dtype=np.int64),
        weights=np.ones(count),
        ties_possible=np.ones(count, dtype=np.bool_),
        prompts=np.array(prompt_of, dtype=np.int64),
        characters=np.array([(100 + sign, 100) for sign in longer or [1] * count], dtype=np.int64).reshape(-1, 2),
        tiers=np.array([""] * count, dtype=np.str_),
        sources=np.array([""] * count, dtype=np.str_),
        ids=np.array([f"b{number}" for number in range(count)], dtype=np.str_),
    )


def with_names(pairs: Pairs, *, tiers: Sequence[str] = (), sources: Sequence[str] = ()) -> Pairs:
    """The same pairs, of these tiers and sources."""
    return replace(
        pairs,
        tiers=np.array(tiers, dtype=np.str_) if tiers else pairs.tiers,
        sources=np.array(sources, dtype=np.str_) if sources else pairs.sources,
    )
