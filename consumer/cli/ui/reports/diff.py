"""Shows how two sets of answers differ, in the terminal.

Names of judges, languages and battles stand in messages that anybody may have written: what a terminal could obey is
escaped.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from prefstream.consumer.words import escaped
from prefstream.scoring.comparison.results import AnswersDiff, Change, ReplayFound, VotedComparison
from prefstream.scoring.comparison.words import conclusions, joined_in_words, place_in_words
from prefstream.scoring.evaluation.bootstrap import Estimate

SHOWN_BATTLES: Final = 5
"""Changed battles in a terminal; the files have all that were asked for."""

_OUTCOMES: Final = ("A", "B", "tie")


def lines(diff: AnswersDiff) -> Iterator[str]:
    """What is best said in a line each.

    Args:
        diff: what was found.
    """
    yield f"{joined_in_words(diff.join)}."
    yield from (verdict.text for verdict in conclusions(diff))
    yield from map(escaped, diff.notes)


def change_table(diff: AnswersDiff) -> Table:
    """How far both sides are apart: over all battles, by judge, and by what the answers hold of their battles.

    Args:
        diff: what was found.
    """
    table = _table(
        f"{diff.left.name} to {diff.right.name}",
        f"95 % intervals by {diff.resamples:,} resamples, seed {diff.seed}",
    )
    table.add_column("", overflow="fold", min_width=16)
    for name in ("battles", "changed", "mean abs. diff.", "JSD, bits"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(*_cells("panel", diff.change, intervals=True), end_section=True)
    for one in diff.judges:
        table.add_row(*_cells(f"judge {one.name}", one.change, intervals=True))
    for dimension, group in itertools.groupby(diff.slices, key=lambda one: one.dimension):
        table.add_section()
        table.add_row(Text(f"by {dimension}", style="bold"))
        for part in group:
            table.add_row(*_cells(part.value, part.change, intervals=False))
    return table


def shift_table(diff: AnswersDiff) -> Table:
    """How much more probable each outcome is on the right.

    Args:
        diff: what was found.
    """
    table = _table("mean shift, right minus left", None)
    table.add_column("", overflow="fold", min_width=10)
    for name in _OUTCOMES:
        table.add_column(name, justify="right", no_wrap=True)
    for name, change in (("panel", diff.change), *((f"judge {one.name}", one.change) for one in diff.judges)):
        table.add_row(
            Text(escaped(name)), *map(_signed, (change.shift.model_a, change.shift.model_b, change.shift.tie))
        )
    return table


def verdict_table(diff: AnswersDiff) -> Table:
    """How many battles went from which verdict to which.

    Args:
        diff: what was found.
    """
    table = _table("verdicts, left by right", None)
    table.add_column("")
    for name in _OUTCOMES:
        table.add_column(name, justify="right")
    for place, (name, row) in enumerate(zip(_OUTCOMES, diff.change.verdicts, strict=True)):
        styled = (Text(f"{count:,}", style="dim" if column == place else "") for column, count in enumerate(row))
        table.add_row(name, *styled)
    return table


def voted_table(voted: VotedComparison, left: str, right: str) -> Table:
    """Both sides by what people said.

    Args:
        voted: what votes say.
        left: name of the left side.
        right: of the right one.
    """
    table = _table(f"by {voted.votes:,} votes on {voted.battles:,} battles", None)
    table.add_column("", overflow="fold", min_width=10)
    for name in ("log loss", "accuracy"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_row(Text(left), _plain(voted.left_log_loss), _plain(voted.left_accuracy))
    table.add_row(Text(right), _plain(voted.right_log_loss), _plain(voted.right_accuracy), end_section=True)
    compared = voted.comparison
    table.add_row("right minus left", _signed(compared.log_loss), _signed(compared.accuracy))
    return table


def changed_table(diff: AnswersDiff) -> Table:
    """The battles that changed most.

    Args:
        diff: with such battles.
    """
    shown = diff.most_changed[:SHOWN_BATTLES]
    more = len(diff.most_changed) - len(shown)
    table = _table("changed most", f"and {more:,} more with --json or --html" if more else None)
    table.add_column("battle", overflow="fold", min_width=8)
    table.add_column("where it stands", overflow="fold", min_width=8)
    for name in ("left A / B / tie", "right", "JSD, bits"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in shown:
        triples = (
            " / ".join(f"{number:.2f}" for number in (said.model_a, said.model_b, said.tie))
            for said in (one.left, one.right)
        )
        place = place_in_words(one.left_source or one.right_source)
        table.add_row(*map(Text, (escaped(one.id), escaped(place), *triples, f"{one.divergence:.3f}")))
    return table


def replay_table(found: ReplayFound) -> Table:
    """Each judge's answers, then against now.

    Args:
        found: what was found.
    """
    table = _table(f"{found.diff.left.name}, then against now", None)
    table.add_column("", overflow="fold", min_width=10)
    for name in ("answers", "other bits", "mean diff.", "largest", "bound", "given again"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in found.judges:
        bound = f"{one.bound:.0e}" if one.bound else "to the bit"
        verdict = Text("yes", "green") if one.reproduced else Text("no", "red")
        numbers = (f"{one.answers:,}", f"{one.changed:,}", f"{one.mean:.1e}", f"{one.largest:.1e}", bound)
        table.add_row(Text(escaped(one.name)), *numbers, verdict)
    return table


def replay_lines(found: ReplayFound) -> Iterator[str]:
    """Whether it is reproduced, and what may be why not.

    Args:
        found: what was found.
    """
    yield from map(escaped, found.notes)
    asked = f"{found.compared:,} of {found.preferences:,} answers were asked for again"
    yield f"{'Reproduced' if found.reproduced else 'Not reproduced'}: {asked}."


def _cells(name: str, change: Change, *, intervals: bool) -> Iterator[Text]:
    yield Text(escaped(name))
    yield Text(f"{change.battles:,}")
    yield _cell(change.changed, _percent, intervals=intervals)
    yield _cell(change.mean_absolute_difference, lambda number: f"{number:.3f}", intervals=intervals)
    yield _cell(change.divergence, lambda number: f"{number:.4f}", intervals=intervals)


def _cell(found: Estimate, spell: Callable[[float], str], *, intervals: bool) -> Text:
    """The number, and under it its interval."""
    if found.value is None:
        return Text("n/a")
    text = Text(spell(found.value))
    if intervals and found.low is not None and found.high is not None:
        text.append(f"\n{spell(found.low)} to {spell(found.high)}", style="dim")
    return text


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _plain(found: Estimate) -> Text:
    return _cell(found, lambda number: f"{number:.3f}", intervals=True)


def _signed(found: Estimate) -> Text:
    return _cell(found, lambda number: f"{number:+.3f}", intervals=True)


def _table(title: str, caption: str | None) -> Table:
    return Table(title=Text(title), caption=caption, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
