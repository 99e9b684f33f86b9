"""How much memory a row adds to what reads many, as a test sees it."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

from prefstream.schemas import OUTCOMES, Battle
from prefstream.scoring.files.labelled import Label, LabelledBattle

TEXT_CHARS = 8_000
"""Of each answer: what grows with texts stands far above what grows with rows."""

CHUNK = 20
"""Battles that are read at a time, wherever a test can say so."""

FEW, MANY = 5 * CHUNK, 15 * CHUNK
"""Rows whose peaks are compared: several chunks, so that those in hand cancel out."""


def bytes_per_row(work: Callable[[int], object]) -> float:
    """What a row adds to the peak of Python's memory, while rows are read and after it.

    Args:
        work: reads so many rows; what it returns is held until the peak is taken.
    """
    work(FEW)  # what is made at first use is made now
    return (_peak(work, MANY) - _peak(work, FEW)) / (MANY - FEW)


def _peak(work: Callable[[int], object], rows: int) -> int:
    gc.collect()
    tracemalloc.start()
    kept = work(rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    del kept
    return peak


def long_battles(count: int) -> Iterator[LabelledBattle]:
    """Battles with long texts of few words, made one by one."""
    for number in range(count):
        outcome = number % 3
        shares = float(outcome == 0), float(outcome == 1), float(outcome == 2)
        answers = [(f"{number} " + f"{word} " * (TEXT_CHARS // len(word)),) for word in ("this", "that")]
        battle = Battle(
            id=f"battle-{number}",
            prompt=(f"Which of them, {number % 100}?",),
            response_a=answers[0],
            response_b=answers[1],
            model_a=f"model-{number % 7}",
            model_b=f"model-{number % 5}",
            language="en",
        )
        yield LabelledBattle(battle, Label(OUTCOMES[outcome], shares), number + 1, "source", "tier")


def write_long_battles(path: Path, count: int) -> Path:
    """Write them as JSONL, one by one; the path."""
    with path.open("w", encoding="utf-8") as file:
        for one in long_battles(count):
            fields = one.battle.model_dump(mode="json", exclude_none=True)
            file.write(json.dumps({**fields, "winner": one.label.outcome}) + "\n")
    return path
