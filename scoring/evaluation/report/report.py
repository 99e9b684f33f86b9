"""The report: an `Evaluation` as one HTML file that needs nothing beside it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Final

from markupsafe import Markup

from prefstream.scoring.evaluation.baselines import CLASS_PRIOR, LENGTH_ONLY
from prefstream.scoring.evaluation.report import plots
from prefstream.scoring.evaluation.report.page import Conclusion, fixed, page_environment
from prefstream.scoring.evaluation.results import BiasName, Comparison, Evaluation, SliceResult, SystemResult

_TEMPLATE: Final = "report.html.j2"

MIN_PROMPTS: Final = 20
"""With fewer, intervals by resampling are much too narrow to build a sentence on."""


KNOWING_NOTHING: Final = math.log(3)
"""Log loss of a third for each outcome."""


BIAS_TITLES: Final[Mapping[BiasName, str]] = {
    "position": "Position: A and B change places",
    "verbosity": "Verbosity: the longer answer",
    "self-enhancement": "Self-enhancement: an answer of its own family",
    "formatting": "Formatting: the answer that has more of it",
    "injection": "Injections: a text under an answer that speaks to its judge",
}
"""What the parts of the table of bias are called."""


def render_report(evaluation: Evaluation) -> str:
    """The evaluation as a page of HTML: plots inside, nothing loaded from elsewhere, light or dark as is wished.

    Args:
        evaluation: what was found.
    """
    return (
        page_environment()
        .get_template(_TEMPLATE)
        .render(
            evaluation=evaluation,
            panel=evaluation.panel,
            baseline=_shown_baseline(evaluation),
            verdicts=verdicts(evaluation),
            untrained=untrained(evaluation),
            calibration=calibration_in_words(evaluation.panel),
            slice_groups=[
                (dimension, list(rows))
                for dimension, rows in itertools.groupby(evaluation.slices, key=lambda one: one.dimension)
            ],
            bias_groups=[
                (BIAS_TITLES[bias], list(rows))
                for bias, rows in itertools.groupby(evaluation.bias, key=lambda one: one.bias)
            ],
            bias_compared=any(row.reference is not None for row in evaluation.bias),
            plots={name: Markup(svg) for name, svg in _plots(evaluation).items()},  # noqa: S704 - our own drawings, escaped by matplotlib
        )
    )


def verdicts(evaluation: Evaluation) -> list[Conclusion]:
    """What the comparison with each baseline comes to, in words."""
    losses = {system.name: system.log_loss.value for system in evaluation.systems if system.kind == "baseline"}
    return [_verdict(comparison, evaluation.prompts, losses) for comparison in evaluation.panel.comparisons]


def calibration_in_words(found: SystemResult | SliceResult) -> str | None:
    """Whether chance explains a calibration error; None where there is nothing to say.

    Args:
        found: of an evaluation.
    """
    within, bound = found.calibrated_within_chance, found.calibration_error_by_chance_95
    if within is None:
        return None
    word = "within chance" if within else "more than chance"
    error = fixed(found.calibration_error.value, 3)
    return f"{error}: {word}, which gives a perfect panel at most {fixed(bound, 3)} in 19 of 20 cases"


def untrained(evaluation: Evaluation) -> list[str]:
    """Names of judges whose head is random."""
    return [system.name for system in evaluation.systems if system.provenance and system.provenance.trained is False]


def _verdict(comparison: Comparison, prompts: int, losses: Mapping[str, float | None]) -> Conclusion:
    gap = comparison.log_loss
    name = comparison.baseline
    if prompts < MIN_PROMPTS:
        return Conclusion(
            "open", f"{prompts} prompts are too few to tell the panel from {name}; give {MIN_PROMPTS} at least."
        )
    if gap.value is None or gap.low is None or gap.high is None:
        return Conclusion("open", f"Too few prompts to compare the panel with {name}.")
    if not gap.excludes_zero:
        return Conclusion(
            "open",
            f"The panel's log loss can't be told from that of {name}: the difference is {gap.value:+.3f}, "
            f"between {gap.low:+.3f} and {gap.high:+.3f}.",
        )
    if gap.value < 0 and (floor := _unmet_floor(name, losses)):
        return Conclusion(
            "open",
            f"Being better than {name} says nothing here: its own log loss, {losses[name]:.3f}, is worse than that of "
            f"{floor}. There may be too few battles to fit it.",
        )
    side, low, high = ("better", -gap.high, -gap.low) if gap.value < 0 else ("worse", gap.low, gap.high)
    return Conclusion(
        "better" if gap.value < 0 else "worse",
        f"The panel's log loss is {side} than that of {name} by {abs(gap.value):.3f}, "
        f"between {low:.3f} and {high:.3f}.",
    )


def _unmet_floor(baseline: str, losses: Mapping[str, float | None]) -> str | None:
    """What knows less than a baseline and is better all the same; None where nothing is."""
    own, prior = losses.get(baseline), losses.get(CLASS_PRIOR)
    if own is None:
        return None
    if own > KNOWING_NOTHING:
        return f"knowing nothing ({KNOWING_NOTHING:.3f})"
    return f"{CLASS_PRIOR} ({prior:.3f})" if prior is not None and own > prior else None


def _plots(evaluation: Evaluation) -> dict[str, str]:
    panel = evaluation.panel
    drawn = {
        "log_loss": plots.plot_log_loss(evaluation.systems),
        "reliability": plots.plot_reliability(panel.reliability, by="the panel"),
        "longer_wins": plots.plot_longer_wins(evaluation.length_ratios),
    }
    if evaluation.slices:
        drawn["slices"] = plots.plot_slices(evaluation.slices, panel, _shown_baseline(evaluation))
    return drawn


def _shown_baseline(evaluation: Evaluation) -> str | None:
    """The baseline that plots of slices show."""
    return LENGTH_ONLY if any(one.baseline == LENGTH_ONLY for one in evaluation.panel.comparisons) else None
