"""Says in a few lines how good the judges were, by the votes that came after what they said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from prefstream.consumer.words import counted
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.trust.results import Quality, TrustReport, TrustWindow

WINDOWS: Final = {"day": "last day", "week": "last week"}

_SHORTER_LONGER: Final = ("last day", "last week")


def trust_table(trust: TrustReport) -> RenderableType:
    """A line a figure, with what it is to be held against."""
    drawn = Table.grid(padding=(0, 2, 0, 0))
    drawn.add_column(no_wrap=True)
    drawn.add_column(no_wrap=True, style="bold")
    drawn.add_column(style="dim")
    shown: Quality | None = None
    for window in reversed(trust.windows):  # the longest first: most votes
        name = WINDOWS.get(window.window, window.window)
        if window.quality is None:
            drawn.add_row(Text(name), Text("–"), Text(window.why_nothing or "no votes"))
        elif window.quality == shown:
            drawn.add_row(Text(name), Text("the same"))
        else:
            shown = window.quality
            drawn.add_row(Text(name), Text(counted(shown.votes, "vote")))
            for row in _rows(window, shown, trust):
                drawn.add_row(*map(Text, row))
    for row in _answer_rows(trust):
        drawn.add_row(*map(Text, row))
    return drawn


def estimate(found: Estimate, digits: int = 3) -> str:
    """A number and its interval, such as 1.037 [1.013, 1.060]."""
    if found.value is None:
        return "unknown"
    if found.low is None or found.high is None:
        return f"{found.value:.{digits}f}"
    return f"{found.value:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"


def percent(found: Estimate) -> str:
    """A share and its interval, such as 53 % [50, 56]."""
    if found.value is None:
        return "unknown"
    if found.low is None or found.high is None:
        return f"{100 * found.value:.0f} %"
    return f"{100 * found.value:.0f} % [{100 * found.low:.0f}, {100 * found.high:.0f}]"


def _rows(window: TrustWindow, quality: Quality, trust: TrustReport) -> Iterator[tuple[str, str, str]]:
    prior = quality.against_prior
    beside = f"class prior {_number(prior.prior_log_loss)}: {_against(prior.log_loss)}"
    if trust.shipped is not None:
        beside += f"; shipped with {_number(trust.shipped.log_loss)}"
    yield "  log loss, nats", estimate(quality.log_loss), beside
    yield "  accuracy", percent(quality.accuracy), f"class prior {percent(prior.prior_accuracy)}"
    by_chance = quality.calibration_error_by_chance, quality.calibration_error_by_chance_95
    beside = f"a perfect panel {by_chance[0]:.3f}, at most {by_chance[1]:.3f}"
    yield "  calibration error", estimate(quality.calibration_error), beside
    if (longer := window.longer_wins) is not None:
        yield "  longer answer wins", percent(longer.judges), f"by people {percent(longer.people)}"
    if (length := window.length) is not None:
        beside = f"by people {estimate(length.people)}: log-odds that a doubling is worth"
        yield "  length slope", estimate(length.judges), beside
    if window.ties is not None:
        yield "  ties", percent(window.ties.judges), f"by people {percent(window.ties.people)}"


def _answer_rows(trust: TrustReport) -> Iterator[tuple[str, str, str]]:
    """Of all battles of the longest window, voted on or not; nothing of what is not known."""
    answers = max(reversed(trust.answers), key=lambda one: one.battles, default=None)
    if answers is None or not answers.battles:
        return
    yield f"all of the {WINDOWS.get(answers.window, answers.window)}", counted(answers.battles, "battle"), ""
    if answers.flipped is not None and answers.position_gap is not None:
        beside = f"of verdicts; both orders lie {answers.position_gap:.3f} apart"
        yield "  the order decides", _share(answers.flipped), beside
    if answers.disagree is not None and answers.disagreement is not None:
        beside = f"of battles; {answers.disagreement:.3f} bits in the mean"
        yield "  judges differ widely", _share(answers.disagree), beside
    if answers.truncated is not None:
        yield "  not read in full", _share(answers.truncated), "of battles, by a judge"


def _share(value: float) -> str:
    return percent(Estimate(value=value, low=None, high=None))


def warnings(trust: TrustReport) -> list[str]:
    """What a person should know; what holds for the day as for the week is said of the week."""
    return [one for one in trust.warnings if one.replace(*_SHORTER_LONGER) not in set(trust.warnings) - {one}]


def _number(found: Estimate) -> str:
    return "unknown" if found.value is None else f"{found.value:.3f}"


def _against(difference: Estimate) -> str:
    """How the judges' log loss stands to another."""
    if difference.value is None:
        return "can't be compared"
    if not difference.excludes_zero:
        return "no difference to be told"
    return f"{'better' if difference.value < 0 else 'worse'} by {abs(difference.value):.3f}"
