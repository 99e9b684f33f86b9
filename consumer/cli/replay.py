"""`prefstream replay`: a file of battles, or of what people said of them, to a topic."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

import typer
from rich.console import Console

from prefstream.consumer.cli.battles_file import BattlesFile
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.signals import stop_on_signals
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import FileProgress
from prefstream.consumer.config import TOPIC_FIELDS, TopicNames
from prefstream.consumer.durations import duration_option
from prefstream.consumer.files.replay import Replay, topic_producer
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.votes.file import check_votes_file
from prefstream.scoring.files.battles import check_battles_file


@with_settings(TopicNames, leave_out=TOPIC_FIELDS)
def replay(
    names: TopicNames,
    file: BattlesFile,
    *,
    votes: Annotated[
        bool,
        typer.Option(
            "--votes",
            help="Send what people said of the battles, not the battles. FILE is a labelled file, the same one whose "
            "battles are sent without --votes, or has id and winner alone.",
        ),
    ] = False,
    topic: Annotated[
        str | None,
        typer.Option(
            show_default="battles_topic of the settings; with --votes votes_topic",
            help="Topic to send to; it must exist.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, show_default="as fast as it goes", help="Rows per second."),
    ] = None,
    delay: Annotated[
        timedelta | None,
        typer.Option(
            parser=duration_option,
            metavar="SPAN",
            show_default=False,
            help="Wait before the first row: 30s, 10m, 2h, 7d. Votes that start along with their battles, at the same "
            "rate, each come so long after its battle; where FILE says when that was, so does the vote.",
        ),
    ] = None,
    keep_malformed: Annotated[
        bool,
        typer.Option(
            "--keep-malformed",
            help="Send rows that are no battle, or no vote, as they are, without a key: they come out as dead letters.",
        ),
    ] = False,
) -> None:
    """Feed a file to a topic: its battles, or with --votes what people said of them.

    Each battle becomes one record, its id the key. Rows that are no battle are named on standard error and left out.
    Sending again sends again: a stream that reads the topic scores both.

    With --votes each row becomes a vote, or several where it counts several. A vote that names no voter gets the row's
    place for one: sent again, it takes its own place, and counts once.

    Exit codes: 0 all rows sent, 1 a record could not be delivered, 2 can't be done as asked, 3 some rows rejected,
    130 interrupted.

    For example:

        prefstream replay battles.csv
        prefstream replay battles.jsonl --topic battles --rate 20 --bootstrap-servers broker-1:9092
        prefstream replay labelled.jsonl --votes --rate 20 --delay 30s
    """
    console = Console(stderr=True)
    configure_logging("warning")
    topic = topic or (names.votes_topic if votes else names.battles_topic)
    (check_votes_file if votes else check_battles_file)(file)
    with (
        client_silenced(),
        topic_producer(names, topic) as producer,
        stop_on_signals("waiting for what was sent; again stops at once") as stop,
        FileProgress(console, file, verb="sending") as progress,
    ):
        feeding = Replay(
            producer=producer,
            topic=topic,
            observer=progress,
            stop=stop,
            rate=rate,
            delay=delay or timedelta(),
            keep_malformed=keep_malformed,
        )
        summary = feeding.votes(file) if votes else feeding.battles(file)
    say(
        console,
        f"{'done' if summary.complete else 'stopped'}: {summary.delivered:,} records delivered to {topic}"
        f"{f', {summary.malformed:,} of them malformed' if summary.malformed else ''}, "
        f"{summary.rejected:,} rows rejected, {summary.seconds:,.1f} s",
    )
    if not summary.complete:
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary.rejected:
        raise typer.Exit(EXIT_REJECTED)
