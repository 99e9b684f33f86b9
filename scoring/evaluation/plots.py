"""The report's plots, as SVG that stands inside the page.

Colours are replaced by the page's own (CSS variables), so that one drawing fits a light and a dark page. Figures are
made without pyplot: it keeps every figure in a list of the process.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.results import LengthRatio, ReliabilityBin, SliceResult, SystemResult

_INK: Final = "#101010"
_FAINT: Final = "#a0a0a1"
_MAIN: Final = "#1f6fb1"
_OTHER: Final = "#c9622b"

_PAGE_COLOURS: Final = {_INK: "var(--ink)", _FAINT: "var(--faint)", _MAIN: "var(--main)", _OTHER: "var(--other)"}
"""What a drawing's colours become in the page."""

_NOT_FOR_PAGES: Final = (
    r"\s*<metadata>.*?</metadata>",
    r"\s*<defs>\s*<style.*?</style>\s*</defs>",  # it would apply to the whole page
    r"(?<=<svg)[^>]*?(?= viewBox)",  # namespaces, which a page gives by itself
    r' xmlns="[^"]*" version="[^"]*"',
    r'(?<=<g) id="[\w.]+_\d+"',  # the same in every drawing
)
"""What an SVG file needs and a drawing inside a page does not."""

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.parse_math": False,  # names come from files; a dollar sign in them is one
    "text.color": _INK,
    "axes.edgecolor": _FAINT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}

_WIDTH_INCHES: Final = 7.2
_ROW_INCHES: Final = 0.27
"""Height of a line of a forest plot."""


def plot_reliability(bins: Sequence[ReliabilityBin], *, by: str) -> str:
    """How often the top outcome happened against how probable it was.

    Args:
        bins: those that hold battles.
        by: whose they are.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(4.2, width=5.2)
        draw_reliability(axes, bins)
        axes.set_xlabel(f"probability that {by} gave its top outcome")
        return _svg(figure, "reliability")


def draw_reliability(axes: Axes, bins: Sequence[ReliabilityBin]) -> None:
    """Draw a reliability diagram: on the dashed line, what is said to be so probable happens so often.

    Args:
        axes: where to.
        bins: those that hold battles; the larger the dot, the more.
    """
    axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1, linestyle="--")
    most = max(one.battles for one in bins)
    for one in bins:
        _interval(axes, one.accuracy, at=one.confidence, vertical=True, color=_MAIN)
        axes.scatter(one.confidence, one.accuracy.value or 0.0, s=20 + 160 * one.battles / most, color=_MAIN, zorder=3)
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
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(0.9 + 0.36 * len(systems))
        for row, system in enumerate(systems):
            _forest_row(axes, system.log_loss, row, _MAIN if system.kind in {"panel", "judge"} else _FAINT)
        _forest_axes(axes, [system.name for system in systems], "log loss, nats (lower is better)")
        return _svg(figure, "log-loss")


def plot_slices(slices: Sequence[SliceResult], overall: SystemResult, baseline: str | None) -> str:
    """Log loss of the panel on every slice, with its interval and a baseline's.

    Args:
        slices: at least one.
        overall: the panel's metrics on all battles.
        baseline: which one to show beside it; None where there is none.
    """
    with mpl.rc_context(_STYLE):
        names: list[str] = []
        headings: set[int] = set()
        figure, axes = _figure(1.1 + _ROW_INCHES * (len(slices) + len({one.dimension for one in slices})))
        if overall.log_loss.value is not None:
            axes.axvline(overall.log_loss.value, color=_FAINT, linewidth=1, linestyle="--")
        dimension = None
        for one in slices:
            if one.dimension != dimension:
                dimension = one.dimension
                headings.add(len(names))
                names.append(f"by {dimension}")
            _forest_row(axes, one.log_loss, len(names), _MAIN)
            other = next((found for found in one.comparisons if found.baseline == baseline), None)
            if other and one.log_loss.value is not None and other.log_loss.value is not None:
                axes.scatter(
                    one.log_loss.value - other.log_loss.value, len(names), marker="|", s=90, color=_OTHER, zorder=4
                )
            names.append(f"{one.value}  ({one.battles:,})")
        _forest_axes(axes, names, "log loss, nats (lower is better)")
        for row, text in enumerate(axes.get_yticklabels()):
            text.set_fontweight("bold" if row in headings else "normal")
        return _svg(figure, "slices")


def plot_longer_wins(ratios: Sequence[LengthRatio]) -> str:
    """How often the longer answer wins, by how much longer it is: as people decided and as the panel says.

    Args:
        ratios: buckets; those without battles are left out.
    """
    with mpl.rc_context(_STYLE):
        figure, axes = _figure(3.4, width=6.2)
        shown = [one for one in ratios if one.battles]
        for estimates, label, color, shift in (
            ([one.human for one in shown], "people", _OTHER, -0.07),
            ([one.predicted for one in shown], "panel", _MAIN, 0.07),
        ):
            places = [place + shift for place in range(len(shown))]
            axes.plot(places, [one.value or 0.0 for one in estimates], marker="o", color=color, label=label)
            for place, one in zip(places, estimates, strict=True):
                _interval(axes, one, at=place, vertical=True, color=color)
        axes.axhline(0.5, color=_FAINT, linewidth=1, linestyle="--")
        axes.set_xticks(range(len(shown)), [f"{one.name}\n({one.battles:,})" for one in shown])
        axes.set(ylim=(0, 1), ylabel="P(longer wins)", xlabel="length of the longer answer by the shorter's")
        axes.legend(loc="lower right")
        return _svg(figure, "longer")


def _figure(height: float, *, width: float = _WIDTH_INCHES) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    return figure, axes


def _forest_row(axes: Axes, estimate: Estimate, row: int, color: str) -> None:
    if estimate.value is None:
        return
    _interval(axes, estimate, at=row, vertical=False, color=color)
    axes.scatter(estimate.value, row, color=color, s=30, zorder=3)


def _forest_axes(axes: Axes, names: Sequence[str], label: str) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=_FAINT, alpha=0.35, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)


def _interval(axes: Axes, estimate: Estimate, *, at: float, vertical: bool, color: str) -> None:
    if estimate.low is None or estimate.high is None:
        return
    draw = axes.vlines if vertical else axes.hlines
    draw(at, estimate.low, estimate.high, color=color, linewidth=1.6)


def _svg(figure: Figure, name: str) -> str:
    """The drawing as an SVG element that can stand in a page beside others."""
    text = io.StringIO()
    # The salt makes ids, which the page shares among its drawings, differ between them and stay from run to run.
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern in _NOT_FOR_PAGES:
        svg = re.sub(pattern, "", svg, flags=re.DOTALL)
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
