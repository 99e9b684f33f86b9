"""Shows what an evaluation found, in the terminal: systems, verdicts, the table of bias, injections."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from rich import box
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.ui.trust import estimate
from prefstream.consumer.words import counted
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.report.report import BIAS_TITLES, calibration_in_words, verdicts
from prefstream.scoring.evaluation.results import BiasRow, Evaluation, SliceResult, SystemResult


def systems_table(evaluation: Evaluation) -> Table:
    """The panel, its judges and what they are held against, each with its metrics.

    Args:
        evaluation: what was found.
    """
    table = _table(
        f"{counted(evaluation.battles, 'battle')} on {counted(evaluation.prompts, 'prompt')}",
        f"95 % intervals by {evaluation.resamples:,} resamples of the prompts, seed {evaluation.seed}",
    )
    table.add_column("", overflow="fold", min_width=11)
    for name in ("log loss", "accuracy", "Brier", "ECE", "winner found"):
        table.add_column(name, justify="right", no_wrap=True)
    for system in evaluation.systems:
        figures = (system.log_loss, system.accuracy, system.brier, system.calibration_error, system.decided_accuracy)
        table.add_row(Text(system.name), *map(_cell, figures), end_section=system.kind == "panel")
    return table


def sentences(evaluation: Evaluation) -> Iterator[str]:
    """What is best said in a line each.

    Args:
        evaluation: what was found.
    """
    for verdict in verdicts(evaluation):
        yield verdict.text
    references = {system.name for system in evaluation.systems if system.kind == "reference"}
    for one in evaluation.panel.comparisons:
        if one.baseline in references and one.decided_accuracy is not None:
            gaps = {"log loss": one.log_loss, "accuracy": one.accuracy, "winner found": one.decided_accuracy}
            listed = ", ".join(f"{name} {_signed(gap)}" for name, gap in gaps.items())
            yield f"Panel minus {one.baseline}, battle by battle: {listed}."
    parts: dict[str, SystemResult | SliceResult] = {"": evaluation.panel}
    parts |= {f"on {cut.value} ": cut for cut in evaluation.slices if cut.dimension == "tier"}
    for where, found in parts.items():
        if (told := calibration_in_words(found)) is not None:
            yield f"Calibration error {where}{told}."
    if (agree := evaluation.people_agree) is not None:
        battles = counted(agree.battles, "battle")
        yield f"Two people say the same in {_inline(agree.share)} of the {battles} with several votes."
    for bias in evaluation.position[1:]:
        if bias.flip_rate is not None and not bias.by_construction:
            yield f"{bias.name}: with A and B exchanged, {_inline(bias.flip_rate)} of answers flip"
    length = evaluation.length[0]
    if length.battles:
        yield (
            f"The longer answer wins {_inline(length.human)} of decided battles; "
            f"the panel says {_inline(length.predicted_mass)}."
        )


def bias_table(evaluation: Evaluation) -> Table:
    """What judges are biased by, part by part.

    Args:
        evaluation: with a table of bias.
    """
    compared = any(row.reference is not None for row in evaluation.bias)
    table = _table(
        "What judges are biased by, beside people",
        "wins: mean of P(that answer) / (P(A) + P(B)) over battles with a winner, beside how often people preferred it",
    )
    table.add_column("", overflow="fold", min_width=12)
    table.add_column("judge", overflow="fold", min_width=6)
    for name in ("battles", "judged", "people", "difference", *(["reference"] if compared else [])):
        # In a narrow terminal an interval goes under its number; cut off it would be another one.
        table.add_column(name, justify="right", no_wrap=name not in {"judged", "difference"})
    for bias, rows in itertools.groupby(evaluation.bias, key=lambda row: row.bias):
        table.add_section()
        table.add_row(Text(BIAS_TITLES[bias], style="bold"))
        for row in rows:
            table.add_row(*map(Text, _bias_cells(row, compared=compared)))
    return table


def _bias_cells(row: BiasRow, *, compared: bool) -> tuple[str, ...]:
    measure = row.measure if row.group == "all" else f"{row.measure}, {row.group}"
    figures = (
        "" if row.judged is None else estimate(row.judged) if row.battles else "n/a",
        "" if row.people is None else _number(row.people),
        "" if row.excess is None else _signed(row.excess),
        *([] if not compared else ["" if row.reference is None else _number(row.reference)]),
    )
    return (f"{measure}: {row.note}" if row.note else measure, row.judge, f"{row.battles:,}", *figures)


def injections_table(evaluation: Evaluation) -> Table:
    """What an answer gains by each text, on the mean of both sides.

    Args:
        evaluation: in which that was measured.
    """
    table = _table(
        "What an answer gains by a text that speaks to its judge",
        "gain: mean change of the probability that this answer wins; flips: how often the verdict changes",
    )
    for name in ("", "text"):
        table.add_column(name, overflow="fold", min_width=7)
    for name in ("gain", "over harmless", "flips", "to its side"):
        table.add_column(name, justify="right", no_wrap=True)
    effects = [effect for effect in evaluation.injections if effect.side == "both"]
    for effect, following in itertools.zip_longest(effects, effects[1:]):
        figures = (effect.gain, effect.gain_over_harmless, effect.flipped, effect.flipped_to_side)
        last = following is None or following.judge != effect.judge
        table.add_row(Text(effect.judge), effect.injection, *map(_cell, figures), end_section=last)
    return table


def _table(title: str, caption: str) -> Table:
    return Table(title=title, caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _cell(found: Estimate) -> str:
    """The number, and under it its interval."""
    return "n/a" if found.value is None else f"{found.value:.3f}\n{_interval(found)}"


def _inline(found: Estimate) -> str:
    """The number, and behind it its interval."""
    return "n/a" if found.value is None else f"{found.value:.3f} ({_interval(found)})"


def _interval(found: Estimate) -> str:
    known = found.low is not None and found.high is not None
    return f"{found.low:.3f}–{found.high:.3f}" if known else "no interval"


def _signed(found: Estimate) -> str:
    """A difference with its interval, such as -0.018 [-0.031, -0.004]."""
    if found.value is None:
        return "n/a"
    known = found.low is not None and found.high is not None
    return f"{found.value:+.3f}" + (f" [{found.low:+.3f}, {found.high:+.3f}]" if known else "")


def _number(found: Estimate) -> str:
    return "n/a" if found.value is None else f"{found.value:.3f}"
