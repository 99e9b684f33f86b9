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
from prefstream.consumer.words import counted, escaped

MOST_REVIEWED = 3
"""Of each reason; JSON, CSV and the API have more."""

_WHY = {"vote": "a person differs", "disagreement": "judges differ", "entropy": "judges unsure"}
"""Reasons to look, in words; the numbers beside them are bits."""

_ROUNDING = 0.01
"""Of a model's votes."""

_WHY_COLUMNS = max(map(len, _WHY.values())) + 1

_TOLD = frozenset({"preferences", "votes"})
"""Counters that the first line has."""

_NOT_RANKED = {
    "unnamed": ("preference that does not name both models", "preferences that do not name both models"),
    "duplicate_battles": ("preference of a battle that had one", "preferences of battles that had one"),
    "replaced_votes": ("vote that its voter changed or sent twice", "votes that their voters changed or sent twice"),
    "too_late": ("vote that came too late", "votes that came too late"),
    "unknown_battles": ("vote for a battle that never came", "votes for battles that never came"),
    "join_full": ("battle that had no room to wait for votes", "battles that had no room to wait for votes"),
    "bad_preferences": ("record that is no preference", "records that are no preferences"),
    "bad_votes": ("record that is no vote", "records that are no votes"),
    "lost_preferences": ("preference deleted unread", "preferences deleted unread"),
    "lost_votes": ("vote deleted unread", "votes deleted unread"),
}
"""Counters in words: of one, and of several."""


def render(report: BoardReport, width: int) -> RenderableType:
    """The board.

    Args:
        report: what it says.
        width: columns of the terminal.
    """
    table = report.strengths
    if not table.models:
        return Group(*_headlines(report.status), Text(), *_lines(_what_next(report)))
    parts: list[RenderableType] = [
        *_headlines(report.status),
        Text(_what(report), "bold"),
        strengths_table(table, width),
    ]
    told = (*without_rating(table.models), *_weighing(table), *table.notes, *_ties(report))
    parts += _lines(told, "dim")
    if table.style:
        parts += [_section("What style is worth by itself"), _style(table)]
    of_all = "" if report.query.language is None else " (all languages)"
    parts += [_section(f"Can the judges be trusted?{of_all}"), trust_table(report.trust)]
    parts += _lines(warnings(report.trust), "yellow")
    if report.review.battles:
        parts += [_section(f"Where a person should look{of_all}"), _review(report.review)]
    return Group(*parts)


def _headlines(status: BoardStatus) -> Iterator[Text]:
    counters = status.counters
    told = [counted(counters.get("preferences", 0), "preference"), counted(counters.get("votes", 0), "vote")]
    if status.since is not None and status.since != status.newest_preference_at:  # files have one time for all
        told.append(f"since {status.since:%Y-%m-%d %H:%M} UTC")
    yield Text(" · ".join(told))
    others = [_not_ranked(name, count) for name, count in counters.items() if name not in _TOLD and count]
    if others:
        yield Text(f"not in the table: {', '.join(others)}", "dim")


def _not_ranked(name: str, count: int) -> str:
    one, several = _NOT_RANKED.get(name, (name.replace("_", " "),) * 2)
    return f"{count:,} {one if count == 1 else several}"


def _weighing(table: StrengthTable) -> Iterator[str]:
    """That votes are not of one weight, without which their column can't be understood."""
    weight = sum(line.votes for line in table.models) / 2  # each vote is of two models
    if table.votes and abs(weight - table.votes) > _ROUNDING * len(table.models):
        yield (
            f"{counted(table.votes, 'vote')} weigh as {weight:,.0f}: one that was asked for weighs the inverse of the "
            "probability with which its battle was chosen for review"
        )


def _what(report: BoardReport) -> str:
    query, table = report.query, report.strengths
    weight = f" (their weight {table.judges_weight:.2f})" if table.judges_weight else ""
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
            lines.append(Text(f"{why:<{_WHY_COLUMNS}}{one.score:5.2f} bits  {models}".rstrip()))
            lines.append(Text(f"  {one.link or escaped(one.id)}", "dim", overflow="fold"))
    return Group(*lines)


def _what_next(report: BoardReport) -> Iterator[str]:
    counters = report.status.counters
    if not counters.get("preferences"):
        yield "No preferences yet. `prefstream run` publishes them; `prefstream score` writes them to a file."
        if counters.get("votes"):
            yield "Votes are there: they count once the preference of their battle comes."
    elif counters.get("unnamed", 0) >= counters["preferences"]:
        yield (
            "Preferences are there, but none says who wrote its answers. Battles need model_a and model_b, and "
            "publish_models must not be off; from files, --votes with these columns gives them."
        )
    else:
        yield "Preferences are there, but none for this language and window."
        if report.query.language is not None and (there := [one.language for one in report.languages.languages]):
            yield f"Languages with a table: {', '.join(map(escaped, there))}."


def _section(title: str) -> RenderableType:
    return Padding(Rule(title, align="left", style="dim"), (1, 0, 0, 0))


def _lines(lines: Iterable[str], style: str = "") -> list[RenderableType]:
    return [Text(line, style) for line in lines]
