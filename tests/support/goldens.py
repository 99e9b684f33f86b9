"""Golden sets of tiny judges, and faults that they are there to see."""

from __future__ import annotations

from typing import Any

import torch

from prefstream import Battle, Panel, PanelConfig, load_panel
from prefstream.scoring.golden.make import make_golden
from prefstream.scoring.golden.record import GoldenSet
from prefstream.scoring.judges.model import LocalJudge

_WORDS = [
    "The",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "the",
    "lazy",
    "dog.",
    "Which",
    "answer",
    "is",
    "better,",
    "and",
    "why?",
]


def golden_battles(count: int = 24) -> list[Battle]:
    """Battles that differ in language, length, rounds and in what tiny judges say about them."""
    made = []
    for number in range(count):
        rounds = 1 + number % 3
        made.append(
            Battle(
                id=f"b{number}",
                prompt=tuple(f"{_WORDS[number % len(_WORDS)]} {turn}?" for turn in range(rounds)),
                response_a=(" ".join(_WORDS[: 1 + number]),) * rounds,
                response_b=(" ".join(_WORDS[-2 - 2 * (number % 5) :]),) * rounds,
                language=("English", "de", None)[number % 3],
            )
        )
    return made


def panel_of(*entries: dict[str, Any], **panel: Any) -> Panel:
    """A panel of these judges.

    Args:
        entries: of a panel file.
        panel: further keys of it.
    """
    return load_panel(PanelConfig.model_validate({"judges": list(entries), **panel}))


def golden_of(*entries: dict[str, Any], count: int = 8, **panel: Any) -> GoldenSet:
    """A golden set of a panel of these judges.

    Args:
        entries: as of `panel_of`.
        count: of its battles.
        panel: as of `panel_of`.
    """
    with panel_of(*entries, **panel) as loaded:
        return make_golden(loaded, golden_battles(), source="golden.jsonl", count=count, say=lambda _: None)


def break_in_memory(panel: Panel, judge: str, *, place: str = "v_proj.weight") -> None:
    """Turn the sign of one layer's weights, as they are in memory: no file changes, and no number looks wrong.

    Args:
        panel: loaded.
        judge: name of the judge.
        place: end of the name of the weights.
    """
    (broken,) = [one for one in panel.judges if one.name == judge]
    assert isinstance(broken, LocalJudge)
    model = broken.forwards[0]._model
    assert model is not None
    weights = next(weights for name, weights in model.named_parameters() if name.endswith(place))
    with torch.no_grad():
        weights.neg_()
