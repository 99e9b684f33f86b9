"""`prefstream replay`: a file of battles to a topic."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from prefstream.consumer.cli.battles_file import BattlesFile
from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.panels import say
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.signals import stop_on_signals
from prefstream.consumer.cli.ui.progress import FileProgress
from prefstream.consumer.config import TOPIC_FIELDS, TopicNames
from prefstream.consumer.files.replay import replay_file, topic_producer
from prefstream.consumer.observe.logs import configure_logging
from prefstream.scoring.files.battles import check_battles_file


@with_settings(TopicNames, leave_out=TOPIC_FIELDS)
def replay(
    names: TopicNames,
    file: BattlesFile,
    *,
    topic: Annotated[
        str | None,
        typer.Option(
            envvar="PREFSTREAM_BATTLES_TOPIC",
            show_default="battles_topic of the settings",
            help="Topic to send to; it must exist.",
        ),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, show_default="as fast as it goes", help="Battles per second."),
    ] = None,
    keep_malformed: Annotated[
        bool,
        typer.Option(
            "--keep-malformed",
            help="Send rows that are no battle as they are, without a key: they come out as dead letters.",
        ),
    ] = False,
) -> None:
    """Feed a file of battles to a topic.

    Each battle becomes one record, its id the key. Rows that are no battle are named on standard error and left out.
    Sending again sends again: a stream that reads the topic scores both.

    Exit codes: 0 all rows sent, 1 a record could not be delivered, 2 can't be done as asked, 3 some rows rejected,
    130 interrupted.

    For example:

        prefstream replay battles.csv
        prefstream replay battles.jsonl --topic battles --rate 20 --bootstrap-servers broker-1:9092
    """
    console = Console(stderr=True)
    configure_logging("warning")
    topic = topic or names.battles_topic
    check_battles_file(file)
    with (
        client_silenced(),
        topic_producer(names, topic) as producer,
        stop_on_signals("waiting for what was sent; again stops at once") as stop,
        FileProgress(console, file, verb="sending") as progress,
    ):
        summary = replay_file(
            file, producer, topic, observer=progress, stop=stop, rate=rate, keep_malformed=keep_malformed
        )
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
