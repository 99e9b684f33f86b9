"""`prefstream audit`: whether every record of a range has exactly one answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from prefstream.consumer.audit.audit import audit_range
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_REJECTED
from prefstream.consumer.cli.notes import refuse_unused
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.outputs import ForceOption, check_outputs, write_output
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import RecordProgress
from prefstream.consumer.cli.ui.ranges.audit import print_audit
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.rescore.span import SPAN_METAVAR, TopicSpan
from prefstream.scoring.extras import explained

_TAKEN: Final = frozenset(
    name
    for name in StreamConfig.model_fields
    if name in KafkaConnection.model_fields
    or name
    in {
        *("group_id", "preferences_topic", "dead_letters_topic", "battles_framing", "max_unpacked_bytes"),
        *("shadow", "shadow_topic", "share"),
    }
)
"""Settings of the service that mean here what they mean there."""

_CODES: Final = {"kept": 0, "broken": EXIT_FAULT, "untold": EXIT_REJECTED}


@with_settings(StreamConfig, leave_out=frozenset(StreamConfig.model_fields) - _TAKEN)
def audit(
    config: StreamConfig,
    context: typer.Context,
    span: Annotated[
        str,
        typer.Argument(
            metavar=SPAN_METAVAR,
            show_default=False,
            help="Which records of the battles' topic: from FROM on, up to TO without it. Each is earliest, latest, a "
            "time with its zone, an offset of a topic with one partition, or offsets by partition, 0:1500,1:1480.",
        ),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", envvar="PREFSTREAM_AUDIT_JSON", help="Print what was found as one JSON object.")
    ] = False,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", show_default=False, help="Write a page that needs nothing beside it."),
    ] = None,
    force: ForceOption = False,
) -> None:
    """Say whether every record of a range has exactly one answer, who gave them, and what was left out.

    Reads the range, and all preferences and dead letters that may answer it, as any reader of committed records does,
    and holds them against each other: records without an answer, with several, or with a preference and a dead letter;
    answers to what is not there, or to another battle; headers that contradict their value. Told apart from what is
    lost: records behind the group's committed offsets, which are not due, and those whose answer retention may have
    deleted. Joins no group and writes to no topic.

    With --shadow, and the --share of its run, the answers are a shadow's. It writes no dead letters and may skip, so
    what its share chose and has no answer can't be told from what is lost; what it did not choose needs none.

    Exit codes: 0 the promise is kept, 1 it is broken, 3 as far as it can be told it is kept: some records, or answers,
    are deleted, or a shadow has none.

    Example: `prefstream audit battles@2026-11-22T00:00Z..latest --bootstrap-servers kafka:9092`
    """
    configure_logging("warning", library_level="error")
    asked = TopicSpan.parse(span)
    if config.shadow:
        refuse_unused(
            context, ["preferences_topic", "dead_letters_topic"], "with --shadow, whose topic is --shadow-topic"
        )
    check_outputs({"--html": html}, [], force=force)
    render = _page() if html else None
    began = time.monotonic()
    with client_silenced(), ExitStack() as stack:
        stack.enter_context(_reading(config, asked.topic).translating())
        report = audit_range(config, asked, stack.enter_context(RecordProgress(Console(stderr=True), verb="reading")))
    if html and render:
        write_output(html, render(report).encode())
        say(Console(stderr=True), f"written: {html}")
    if as_json:
        typer.echo(json.dumps(report.to_fields(), indent=2))
    else:
        print_audit(Console(), report, time.monotonic() - began)
    raise typer.Exit(_CODES[report.verdict])


def _page() -> Callable[[AuditReport], str]:
    """What draws the page, found before the topics are read."""
    with explained("prefstream audit --html", "judges"):
        from prefstream.consumer.audit.page import render_audit

    return render_audit


def _reading(config: StreamConfig, topic: str) -> Translator:
    topics = ", ".join((topic, *config.output_topics))
    return Translator(
        f"auditing {topic}",
        acls=lambda _: f"Read on topics {topics}, or Describe on group {config.group}",
        remedies={
            Meaning.PASSING: "a partition's leader does not answer, or a transaction has been open on it for half a "
            "minute; run the same again"
        },
    )
