"""`prefstream dead-letters`: look at what could not be scored, and send it back."""

from __future__ import annotations

import difflib
import heapq
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import Progress

from prefstream.consumer.cli.exit_codes import EXIT_REJECTED
from prefstream.consumer.cli.notes import refuse_unused
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.strict_command import StrictCommand
from prefstream.consumer.cli.ui.dead_letters import (
    iso_time,
    list_console,
    print_counts,
    print_plan,
    print_whole,
    render_list,
)
from prefstream.consumer.config import TOPIC_FIELDS, TopicNames
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.dead_letters.plan import Choice, RetryPlan
from prefstream.consumer.dead_letters.reader import (
    UNKNOWN_REASON,
    DeadLetter,
    RecordPosition,
    read_dead_letters,
    read_positions,
    refuse_missing,
)
from prefstream.consumer.dead_letters.retry import DEFAULT_GROUP, make_plan, resubmit
from prefstream.consumer.durations import duration
from prefstream.consumer.errors import UsageError
from prefstream.consumer.observe.logs import configure_logging
from prefstream.schemas import Reason

NEWEST_SHOWN: Final = 50
"""Rows of a table that a person reads; `--json` lists all."""

dead_letters = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="Look at what could not be scored, and send it back once its cause is mended.",
)

Topic = Annotated[
    str | None,
    typer.Option(
        envvar="PREFSTREAM_DEAD_LETTERS_TOPIC",
        show_default="dead_letters_topic of the settings",
        help="Topic of the dead letters; those of votes are on votes.dead-letters.",
    ),
]
Reasons = Annotated[
    list[str] | None,
    typer.Option(
        "--reason",
        show_default=False,
        help=f"Only those with this reason; may be given several times. One of {', '.join(Reason)}, {UNKNOWN_REASON}.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        metavar="TIME|AGE",
        show_default=False,
        help="Only those written since then: 2026-11-22T17:00 (UTC unless it says otherwise), or 30m, 2h, 7d ago.",
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", envvar="PREFSTREAM_DEAD_LETTERS_LIST_JSON", help="Print JSON, one object a line.")
]


@dead_letters.command("list", cls=StrictCommand)
@with_settings(TopicNames, leave_out=TOPIC_FIELDS)
@client_silenced()
def list_(
    names: TopicNames,
    *,
    topic: Topic = None,
    reason: Reasons = None,
    since: Since = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=False,
            help=f"Show the newest so many. [default: {NEWEST_SHOWN}; with --json all]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List dead letters, and count them by reason. Reads without a group and commits nothing.

    Example: `prefstream dead-letters list --since 2h --reason not_json`
    """
    configure_logging("warning", "console", library_level="error")
    topic = _dead_letters_topic(names, topic)
    counts: Counter[str] = Counter()
    chosen = _counted(
        read_dead_letters(names, topic, since=_parse_since(since)), frozenset(_check_reasons(reason)), counts
    )
    if as_json:
        for letter in chosen if limit is None else _newest(chosen, limit):
            typer.echo(json.dumps(_as_json(letter)))
        return
    console = list_console()
    newest = _newest(chosen, limit or NEWEST_SHOWN)
    if newest:
        console.print(render_list(newest, topic, expand=console.is_terminal))
    print_counts(console, counts, shown=len(newest))


@dead_letters.command(cls=StrictCommand)
@with_settings(TopicNames, leave_out=TOPIC_FIELDS)
@client_silenced()
def show(
    names: TopicNames,
    context: typer.Context,
    position: Annotated[
        str, typer.Argument(metavar="POSITION", help="PARTITION/OFFSET, as list prints it, or TOPIC/PARTITION/OFFSET.")
    ],
    *,
    topic: Topic = None,
    raw: Annotated[bool, typer.Option("--raw", help="Write the value's bytes to stdout, nothing else.")] = False,
) -> None:
    """Show one dead letter whole: headers, key and value. The value is what a user sent.

    Control characters are shown as escapes, so that no value can play tricks on the terminal.

    Example: `prefstream dead-letters show 0/42`
    """
    configure_logging("warning", "console", library_level="error")
    topic, wanted = _parse_positions([position], names, topic, context)
    letter = next(read_positions(names, topic, wanted, on_missing=refuse_missing))
    if raw:
        sys.stdout.buffer.write(letter.value or b"")
        sys.stdout.buffer.flush()
        return
    print_whole(Console(soft_wrap=True), letter)


@dead_letters.command(cls=StrictCommand)
@with_settings(TopicNames, leave_out=TOPIC_FIELDS)
@client_silenced()
def retry(
    names: TopicNames,
    context: typer.Context,
    positions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[POSITION]...", show_default=False, help="These, as list prints them, although sent before."
        ),
    ] = None,
    *,
    topic: Topic = None,
    everything: Annotated[
        bool, typer.Option("--all", envvar="PREFSTREAM_DEAD_LETTERS_RETRY_ALL", help="All that were never sent back.")
    ] = False,
    reason: Reasons = None,
    since: Since = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, show_default=False, help="At most so many, the oldest first."),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(show_default=False, help="Send to this topic, not to where each one came from."),
    ] = None,
    max_retries: Annotated[
        int,
        typer.Option(
            min=1,
            help="Leave out dead letters whose record was sent back so often before, and failed again. POSITIONs are "
            "sent however often they were.",
        ),
    ] = 1,
    group: Annotated[str, typer.Option(help="Consumer group that remembers which were sent back.")] = DEFAULT_GROUP,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, send nothing.")] = False,
) -> None:
    """Send dead letters back to the topic they came from: those at POSITIONs, those of a reason or time, or --all.

    Key, value and headers are as they first came, with a header `prefstream.retries` that counts up. What was sent is
    remembered in the same transaction, so running the same again sends nothing twice; only a POSITION is sent whenever
    it is asked for. What fails again becomes a new dead letter, which is left out until --max-retries allows another
    round. Of several dead letters of one record (each consumer group that can't score it writes one) one is
    sent: every group that reads the topic gets it again. A dead letter whose value was too large to copy can't be sent
    back: exit code 3.

    Example: `prefstream dead-letters retry --reason too_large_for_judge --since 1d`
    """
    configure_logging("warning", "console", library_level="error")
    if bool(positions) == bool(everything or reason or since):
        raise UsageError("choose either positions, or --all, --reason or --since")
    topic, wanted = _parse_positions(positions or [], names, topic, context)
    choice = Choice(tuple(wanted), frozenset(_check_reasons(reason)), _parse_since(since), limit, max_retries)
    console = Console()
    plan = make_plan(names, topic, group, choice, to, dry_run=dry_run)
    print_plan(console, plan)
    if dry_run:
        console.print("Nothing was sent (--dry-run).")
    elif plan.entries and not (yes or _agreed(f"Send {_count(len(plan.entries))} back?")):
        console.print("Nothing was sent.")  # as was wished: no fault
    elif plan.entries:
        sent = _resubmit(names, topic, group, plan)
        console.print(f"Sent back: {sent}. The group {group} remembers which.", highlight=False)
    if plan.refusals:
        raise typer.Exit(EXIT_REJECTED)


def _agreed(question: str) -> bool:
    """Ask whoever sits there."""
    try:
        return typer.confirm(question)
    except typer.Abort as abort:
        if isinstance(abort.__context__, EOFError):
            raise UsageError("nobody is there to be asked; give --yes to send without asking") from None
        raise


def _resubmit(connection: KafkaConnection, topic: str, group: str, plan: RetryPlan) -> int:
    done = 0
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("sending", total=len(plan.entries))

        def advance(count: int) -> None:
            nonlocal done
            done += count
            progress.advance(task, count)

        try:
            return resubmit(connection, topic, group, plan, on_sent=advance)
        except KeyboardInterrupt:
            progress.console.print(f"Interrupted. Sent back: {done}, whole and remembered; nothing of the rest.")
            raise


def _counted(letters: Iterable[DeadLetter], reasons: frozenset[str], counts: Counter[str]) -> Iterator[DeadLetter]:
    for letter in letters:
        if not reasons or letter.reason in reasons:
            counts[letter.reason] += 1
            yield letter


def _newest(letters: Iterable[DeadLetter], limit: int) -> list[DeadLetter]:
    """The newest so many, oldest first; holds no more than those in memory."""
    return heapq.nlargest(limit, letters, key=lambda letter: (letter.timestamp_ms, letter.position))[::-1]


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    """Everything but headers and value; keys that are no UTF-8 have escapes."""
    return {
        "position": str(letter.position),
        "time": iso_time(letter),
        "reason": letter.reason,
        "message": letter.message,
        "origin": str(letter.origin) if letter.origin else None,
        "group": letter.group,
        "key": None if letter.key is None else letter.key.decode(errors="backslashreplace"),
        "size": letter.size,
        "left_out": letter.value_omitted,
        "retries": letter.retries,
    }


def _parse_positions(
    texts: Iterable[str], names: TopicNames, topic: str | None, context: typer.Context
) -> tuple[str, list[RecordPosition]]:
    """The topic of dead letters that positions name, or the one given, and the positions on it."""
    named = {text.split("/")[0] for text in texts if text.count("/") == 2}
    if len(named) > 1:
        raise UsageError(f"positions on several topics ({', '.join(sorted(named))}); take one topic at a time")
    if named and named != {topic or names.dead_letters_topic}:
        refuse_unused(context, ["topic"], f"on positions that name the topic {', '.join(named)}")
    topic = _dead_letters_topic(names, named.pop() if named else topic)
    return topic, [RecordPosition.parse(text, topic) for text in texts]


def _dead_letters_topic(names: TopicNames, topic: str | None) -> str:
    """The topic that is meant; every record of one that holds something else would be taken for a dead letter."""
    others = {
        names.battles_topic: ("battles", names.dead_letters_topic),
        names.preferences_topic: ("preferences", names.dead_letters_topic),
        names.votes_topic: ("votes", names.votes_dead_letters_topic),
        names.review_topic: ("what is for review", names.dead_letters_topic),
        names.shadow_topic: ("a shadow's preferences", names.dead_letters_topic),
    }
    if topic is not None and topic in others:
        what, where = others[topic]
        raise UsageError(f"{topic} is the topic of {what}; dead letters are on {where}")
    return topic or names.dead_letters_topic


def _check_reasons(reasons: Iterable[str] | None) -> list[str]:
    known = [*Reason, UNKNOWN_REASON]
    for reason in reasons or ():
        if reason not in known:
            nearest = difflib.get_close_matches(reason, known, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(known)}"
            raise UsageError(f"{reason!r} is no reason; {hint}")
    return list(reasons or ())


def _parse_since(text: str | None) -> datetime | None:
    if text is None:
        return None
    if (age := duration(text)) is not None:
        return datetime.now(UTC) - age
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time; write 2026-11-22T17:00, or an age such as 30m, 2h or 7d") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _count(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"
