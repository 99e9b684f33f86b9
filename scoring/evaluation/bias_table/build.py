"""The table of bias, from what a panel said of labelled battles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.errors import MisuseError
from prefstream.scoring.evaluation.battle_facts import AnswerFacts, BattleFacts
from prefstream.scoring.evaluation.bias_table.families import family_of
from prefstream.scoring.evaluation.bias_table.figures import (
    Figure,
    fill,
    formatting,
    injection_rows,
    more_formatted,
    position_rows,
    self_enhancement,
    verbosity,
)
from prefstream.scoring.evaluation.bootstrap import DEFAULT_RESAMPLES, DEFAULT_SEED, Resamples
from prefstream.scoring.evaluation.results import BiasRow, InjectionEffect
from prefstream.scoring.evaluation.slices import cut_slices
from prefstream.scoring.panel.predict import Predictions


def bias_table(
    facts: BattleFacts,
    predictions: Predictions,
    *,
    families: Mapping[str, Sequence[str]] | None = None,
    injections: Sequence[InjectionEffect] = (),
    reference: Predictions | None = None,
    resamples: int = DEFAULT_RESAMPLES,
    seed: int = DEFAULT_SEED,
) -> tuple[BiasRow, ...]:
    """What the panel and its judges are biased by, beside what people did.

    Everything but position and injections is measured on battles with a winner, as the mean of P(that side) / (P(A) +
    P(B)) against how often it won: a judge that knows little and says so is not called biased, as it would be by how
    often it holds the likelier side for better.

    Args:
        facts: of the battles that the predictions are about, with `answers`.
        predictions: of a panel, or read from a file; at least one battle was answered.
        families: by the name of a judge, patterns of the names of models of its family, in place of what the name of
            its base tells.
        injections: what was measured of them.
        reference: of another panel, about the same battles: its figures stand beside.
        resamples: draws for the intervals.
        seed: of the draws.

    Raises:
        MisuseError: the facts were gathered without `answers`.
    """
    facts = facts.at(predictions.positions)
    answers = facts.answers
    if answers is None:
        raise MisuseError("bias_table: the facts say nothing of who answered; call gather_facts with answers=True")
    draws = Resamples(facts.prompts, resamples=resamples, seed=seed)
    sides = more_formatted(answers.styles)

    def rows_of(said: Predictions) -> Iterator[BiasRow]:
        forecasts = (said.panel, *said.judges)
        for forecast in forecasts:
            yield from position_rows(forecast, draws)
        yield from _verbosity(said, facts, draws)
        yield from _self_enhancement(said, facts.outcomes, answers, families or {}, draws)
        figures = [figure for forecast in forecasts for figure in formatting(forecast, facts.outcomes, sides)]
        yield from fill(figures, draws)

    rows = [*rows_of(predictions), *injection_rows(injections)]
    if reference is None:
        return tuple(rows)
    others = {_key(row): row.judged for row in rows_of(reference)}
    return tuple(row.model_copy(update={"reference": others.get(_key(row))}) for row in rows)


def _key(row: BiasRow) -> tuple[str, str, str, str]:
    return row.bias, row.measure, row.judge, row.group


def _verbosity(said: Predictions, facts: BattleFacts, draws: Resamples) -> Iterator[BiasRow]:
    """Of the panel by tier, too: each has its own people, who like length more or less."""
    yield from fill(list(verbosity(said.panel, facts, "all")), draws)
    for cut in cut_slices(facts):
        if cut.dimension == "tier":
            part = facts.at(cut.rows)
            own = Resamples(part.prompts, resamples=draws.resamples, seed=draws.seed)
            yield from fill(list(verbosity(said.panel.at(cut.rows), part, cut.value)), own)
    yield from fill([figure for judge in said.judges for figure in verbosity(judge, facts, "all")], draws)


def _self_enhancement(
    said: Predictions,
    outcomes: NDArray[np.intp],
    answers: AnswerFacts,
    families: Mapping[str, Sequence[str]],
    draws: Resamples,
) -> Iterator[BiasRow]:
    named = any(None not in models for models in zip(answers.models_a, answers.models_b, strict=True))
    figures: list[Figure] = []
    for judge in (said.panel, *said.judges):
        base = judge.provenance.base if judge.provenance else None
        family = families.get(judge.name) or (family_of(base) if base else ())
        if family and named:
            figures += self_enhancement(judge, family, answers, outcomes, said)
        elif base or family:  # who was made from no model has no family
            note = "no battle says who answered" if family else "of no known family; --family names one"
            yield BiasRow(
                bias="self-enhancement", measure=f"{judge.name}'s family wins", judge=judge.name, battles=0, note=note
            )
    yield from fill(figures, draws)
