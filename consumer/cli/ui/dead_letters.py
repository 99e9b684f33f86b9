"""Dead letters on a terminal: the table of a list, one whole, what a retry would send.

All of it may have been written by anybody: what a terminal could obey is shown as escapes.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from prefstream.consumer.cli.ui.lines import print_table
from prefstream.consumer.dead_letters.plan import RetryPlan
from prefstream.consumer.dead_letters.reader import DeadLetter
from prefstream.consumer.words import escaped
from prefstream.schemas.dead_letter import HEADER_ORIGINAL_TIMESTAMP

REFUSALS_SHOWN: Final = 20
"""Refused dead letters that are named one by one; they are alike, and counted beyond that."""

_PIPE_COLUMNS: Final = 4_000
"""Wider than any message; lines are as long as what they hold."""

_KEY_CHARS: Final = 36
"""A UUID is shown whole."""


def list_console() -> Console:
    """As wide as the terminal; in a pipe, where no terminal folds anything, as wide as the text needs."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _PIPE_COLUMNS
    return console


def render_list(letters: Iterable[DeadLetter], topic: str, *, expand: bool) -> Table:
    """A table with two to four lines for each.

    Args:
        letters: what it lists.
        topic: where they stand.
        expand: make it as wide as the console.
    """
    table = Table(title=f"Dead letters on {topic}", box=None, padding=(0, 1, 1, 0), expand=expand, title_justify="left")
    table.add_column("position", no_wrap=True)
    table.add_column("time (UTC)", width=10)
    table.add_column("reason", ratio=1, overflow="fold")
    table.add_column("came from, key, group", ratio=1, overflow="fold")
    table.add_column("size", justify="right", min_width=8)
    for letter in letters:
        reason = Text(escaped(letter.reason), "bold")
        reason.append(f"\n{escaped(letter.message.removeprefix(letter.reason + ': '))}", "not bold")
        if letter.retries:
            reason.append(f"\nsent back before: {letter.retries}", "not bold yellow")
        origin = escaped(str(letter.origin or "unknown"))
        table.add_row(
            f"{letter.position.partition}/{letter.position.offset}",
            f"{letter.time:%Y-%m-%d %H:%M:%S}",
            reason,
            Text(f"{origin}\n").append(_shorten(_bytes(letter.key), _KEY_CHARS), "dim").append(_group(letter)),
            Text(_size(letter.size)).append("\nleft out" if letter.value_omitted else "", "yellow"),
        )
    return table


def print_counts(console: Console, counts: Counter[str], *, shown: int) -> None:
    """Say how many there are of each reason, and how many of them were shown."""
    if not counts:
        console.print("No dead letters.")
        return
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for reason, count in counts.most_common():
        table.add_row(str(count), Text(escaped(reason)))
    table.add_row(str(counts.total()), "in all" if counts.total() == shown else f"in all, the newest {shown} shown")
    print_table(console, table)


def print_plan(console: Console, plan: RetryPlan) -> None:
    """Say what a retry would send, what it leaves out, and what it can't send."""
    if plan.entries:
        print_table(console, _plan_table(plan))
    else:
        console.print("Nothing to send back.")
    if plan.sent_before:
        console.print(f"Left out because they were sent back before: {plan.sent_before}.", highlight=False)
    if plan.left_out:
        console.print(
            "Left out because another dead letter of the same record is sent back, or was: "
            f"{plan.left_out}. Each consumer group that can't score a record writes one.",
            highlight=False,
        )
    if plan.spent:
        console.print(
            f"Left out because they failed again after being sent back: {plan.spent}. A higher --max-retries sends "
            "them once more.",
            highlight=False,
        )
    for refusal in plan.refusals[:REFUSALS_SHOWN]:
        console.print(Text(f"{refusal.position} ({escaped(refusal.reason)}): {refusal.why}", "yellow"))
    if len(plan.refusals) > REFUSALS_SHOWN:
        console.print(f"... and {len(plan.refusals) - REFUSALS_SHOWN} more that can't be sent back", style="yellow")


def print_whole(console: Console, letter: DeadLetter) -> None:
    """Print one with its headers, key and value."""
    console.print(Text(str(letter.position), "bold"), Text(f"written {iso_time(letter)}", "dim"))
    for name, value in letter.headers:
        line = Text(f"{escaped(name)}: ", "cyan").append(_bytes(value, keep="\n"), "default")
        if name == HEADER_ORIGINAL_TIMESTAMP and (time := _time_of(value or b"")):
            line.append(f" ({time})", "dim")
        console.print(line)
    console.print(Text("key: ", "cyan").append(_bytes(letter.key), "default"))
    if letter.value_omitted:
        console.print(Text(f"value: left out, it had {letter.size} bytes", "yellow"))
    else:
        console.print(Text("value:", "cyan"))
        console.print(Text(_bytes(letter.value, keep="\n\t")))


def iso_time(letter: DeadLetter) -> str:
    """When it was written, to the millisecond."""
    return _iso(letter.time)


def _time_of(value: bytes) -> str | None:
    """Milliseconds since the epoch as a date; None where they are none that a calendar has."""
    try:
        return _iso(datetime.fromtimestamp(int(value) / 1000, UTC))
    except (ValueError, OverflowError, OSError):
        return None


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _plan_table(plan: RetryPlan) -> Table:
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    again: Counter[tuple[str, str]] = Counter()
    for entry in plan.entries:
        again[entry.destination, entry.reason] += entry.retries > 0
        counts[entry.destination, entry.reason] += 1
        sizes[entry.destination, entry.reason] += entry.size
    table = Table(title="To be sent back", box=None, padding=(0, 2, 0, 0), title_justify="left")
    table.add_column("to topic", overflow="fold")
    table.add_column("reason", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("size", justify="right")
    if again.total():
        table.add_column("sent back before", justify="right")
    for (destination, reason), count in sorted(counts.items()):
        size = _size(sizes[destination, reason])
        before = [str(again[destination, reason])] if again.total() else []
        table.add_row(Text(escaped(destination)), Text(escaped(reason)), str(count), size, *before)
    return table


def _group(letter: DeadLetter) -> str:
    return f"\n{escaped(letter.group)}" if letter.group else ""


def _bytes(value: bytes | None, keep: str = "") -> str:
    return "(none)" if value is None else escaped(value.decode(errors="backslashreplace"), keep)


def _shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _size(count: int) -> str:
    if count < 1_000:
        return f"{count} B"
    return f"{count / 1_000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
