"""Reliability diagrams of a calibration: the panel and each judge, before and after, as a PNG."""

from __future__ import annotations

import io
from typing import Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from prefstream.scoring.calibration.cross_fit import CalibrationResult, Figures
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.reliability import reliability_bins
from prefstream.scoring.evaluation.report.plots import draw_reliability
from prefstream.scoring.probabilities import Triples

_SIDE_INCHES: Final = 3.4
_DPI: Final = 120


def plot_calibration(result: CalibrationResult) -> bytes:
    """Draw the diagrams; the lower row is by parameters that were fitted on other prompts.

    Every battle counts once here, whatever its weight.

    Args:
        result: of `calibrate_panel`.

    Returns:
        A PNG.
    """
    draws = Resamples(result.facts.prompts)
    systems = [result.panel, *result.judges]
    # Judges are named by users; a dollar sign in a name is one.
    with mpl.rc_context(
        {"font.size": 9.0, "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False}
    ):
        figure = Figure(figsize=(_SIDE_INCHES * len(systems), 2 * _SIDE_INCHES), dpi=_DPI, layout="constrained")
        grid = figure.subplots(2, len(systems), squeeze=False)

        def draw(axes: Axes, title: str, answers: Triples, figures: Figures) -> None:
            draw_reliability(axes, reliability_bins(answers, result.facts.outcomes, draws))
            axes.set_title(f"{title}: calibration error {figures.calibration_error.value:.3f}", fontsize="medium")
            axes.set_xlabel("probability of the top outcome")

        for column, system in enumerate(systems):
            draw(grid[0, column], f"{system.name}, before", system.before, system.figures_before)
            draw(grid[1, column], f"{system.name}, after", system.after, system.figures_after)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png")
    return drawn.getvalue()
