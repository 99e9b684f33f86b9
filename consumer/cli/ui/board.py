"""Draws the whole board for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from prefstream.consumer.board.report.payloads import BoardReport, BoardStatus, ReviewPage, StrengthTable
from prefstream.consumer.cli.ui.strengths import strengths_table, without_rating
from prefstream.consumer.cli.ui.trust import trust_table, warnings
from prefstream.consumer.cli.ui.words import counted, escaped

MOST_REVIEWED = 3
"""Of each reason; JSON, CSV and the API have more."""

_WHY = {"vote": "a person differs", "disagreement": "judges differ", "entropy": "judges unsure"}
"""Reasons to look, in words; the numbers beside them are bits."""

_WHY_COLUMNS = max(map(len, _WHY.values())) + 1

_TOLD = frozenset({"preferences", "votes"})
"""Counters that the first line has."""


def render(report: BoardReport, width: int) -> RenderableType:
    """The board.

    Args:
        report: what it says.
        width: columns of the terminal.
    """
    table = report.strengths
    if not table.models:
        return Group(*_headlines(report.status), Text(), *_lines(_what_next(report.status)))
    parts: list[RenderableType] = [
        *_headlines(report.status),
        Text(_what(report), "bold"),
        strengths_table(table, width),
    ]
    parts += _lines((*without_rating(table.models), *table.notes, *_ties(report)), "dim")
    if table.style:
        parts += [_section("What style is worth by itself"), _style(table)]
    parts += [_section("Can the judges be trusted?"), trust_table(report.trust)]
    parts += _lines(warnings(report.trust), "yellow")
    if report.review.battles:
        parts += [_section("Where a person should look"), _review(report.review)]
    return Group(*parts)


def _headlines(status: BoardStatus) -> Iterator[Text]:
    counters = status.counters
    told = [counted(counters.get("preferences", 0), "preference"), counted(counters.get("votes", 0), "vote")]
    if status.since is not None and status.since != status.newest_preference_at:  # files have one time for all
        told.append(f"since {status.since:%Y-%m-%d %H:%M} UTC")
    yield Text(" · ".join(told))
    others = [f"{name.replace('_', ' ')} {count:,}" for name, count in counters.items() if name not in _TOLD and count]
    if others:
        yield Text(f"beside them: {', '.join(others)}", "dim")


def _what(report: BoardReport) -> str:
    query, table = report.query, report.strengths
    weight = f" (weight {table.judges_weight:.2f})" if table.judges_weight else ""
    told = [f"Strengths: {table.label}{weight}"]
    if table.style_control:
        told.append("style control on")
    if query.language is not None:
        told.append(f"language {escaped(query.language)}")
    if query.window != "all":
        told.append(f"of the last {query.window}")
    return "; ".join(told)


def _ties(report: BoardReport) -> Iterator[str]:
    """What Davidson's model says of ties: nothing where nobody calls any."""
    found = report.ties
    if not found.ties_among_equals or found.log_loss is None or found.log_loss_with_ties_apart is None:
        return
    fits = "better" if found.log_loss < found.log_loss_with_ties_apart else "no better"
    yield (
        f"by Davidson's model people call {100 * found.ties_among_equals:.0f} % of the battles of equal models a tie; "
        f"it fits these votes {fits} (log loss {found.log_loss:.4f}) than ties that have nothing to do with strength "
        f"({found.log_loss_with_ties_apart:.4f})"
    )


def _style(table: StrengthTable) -> Table:
    drawn = Table.grid(padding=(0, 2, 0, 0))
    for one in table.style:
        known = one.lower is not None and one.upper is not None
        interval = f"[{one.lower:+.2f}, {one.upper:+.2f}]" if known else "no interval"
        drawn.add_row(Text(one.name), Text(f"{one.coefficient:+.2f}", "bold"), Text(interval, "dim"))
    return drawn


def _review(page: ReviewPage) -> RenderableType:
    """Two lines a battle: why, how much and whose answers; and where it is, whole, so that it can be copied."""
    lines: list[RenderableType] = []
    shown: Counter[str] = Counter()
    for one in page.battles:
        shown[one.why] += 1
        if shown[one.why] <= MOST_REVIEWED:
            why = _WHY.get(one.why, escaped(one.why))
            models = " – ".join(escaped(name) for name in (one.model_a, one.model_b) if name is not None)
            lines.append(Text.assemble(f"{why:<{_WHY_COLUMNS}}{one.score:5.2f}  ", models))
            lines.append(Text(f"  {one.link or escaped(one.id)}", "dim", overflow="fold"))
    return Group(*lines)


def _what_next(status: BoardStatus) -> Iterator[str]:
    counters = status.counters
    if not counters.get("preferences"):
        yield "No preferences yet. `prefstream run` publishes them; `prefstream score` writes them to a file."
        if counters.get("votes"):
            yield "Votes are there: they count once the preference of their battle comes."
    elif counters.get("unnamed"):
        yield (
            "Preferences are there, but none says who wrote its answers. Battles need model_a and model_b, and "
            "publish_models must not be off; from files, --votes with these columns gives them."
        )
    else:
        yield "Preferences are there, but none for this language and window."


def _section(title: str) -> RenderableType:
    return Padding(Rule(title, align="left", style="dim"), (1, 0, 0, 0))


def _lines(lines: Iterable[str], style: str = "") -> list[RenderableType]:
    return [Text(line, style) for line in lines]
