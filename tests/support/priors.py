"""Judges that answer by their prior alone, and cost nothing but time: entries, panel files, panels."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from prefstream.schemas import Probabilities
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.judges.judge import JudgeBatch, Scores
from prefstream.scoring.judges.prior import PriorJudge
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel

HELD_S: Final = 200.0
"""A judge that nobody lets go fails after so long."""

PRIOR: Final = Probabilities(model_a=0.345, model_b=0.345, tie=0.31)


def prior_entry(
    name: str = "prior",
    probabilities: tuple[float, float, float] = (PRIOR.model_a, PRIOR.model_b, PRIOR.tie),
    **entry: object,
) -> dict[str, Any]:
    """The entry of a judge for a panel file.

    Args:
        name: of the judge.
        probabilities: what it answers: A, B, tie.
        entry: further keys, such as `weight`.
    """
    answer = dict(zip(("model_a", "model_b", "tie"), probabilities, strict=True))
    return {"name": name, "kind": "prior", "probabilities": answer, **entry}


def write_prior_panel(
    folder: Path, seconds_per_batch: float = 0.0, *, names: Sequence[str] = ("prior",), **panel: object
) -> Path:
    """Write a panel file.

    Args:
        folder: gets the file.
        seconds_per_batch: how long each judge takes for a batch.
        names: of the judges.
        panel: further keys of the file, such as `on_judge_failure`.

    Returns:
        Its path.
    """
    path = folder / f"{'-'.join(names)}-{seconds_per_batch}.yaml"
    path.write_text(yaml.safe_dump({"judges": _entries(names, seconds_per_batch), **panel}), encoding="utf-8")
    return path


def prior_panel_config(seconds_per_batch: float = 0.0, *, judges: int = 1) -> PanelConfig:
    """The configuration of `prior_panel`."""
    names = [f"prior-{number}" for number in range(judges)]
    return PanelConfig.model_validate({"judges": _entries(names, seconds_per_batch)})


def prior_panel(seconds_per_batch: float = 0.0, *, judges: int = 1) -> Panel:
    """A panel that answers everything alike, after a while."""
    return load_panel(prior_panel_config(seconds_per_batch, judges=judges))


class HeldJudge(PriorJudge):
    """Answers when it is let, so that a batch stays in flight for as long as a test wants."""

    def __init__(self) -> None:
        (config,) = prior_panel_config().judges
        assert config.kind == "prior"
        super().__init__(config)
        self._permits = threading.Semaphore(0)

    def let(self, batches: int = 1_000) -> None:
        """Let it answer so many batches; by default all that a test has."""
        self._permits.release(batches)

    def score(self, batch: JudgeBatch) -> Scores:
        """As a prior judge does, later."""
        assert self._permits.acquire(timeout=HELD_S), "nobody let it answer"
        return super().score(batch)


def _entries(names: Sequence[str], seconds_per_batch: float) -> list[dict[str, Any]]:
    return [prior_entry(name, simulate={"seconds_per_batch": seconds_per_batch}) for name in names]
