"""The plots of a comparison's page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl

from prefstream.schemas import OUTCOMES
from prefstream.scoring.comparison.results import AnswersDiff, JudgeChange, SliceChange
from prefstream.scoring.evaluation.report.drawing import (
    FAINT,
    MAIN,
    OTHER,
    ROW_INCHES,
    STYLE,
    forest_axes,
    forest_row,
    make_figure,
    to_svg,
)

DRAWN_BATTLES: Final = 30
"""Of a slice, at least: an interval from 0 to .8 would press all others together."""

_SPELLED: Final = {"model_a": "A wins", "model_b": "B wins", "tie": "tie"}


def plot_shifts(diff: AnswersDiff) -> str:
    """How much more probable each outcome is on the right, of the panel and of every judge that both sides have.

    Args:
        diff: what was found.
    """
    with mpl.rc_context(STYLE):
        groups = [("panel", diff.change), *((one.name, one.change) for one in diff.judges)]
        names: list[str] = []
        headings: set[int] = set()
        figure, axes = make_figure(1.1 + ROW_INCHES * len(groups) * (len(OUTCOMES) + (len(groups) > 1)))
        axes.axvline(0.0, color=FAINT, linewidth=1, linestyle="--")
        for name, change in groups:
            if len(groups) > 1:
                headings.add(len(names))
                names.append(name)
            for outcome in OUTCOMES:
                forest_row(axes, getattr(change.shift, outcome), len(names), MAIN if name == "panel" else OTHER)
                names.append(_SPELLED[outcome])
        forest_axes(axes, names, "mean change of the probability, right minus left")
        _embolden(axes.get_yticklabels(), headings)
        return to_svg(figure, "shifts")


def drawn_changes(diff: AnswersDiff) -> list[JudgeChange | SliceChange]:
    """The judges, and the slices that are large enough to be drawn; a single one of its kind says nothing."""
    large = [one for one in diff.slices if one.change.battles >= DRAWN_BATTLES]
    kinds = Counter(one.dimension for one in large)
    return [*diff.judges, *(one for one in large if kinds[one.dimension] > 1)]


def plot_changed(diff: AnswersDiff) -> str:
    """How often the verdict is another one: of every judge, and on every slice.

    Args:
        diff: with something of `drawn_changes`.
    """
    with mpl.rc_context(STYLE):
        rows = drawn_changes(diff)
        titles = ["by judge" if isinstance(one, JudgeChange) else f"by {one.dimension}" for one in rows]
        names: list[str] = []
        headings: set[int] = set()
        figure, axes = make_figure(1.1 + ROW_INCHES * (len(rows) + len(set(titles))))
        if diff.change.changed.value is not None:
            axes.axvline(diff.change.changed.value, color=FAINT, linewidth=1, linestyle="--")
        for title, one in zip(titles, rows, strict=True):
            if title not in names:
                headings.add(len(names))
                names.append(title)
            forest_row(axes, one.change.changed, len(names), OTHER if isinstance(one, JudgeChange) else MAIN)
            named = one.name if isinstance(one, JudgeChange) else one.value
            names.append(f"{named}  ({one.change.battles:,})")
        forest_axes(axes, names, "share of changed verdicts")
        _embolden(axes.get_yticklabels(), headings)
        return to_svg(figure, "changed")


def _embolden(labels: Sequence[mpl.text.Text], headings: set[int]) -> None:
    for row, label in enumerate(labels):
        label.set_fontweight("bold" if row in headings else "normal")
