"""The plots of an evaluation's report."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes

from prefstream.scoring.evaluation.report.drawing import (
    FAINT,
    MAIN,
    OTHER,
    ROW_INCHES,
    STYLE,
    draw_interval,
    forest_axes,
    forest_row,
    make_figure,
    to_svg,
)
from prefstream.scoring.evaluation.results import LengthRatio, ReliabilityBin, SliceResult, SystemResult


def plot_reliability(bins: Sequence[ReliabilityBin], *, by: str) -> str:
    """How often the top outcome happened against how probable it was.

    Args:
        bins: those that hold battles.
        by: whose they are.
    """
    with mpl.rc_context(STYLE):
        figure, axes = make_figure(4.2, width=5.2)
        draw_reliability(axes, bins)
        axes.set_xlabel(f"probability that {by} gave its top outcome")
        return to_svg(figure, "reliability")


def draw_reliability(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    """Draw a reliability diagram: on the dashed line, what is said to be so probable happens so often.

    Args:
        axes: where to.
        bins: those that hold battles; the larger the dot, the more.
    """
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle="--")
    most = max(one.battles for one in bins)
    for one in bins:
        draw_interval(axes, one.accuracy, at=one.confidence, vertical=True, color=MAIN)
        axes.scatter(one.confidence, one.accuracy.value or 0.0, s=20 + 160 * one.battles / most, color=MAIN, zorder=3)
        axes.annotate(
            f"{one.battles:,}",
            (one.confidence, one.accuracy.value or 0.0),
            xytext=(9, -11),
            textcoords="offset points",
            fontsize=8,
        )
    axes.set(xlim=(0.3, 1.03), ylim=(-0.03, 1.03), ylabel="how often it happened")


def plot_log_loss(systems: Sequence[SystemResult]) -> str:
    """Log loss of every system with its interval.

    Args:
        systems: the panel first.
    """
    with mpl.rc_context(STYLE):
        figure, axes = make_figure(0.9 + 0.36 * len(systems))
        for row, system in enumerate(systems):
            forest_row(axes, system.log_loss, row, MAIN if system.kind in {"panel", "judge"} else FAINT)
        forest_axes(axes, [system.name for system in systems], "log loss, nats (lower is better)")
        return to_svg(figure, "log-loss")


def plot_slices(slices: Sequence[SliceResult], overall: SystemResult, baseline: str | None) -> str:
    """Log loss of the panel on every slice, with its interval and a baseline's.

    Args:
        slices: at least one.
        overall: the panel's metrics on all battles.
        baseline: which one to show beside it; None where there is none.
    """
    with mpl.rc_context(STYLE):
        names: list[str] = []
        headings: set[int] = set()
        figure, axes = make_figure(1.1 + ROW_INCHES * (len(slices) + len({one.dimension for one in slices})))
        if overall.log_loss.value is not None:
            axes.axvline(overall.log_loss.value, color=FAINT, linewidth=1, linestyle="--")
        dimension = None
        for one in slices:
            if one.dimension != dimension:
                dimension = one.dimension
                headings.add(len(names))
                names.append(f"by {dimension}")
            forest_row(axes, one.log_loss, len(names), MAIN)
            other = next((found for found in one.comparisons if found.baseline == baseline), None)
            if other and one.log_loss.value is not None and other.log_loss.value is not None:
                axes.scatter(
                    one.log_loss.value - other.log_loss.value, len(names), marker="|", s=90, color=OTHER, zorder=4
                )
            names.append(f"{one.value}  ({one.battles:,})")
        forest_axes(axes, names, "log loss, nats (lower is better)")
        for row, text in enumerate(axes.get_yticklabels()):
            text.set_fontweight("bold" if row in headings else "normal")
        return to_svg(figure, "slices")


def plot_longer_wins(ratios: Sequence[LengthRatio]) -> str:
    """How often the longer answer wins, by how much longer it is: as people decided and as the panel says.

    Args:
        ratios: buckets; those without battles are left out.
    """
    with mpl.rc_context(STYLE):
        figure, axes = make_figure(3.4, width=6.2)
        shown = [one for one in ratios if one.battles]
        for estimates, label, color, shift in (
            ([one.human for one in shown], "people", OTHER, -0.07),
            ([one.predicted for one in shown], "panel", MAIN, 0.07),
        ):
            places = [place + shift for place in range(len(shown))]
            axes.plot(places, [one.value or 0.0 for one in estimates], marker="o", color=color, label=label)
            for place, one in zip(places, estimates, strict=True):
                draw_interval(axes, one, at=place, vertical=True, color=color)
        axes.axhline(0.5, color=FAINT, linewidth=1, linestyle="--")
        axes.set_xticks(range(len(shown)), [f"{one.name}\n({one.battles:,})" for one in shown])
        axes.set(ylim=(0, 1), ylabel="P(longer wins)", xlabel="length of the longer answer by the shorter's")
        axes.legend(loc="lower right")
        return to_svg(figure, "longer")
