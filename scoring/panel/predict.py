"""What a panel says about many battles, as arrays: what evaluation and calibration work on.

Probabilities stand in the order of `schemas.OUTCOMES`, and always in terms of the battle as it was given: answers to
the exchanged battle are mapped back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES, Battle, JudgeOpinion, Probabilities, Provenance
from prefstream.scoring.config import PanelConfig, load_panel_config
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import Judge
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.load import load_panel, read_calibration
from prefstream.scoring.panel.panel import CHUNK_BATTLES, Panel
from prefstream.scoring.probabilities import Triples


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
        ids: their ids, in the same order.
        panel: the panel's answers.
        judges: each judge's, in the panel's order; empty where only the panel's answers are known.
        unanswered: battles without an answer, by position, with the reason.
    """

    positions: NDArray[np.intp]
    ids: tuple[str, ...]
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
            ids=tuple(self.ids[row] for row in kept),
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
    battles: Sequence[Battle],
    *,
    on_progress: Callable[[int], None] | None = None,
    chunk_battles: int = CHUNK_BATTLES,
) -> Predictions:
    """Let a panel score battles, chunk by chunk.

    Args:
        panel: stays open.
        battles: any number.
        on_progress: told after every chunk how many battles are done in all.
        chunk_battles: battles of one batch; part of what decides the last bits of the probabilities.

    Raises:
        JudgeFaultError: a judge failed for good. Also of a panel that is set to go on without it: one that was measured
            with one judge fewer half of the time is no panel that anybody will run.
    """
    answers: list[PanelAnswer | BattleTooLargeError] = []
    for start in range(0, len(battles), chunk_battles):
        answers += panel.score_encoded(panel.encode(battles[start : start + chunk_battles]))
        if panel.left_out:
            raise JudgeFaultError(
                ", ".join(panel.left_out), "failed, and a panel is measured with all its judges", transient=False
            )
        if on_progress:
            on_progress(len(answers))
    answered = [(position, answer) for position, answer in enumerate(answers) if isinstance(answer, PanelAnswer)]
    rows = [answer for _, answer in answered]
    judges = tuple(_forecast_of(judge, place, rows) for place, judge in enumerate(panel.judges))
    return Predictions(
        positions=np.array([position for position, _ in answered], dtype=np.intp),
        ids=tuple(battles[position].id for position, _ in answered),
        panel=panel_forecast(triples([row.probabilities for row in rows]), judges),
        judges=judges,
        unanswered={
            position: str(answer) for position, answer in enumerate(answers) if isinstance(answer, BattleTooLargeError)
        },
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


def opinions_forecast(
    name: str, opinions: Sequence[JudgeOpinion], *, symmetric: bool, weight: float, recused: Sequence[bool]
) -> Forecast:
    """One judge's opinions as a forecast.

    Args:
        name: of the judge.
        opinions: one per battle.
        symmetric: whether exchanging A and B exchanges its answer by construction.
        weight: its share in the panel's mean.
        recused: where it was, whether or not it counted all the same.
    """
    probabilities = triples([opinion.probabilities for opinion in opinions])
    as_given, swapped = probabilities, probabilities if symmetric else None
    given = [opinion.as_given for opinion in opinions if opinion.as_given]
    exchanged = [opinion.swapped for opinion in opinions if opinion.swapped]
    if opinions and len(given) == len(exchanged) == len(opinions):
        as_given, swapped = triples(given), triples(exchanged)
    counted = [not away or bool(opinion.weight) for away, opinion in zip(recused, opinions, strict=True)]
    return Forecast(
        name=name,
        probabilities=probabilities,
        as_given=as_given,
        swapped=swapped,
        symmetric=symmetric,
        weight=weight,
        provenance=opinions[0].provenance if opinions else None,
        counted=np.array(counted, dtype=np.bool_) if any(recused) else None,
    )


def _forecast_of(judge: Judge, place: int, rows: Sequence[PanelAnswer]) -> Forecast:
    opinions = [row.judges[place] for row in rows]
    recused = [judge.name in row.recused for row in rows]
    return opinions_forecast(judge.name, opinions, symmetric=judge.symmetric, weight=judge.weight, recused=recused)
