"""A comparison as one page of HTML that needs nothing beside it."""

from __future__ import annotations

import itertools
from typing import Final

from markupsafe import Markup

from prefstream.scoring.comparison import plots
from prefstream.scoring.comparison.results import AnswersDiff
from prefstream.scoring.comparison.words import conclusions, joined_in_words, place_in_words
from prefstream.scoring.evaluation.report.page import page_environment

_TEMPLATE: Final = "diff.html.j2"


def render_diff(diff: AnswersDiff) -> str:
    """The comparison as a page: plots inside, nothing loaded from elsewhere, light or dark as is wished.

    Args:
        diff: what was found.
    """
    drawn = {"shifts": plots.plot_shifts(diff)}
    drawn["changed"] = plots.plot_changed(diff) if plots.drawn_changes(diff) else ""
    environment = page_environment("prefstream.scoring.comparison")
    environment.filters.update(place=place_in_words)
    return environment.get_template(_TEMPLATE).render(
        diff=diff,
        change=diff.change,
        drawn_battles=plots.DRAWN_BATTLES,
        most=max(itertools.chain.from_iterable(diff.change.verdicts)),
        verdicts=conclusions(diff),
        joined=joined_in_words(diff.join),
        slice_groups=[
            (dimension, list(rows)) for dimension, rows in itertools.groupby(diff.slices, key=lambda one: one.dimension)
        ],
        plots={name: Markup(svg) for name, svg in drawn.items()},  # noqa: S704 - our own drawings, escaped by matplotlib
    )
