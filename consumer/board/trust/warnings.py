"""What a person should know before trusting the judges, or the table of models: a sentence each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.trust.results import Contrast, Drift, Selection, TrustReport, TrustWindow

FEW_CATEGORIES: Final = 2
"""That a sentence names."""

ENOUGH_VOTES: Final = 200
"""With fewer, that judges are not shown to be better than knowing nothing is no news of them."""


def warnings_of(report: TrustReport) -> Iterator[str]:
    """What stands out, the gravest first.

    Args:
        report: without its warnings.
    """
    for window in report.windows:
        yield from _of_judges(window)
    yield from _of_selection(report.selection)
    for drift in report.drift:
        yield from _of_drift(drift)


def _of_judges(window: TrustWindow) -> Iterator[str]:
    quality = window.quality
    if quality is None:
        return
    last = f"over the last {window.window}"
    if _above(quality.against_prior.log_loss):
        yield (
            f"{last} the judges are worse than the class prior: their log loss less its "
            f"{_told(quality.against_prior.log_loss)}"
        )
    elif quality.votes >= ENOUGH_VOTES and not _below(quality.against_prior.log_loss):
        yield (
            f"{last} the judges are not shown to be better than the class prior: their log loss less its "
            f"{_told(quality.against_prior.log_loss)}"
        )
    if (quality.calibration_error.value or 0.0) > quality.calibration_error_by_chance_95:
        yield (
            f"{last} the judges are not calibrated: an error of {quality.calibration_error.value:.3f}, where a perfect "
            f"panel stays below {quality.calibration_error_by_chance_95:.3f} in 19 of 20 cases"
        )
    if window.against_shipped is not None and _above(window.against_shipped.log_loss):
        yield (
            f"{last} the judges are worse than they were shipped: log loss now less then "
            f"{_told(window.against_shipped.log_loss)}"
        )
    if window.longer_wins is not None and _above(window.longer_wins.excess):
        yield (
            f"{last} the judges prefer the longer answer more than people do, by {_told(window.longer_wins.excess)} of "
            "the battles that somebody won"
        )
    if len(window.panels) > 1:
        yield f"{last} {len(window.panels)} different panels answered; the figures are of all of them together"


def _of_selection(selection: Selection) -> Iterator[str]:
    for each in selection.differing:
        yield (
            f"battles that people voted on differ from the others in {each.what}{_most(each, 'voted', 'others')}: the "
            "table from votes and judges together takes who gets a vote for no matter of the outcome"
        )


def _of_drift(drift: Drift) -> Iterator[str]:
    for kind, contrasts in (("battles", drift.inputs), ("answers", drift.answers)):
        for each in contrasts:
            if each.differs:
                yield (
                    f"{kind} of the last {drift.window} differ from those of the weeks before in "
                    f"{each.what}{_most(each, 'now', 'before')}"
                )


def _most(contrast: Contrast, one: str, other: str) -> str:
    told = ", ".join(
        f"{each.category} {each.one:.0%} {one} and {each.other:.0%} {other}" for each in contrast.most[:FEW_CATEGORIES]
    )
    return f" ({told})"


def _told(estimate: Estimate) -> str:
    if estimate.value is None:
        return "is not known"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:+.3f}"
    return f"{estimate.value:+.3f} [{estimate.low:+.3f}, {estimate.high:+.3f}]"


def _above(estimate: Estimate) -> bool:
    return estimate.low is not None and estimate.low > 0


def _below(estimate: Estimate) -> bool:
    return estimate.high is not None and estimate.high < 0
