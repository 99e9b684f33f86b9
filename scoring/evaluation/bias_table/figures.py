"""What the table of bias measures: each figure of a judge's, with people's beside it where they have one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.evaluation.battle_facts import AnswerFacts, BattleFacts
from prefstream.scoring.evaluation.bias import length_statistics, position_bias, side_with_more, win_statistics
from prefstream.scoring.evaluation.bias_table.families import ANY_OWNER
from prefstream.scoring.evaluation.bias_table.recombined import counted_in, recombined
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.injection import HARMLESS
from prefstream.scoring.evaluation.metrics import Statistic, difference
from prefstream.scoring.evaluation.results import BiasRow, InjectionEffect
from prefstream.scoring.panel.predict import Forecast, Predictions
from prefstream.scoring.panel.recusal import named_like
from prefstream.scoring.style import STYLE_FEATURES

FORMATTING: Final[Mapping[str, str]] = {
    "headings": "more headings wins",
    "list_items": "more list items wins",
    "bold": "more bold wins",
    "code_blocks": "more code blocks wins",
}
"""By the feature of `schemas.StyleCounts`."""

_WINNER_FOUND: Final[Mapping[str, str]] = {
    "accuracy_shorter_won": "winner found, the shorter won",
    "accuracy_longer_won": "winner found, the longer won",
    "accuracy_nearly_equal": "winner found, ratio below 1.2",
}

_READS: Final[Mapping[bool | None, str | None]] = {
    True: "names of makers masked",
    False: "answers read as written",
    None: None,
}
"""By the judge's `mask_identity`."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table whose numbers are not filled in yet.

    Attributes:
        row: of the table, without numbers.
        judged: the judge's figure.
        people: people's, over the same battles.
    """

    row: BiasRow
    judged: Statistic
    people: Statistic | None = None


def fill(figures: Sequence[Figure], draws: Resamples) -> list[BiasRow]:
    """Rows with their numbers, all by the same draws.

    Args:
        figures: about the battles of the draws.
        draws: of these battles' prompts.
    """
    statistics: dict[str, Statistic] = {}
    for place, figure in enumerate(figures):
        statistics[f"judged {place}"] = figure.judged
        if figure.people is not None:
            statistics[f"people {place}"] = figure.people
            statistics[f"excess {place}"] = difference(figure.judged, figure.people)
    found = draws.estimate(statistics)
    return [
        figure.row.model_copy(update={name: found.get(f"{name} {place}") for name in ("judged", "people", "excess")})
        for place, figure in enumerate(figures)
    ]


def position_rows(forecast: Forecast, draws: Resamples) -> Iterator[BiasRow]:
    """What changes when A and B change places; one row where nothing can, or nobody looked.

    Args:
        forecast: of a judge or the panel.
        draws: of the battles' prompts.
    """
    found = position_bias(forecast, draws)
    battles = len(forecast.probabilities)
    if not found.measured or found.by_construction:
        note = "none by construction" if found.measured else "not measured: only one order was read (--swap reads both)"
        yield BiasRow(bias="position", measure="verdict flips", judge=forecast.name, battles=battles, note=note)
        return
    for measure, estimate in (
        ("verdict flips", found.flip_rate),
        ("mean gap of P(A)", found.mean_gap),
        ("P(A), first minus second", found.first_bias),
    ):
        yield BiasRow(bias="position", measure=measure, judge=forecast.name, battles=battles, judged=estimate)


def verbosity(forecast: Forecast, facts: BattleFacts, group: str) -> Iterator[Figure]:
    """How often the longer answer wins, and whether the winner is found where length misleads or tells nothing.

    Args:
        forecast: of a judge or the panel, about the group's battles.
        facts: of these battles.
        group: its name.
    """
    found = length_statistics(forecast.probabilities, facts.outcomes, facts.chars_a, facts.chars_b)
    row = BiasRow(bias="verbosity", measure="longer wins", judge=forecast.name, battles=0, group=group)
    yield _figure(row, found["predicted_mass"], found["human"])
    for name, measure in _WINNER_FOUND.items():
        yield _figure(row.model_copy(update={"measure": measure}), found[name])


def self_enhancement(
    judge: Forecast,
    family: Sequence[str],
    answers: AnswerFacts,
    outcomes: NDArray[np.intp],
    predictions: Predictions,
) -> Iterator[Figure]:
    """How often a judge's own family wins: by itself, by the panel, and by the panel had recusal been otherwise.

    Args:
        judge: whose family it is; may be the panel.
        family: patterns of the names of its models.
        answers: who wrote them.
        outcomes: the column of what people said.
        predictions: of the panel, about these battles.
    """
    is_own = named_like(family)
    a, b = (
        np.array([is_own(model) for model in models], dtype=np.float64)
        for models in (answers.models_a, answers.models_b)
    )
    sides = side_with_more(a, b)
    reads = _READS[judge.provenance.mask_identity if judge.provenance else None]
    patterns = ", ".join(pattern for pattern in family if not pattern.startswith(ANY_OWNER))
    told: list[tuple[str, Forecast, str | None]] = [(judge.name, judge, f"{patterns}; {reads}" if reads else patterns)]
    if judge.name != predictions.panel.name:
        told += _panel_and_otherwise(judge, a + b > 0, predictions)
    for name, forecast, note in told:
        found = win_statistics(forecast.probabilities, outcomes, sides)
        row = BiasRow(
            bias="self-enhancement",
            measure=f"{judge.name}'s family wins",
            judge=name,
            battles=0,
            note=note,
        )
        yield _figure(row, found["predicted_mass"], found["human"])


def _panel_and_otherwise(
    judge: Forecast, may_be_own: NDArray[np.bool_], predictions: Predictions
) -> Iterator[tuple[str, Forecast, str | None]]:
    """The panel as it answered, then with recusal where it had none, and without it where it had."""
    panel, column = predictions.panel, [one.name for one in predictions.judges].index(judge.name)
    counted = counted_in(predictions)
    recuses = bool((~counted[may_be_own, column]).any())
    yield panel.name, panel, "with recusal" if recuses else None
    counting = [one.name for one in predictions.judges if one.weight > 0]
    if judge.name not in counting or len(counting) < 2:
        return
    counted[may_be_own, column] = recuses
    otherwise = recombined(predictions, counted)
    if otherwise is not None:
        yield f"{panel.name} {'with' if recuses else 'without'} {judge.name}", otherwise, None


def formatting(
    forecast: Forecast, outcomes: NDArray[np.intp], sides: Mapping[str, NDArray[np.intp]]
) -> Iterator[Figure]:
    """How often the answer wins that has more of something to look at.

    Args:
        forecast: of a judge or the panel.
        outcomes: the column of what people said.
        sides: by feature, which side has more of it, as `more_formatted` tells.
    """
    for feature, measure in FORMATTING.items():
        found = win_statistics(forecast.probabilities, outcomes, sides[feature])
        row = BiasRow(bias="formatting", measure=measure, judge=forecast.name, battles=0)
        yield _figure(row, found["predicted_mass"], found["human"])


def more_formatted(styles: NDArray[np.int32]) -> dict[str, NDArray[np.intp]]:
    """By each of `FORMATTING`, whose answer has more of it: 0 for A, 1 for B, `NEITHER` for as much.

    Args:
        styles: as `AnswerFacts` has them.
    """
    counts = styles.astype(np.float64)
    places = {feature: STYLE_FEATURES.index(feature) for feature in FORMATTING}
    return {feature: side_with_more(counts[:, 0, at], counts[:, 1, at]) for feature, at in places.items()}


def injection_rows(effects: Sequence[InjectionEffect]) -> Iterator[BiasRow]:
    """What an answer gains by a text that speaks to the judge, beyond what a harmless text of its length does.

    Args:
        effects: of all injections, as they were measured.
    """
    for effect in effects:
        if effect.side == "both":
            harmless = effect.injection == HARMLESS
            yield BiasRow(
                bias="injection",
                measure=f"{effect.injection} gains" + ("" if harmless else ", beyond harmless"),
                judge=effect.judge,
                battles=effect.battles,
                judged=effect.gain if harmless else effect.gain_over_harmless,
            )


def _figure(row: BiasRow, judged: Statistic, people: Statistic | None = None) -> Figure:
    battles = len(judged.columns) if judged.counted is None else int(judged.counted.sum())
    return Figure(row.model_copy(update={"battles": battles}), judged, people)
