"""What a panel says about many battles, as arrays: what evaluation and calibration work on.

Probabilities stand in the order of `schemas.OUTCOMES`, and always in terms of the battle as it was given: answers to
the exchanged battle are mapped back.
"""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES, Battle, JudgeOpinion, Probabilities, Provenance
from prefstream.scoring.config import PanelConfig, load_panel_config
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.panel.load import load_panel, read_calibration
from prefstream.scoring.panel.panel import CHUNK_BATTLES, Panel
from prefstream.scoring.probabilities import Triples

_UNKNOWN: Final = (float("nan"),) * len(OUTCOMES)
"""Of an order that was not read."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What one judge, the panel, or a baseline says about the same n battles.

    Attributes:
        name: of the judge; `panel` for the panel.
        probabilities: its answers, shape (n, 3); the mean of both orders where the panel swaps.
        as_given: answers to the battles in their own order; `probabilities` itself where only that was read.
        swapped: answers to the exchanged battles, mapped back to the battles' own A and B: without position bias
            equal to `as_given`. None where nobody knows them: a judge that is not symmetric, without swap.
        symmetric: exchanging A and B exchanges the answer by construction, so `swapped` is `as_given`.
        weight: share in the panel's mean; 1 for the panel itself and where it isn't known.
        provenance: what exactly answered; None for the panel, for baselines, and where it isn't known.
        counted: shape (n,): where a judge was not recused, or counted all the same; None where it always did.
    """

    name: str
    probabilities: Triples
    as_given: Triples
    swapped: Triples | None = None
    symmetric: bool = False
    weight: float = 1.0
    provenance: Provenance | None = None
    counted: NDArray[np.bool_] | None = None

    @property
    def trained(self) -> bool:
        """False for a random head, whose probabilities mean nothing."""
        return self.provenance is None or self.provenance.trained is not False

    def at(self, rows: NDArray[np.intp]) -> Forecast:
        """What is said about some of the battles.

        Args:
            rows: which.
        """
        return replace(
            self,
            probabilities=self.probabilities[rows],
            as_given=self.as_given[rows],
            swapped=None if self.swapped is None else self.swapped[rows],
            counted=None if self.counted is None else self.counted[rows],
        )


@dataclass(frozen=True, slots=True)
class Predictions:
    """What a panel said about a list of battles.

    Attributes:
        positions: which of the battles were answered, ascending: row i of every array is about battle
            `positions[i]` of that list.
        panel: the panel's answers.
        judges: each judge's, in the panel's order; empty where only the panel's answers are known.
        unanswered: battles without an answer, by position, with the reason.
    """

    positions: NDArray[np.intp]
    panel: Forecast
    judges: tuple[Forecast, ...]
    unanswered: Mapping[int, str]

    def without(self, missing: Mapping[int, str]) -> Predictions:
        """As if some battles had not been answered.

        Args:
            missing: the reason by the battle's position; of those that were not answered anyway, theirs stays.
        """
        kept = np.flatnonzero([position not in missing for position in self.positions.tolist()])
        return Predictions(
            positions=self.positions[kept],
            panel=self.panel.at(kept),
            judges=tuple(judge.at(kept) for judge in self.judges),
            unanswered={**missing, **self.unanswered},
        )


def load_uncalibrated_panel(config: PanelConfig | Path | str, *, say: Callable[[str], None] | None = None) -> Panel:
    """Load a panel as if nothing had ever been calibrated, to fit a calibration on what it says.

    Neither what the adapters recorded nor the panel's calibration file changes a probability; the weights, those of
    the calibration file included, and everything else stay as they are.

    Args:
        config: the panel, or the path of its file.
        say: told what is being loaded, one short line at a time.

    Raises:
        ConfigError: the panel file or its calibration is wrong.
        LoadError: a judge can't be loaded, or must not judge.
    """
    if not isinstance(config, PanelConfig):
        config = load_panel_config(config)
    identity = CalibrationFile(
        judges={judge.name: Calibration() for judge in config.judges}, weights=read_calibration(config).weights
    )
    return load_panel(config, calibration=identity, say=say)


def predict(
    panel: Panel,
    battles: Iterable[Battle],
    *,
    on_progress: Callable[[int], None] | None = None,
    chunk_battles: int = CHUNK_BATTLES,
) -> Predictions:
    """Let a panel score battles, chunk by chunk; of a battle that is done only numbers stay.

    Args:
        panel: stays open.
        battles: any number; no more than a chunk of them is held at a time.
        on_progress: told after every chunk how many battles are done in all.
        chunk_battles: battles of one batch; part of what decides the last bits of the probabilities.

    Raises:
        JudgeFaultError: a judge failed for good. Also of a panel that is set to go on without it: one that was measured
            with one judge fewer half of the time is no panel that anybody will run.
    """
    done = 0
    positions, said = array("q"), array("d")
    opinions = [(judge, OpinionColumns()) for judge in panel.judges]
    unanswered: dict[int, str] = {}
    remaining = iter(battles)
    while chunk := list(itertools.islice(remaining, chunk_battles)):
        answers = panel.score_encoded(panel.encode(chunk))
        refuse_left_out(panel)
        for position, answer in enumerate(answers, start=done):
            if isinstance(answer, BattleTooLargeError):
                unanswered[position] = str(answer)
                continue
            positions.append(position)
            said.extend(_triple(answer.probabilities))
            for (judge, columns), opinion in zip(opinions, answer.judges, strict=True):
                columns.add(opinion, recused=judge.name in answer.recused)
        done += len(answers)
        if on_progress:
            on_progress(done)
    judges = tuple(
        columns.forecast(judge.name, symmetric=judge.symmetric, weight=panel.weights[judge.name])
        for judge, columns in opinions
    )
    return Predictions(
        positions=np.array(positions, dtype=np.intp),
        panel=panel_forecast(np.array(said, dtype=np.float64).reshape(-1, len(OUTCOMES)), judges),
        judges=judges,
        unanswered=unanswered,
    )


def refuse_left_out(panel: Panel) -> None:
    """Refuse what a panel says without one of its judges.

    Args:
        panel: that has answered.

    Raises:
        JudgeFaultError: a judge failed, and the panel went on without it.
    """
    if panel.left_out:
        raise JudgeFaultError(
            ", ".join(panel.left_out), "failed, and a panel is measured with all its judges", transient=False
        )


def panel_forecast(probabilities: Triples, judges: Sequence[Forecast]) -> Forecast:
    """The panel's forecast: symmetric where each of its judges is, or answered in both orders.

    Args:
        probabilities: the panel's answers.
        judges: those of its judges; none where they aren't known.
    """
    symmetric = bool(judges) and all(judge.swapped is not None for judge in judges)
    return Forecast(
        name="panel",
        probabilities=probabilities,
        as_given=probabilities,
        swapped=probabilities if symmetric else None,
        symmetric=symmetric,
    )


def triples(rows: Sequence[Probabilities]) -> Triples:
    """Probabilities as an array of shape (n, 3)."""
    return np.array([[getattr(row, outcome) for outcome in OUTCOMES] for row in rows], dtype=np.float64).reshape(
        -1, len(OUTCOMES)
    )


def _triple(probabilities: Probabilities) -> tuple[float, float, float]:
    return probabilities.model_a, probabilities.model_b, probabilities.tie


class OpinionColumns:
    """What one judge says of battles, gathered opinion by opinion; of each ten numbers stay."""

    def __init__(self) -> None:
        self._numbers = array("d")
        self._counted = array("b")
        self._was_recused = False
        self._provenance: Provenance | None = None

    def __len__(self) -> int:
        return len(self._counted)

    def add(self, opinion: JudgeOpinion, *, recused: bool) -> None:
        """Take the judge's opinion of the next battle.

        Args:
            opinion: of it.
            recused: whether the judge was, whether or not it counted all the same.
        """
        self._provenance = self._provenance or opinion.provenance
        for said in (opinion.probabilities, opinion.as_given, opinion.swapped):
            self._numbers.extend(_UNKNOWN if said is None else _triple(said))
        self._counted.append(not recused or bool(opinion.weight))
        self._was_recused |= recused

    def forecast(self, name: str, *, symmetric: bool, weight: float, rows: NDArray[np.intp] | None = None) -> Forecast:
        """The opinions as a forecast.

        Args:
            name: of the judge.
            symmetric: whether exchanging A and B exchanges its answer by construction.
            weight: its share in the panel's mean.
            rows: which of the opinions, in the forecast's order; by default all.
        """
        numbers = np.array(self._numbers, dtype=np.float64).reshape(-1, 3, len(OUTCOMES))
        counted = np.array(self._counted, dtype=np.bool_)
        if rows is not None:
            numbers, counted = numbers[rows], counted[rows]
        probabilities, as_given, swapped = (np.ascontiguousarray(numbers[:, order]) for order in range(3))
        in_both_orders = bool(len(numbers)) and bool(np.isfinite(numbers).all())
        return Forecast(
            name=name,
            probabilities=probabilities,
            as_given=as_given if in_both_orders else probabilities,
            swapped=swapped if in_both_orders else probabilities if symmetric else None,
            symmetric=symmetric,
            weight=weight,
            provenance=self._provenance,
            counted=counted if self._was_recused else None,
        )
