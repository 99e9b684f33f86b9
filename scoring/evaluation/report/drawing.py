"""Drawings as SVG that stands inside a page.

Colours are replaced by the page's own (CSS variables), so that one drawing fits a light and a dark page. Figures are
made without pyplot: it keeps every figure in a list of the process.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefstream.scoring.evaluation.bootstrap import Estimate

INK: Final = "#101010"
FAINT: Final = "#a0a0a1"
MAIN: Final = "#1f6fb1"
OTHER: Final = "#c9622b"

_PAGE_COLOURS: Final = {INK: "var(--ink)", FAINT: "var(--faint)", MAIN: "var(--main)", OTHER: "var(--other)"}
"""What a drawing's colours become in the page."""

_NOT_FOR_PAGES: Final = (
    r"\s*<metadata>.*?</metadata>",
    r"\s*<defs>\s*<style.*?</style>\s*</defs>",  # it would apply to the whole page
    r"(?<=<svg)[^>]*?(?= viewBox)",  # namespaces, which a page gives by itself
    r' xmlns="[^"]*" version="[^"]*"',
    r'(?<=<g) id="[\w.]+_\d+"',  # the same in every drawing
)
"""What an SVG file needs and a drawing inside a page does not."""

STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched and copied
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.parse_math": False,  # names come from files; a dollar sign in them is one
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
}

_WIDTH_INCHES: Final = 7.2
ROW_INCHES: Final = 0.27
"""Height of a line of a forest plot."""


def make_figure(height: float, *, width: float = _WIDTH_INCHES) -> tuple[Figure, Axes]:
    """A drawing without a background of its own.

    Args:
        height: inches.
        width: inches; as wide as a page's text unless told.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.patch.set_alpha(0.0)
    axes = figure.add_subplot()
    axes.patch.set_alpha(0.0)
    return figure, axes


def forest_row(axes: Axes, estimate: Estimate, row: int, color: str) -> None:
    """A dot with its interval on one line of a forest plot; nothing where there is no number."""
    if estimate.value is None:
        return
    draw_interval(axes, estimate, at=row, vertical=False, color=color)
    axes.scatter(estimate.value, row, color=color, s=30, zorder=3)


def forest_axes(axes: Axes, names: Sequence[str], label: str) -> None:
    """Name the lines of a forest plot.

    Args:
        axes: on which all rows are drawn.
        names: of the rows, the first on top.
        label: of the numbers.
    """
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=FAINT, alpha=0.35, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel(label)


def draw_interval(axes: Axes, estimate: Estimate, *, at: float, vertical: bool, color: str) -> None:
    """The line from one end of an interval to the other; nothing where it has none."""
    if estimate.low is None or estimate.high is None:
        return
    draw = axes.vlines if vertical else axes.hlines
    draw(at, estimate.low, estimate.high, color=color, linewidth=1.6)


def to_svg(figure: Figure, name: str) -> str:
    """The drawing as an SVG element that can stand in a page beside others."""
    text = io.StringIO()
    # The salt makes ids, which the page shares among its drawings, differ between them and stay from run to run.
    with mpl.rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # Text stays text: what our font lacks, such as a language's own name, the reader's browser has.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    for pattern in _NOT_FOR_PAGES:
        svg = re.sub(pattern, "", svg, flags=re.DOTALL)
    for colour, variable in _PAGE_COLOURS.items():
        svg = svg.replace(colour, variable)
    return svg
