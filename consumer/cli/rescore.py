"""`prefstream rescore`: a range of a topic, scored once more by another panel."""

from __future__ import annotations

import shlex
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, EXIT_REJECTED
from prefstream.consumer.cli.notes import refuse_unused
from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.panel_option import UNTRAINED, panel_config, require_known_answers
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.signals import stop_on_signals
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import RecordProgress
from prefstream.consumer.client.clients import admin_client, make_consumer
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.topics import require_topic
from prefstream.consumer.config import TOPIC_FIELDS, StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.score import panel_identity
from prefstream.consumer.files.score_output import STANDARD_OUTPUT, OutputPaths
from prefstream.consumer.files.score_run import DEFAULT_CHUNK_ROWS
from prefstream.consumer.observe.logs import configure_logging
from prefstream.consumer.process.garbage import loading
from prefstream.consumer.rescore.progress import fix_range
from prefstream.consumer.rescore.rescore import RescoreSummary, rescore_range
from prefstream.consumer.rescore.span import SPAN_METAVAR, TopicSpan
from prefstream.consumer.rescore.targets import RescoreTarget
from prefstream.consumer.rescore.to_file import FILE_ENDINGS, FileRun, FileTarget
from prefstream.consumer.rescore.to_topic import TopicTarget, default_group, run_id
from prefstream.consumer.schema_registry.client import preference_frame
from prefstream.consumer.words import counted
from prefstream.scoring.panel.load import load_panel

_TAKEN: Final = frozenset(
    name
    for name in StreamConfig.model_fields
    if name in KafkaConnection.model_fields
    or name in {"battles_framing", "preferences_framing", "publish_models"}
    or name.startswith("schema_registry_")
)
"""Settings of the service that mean here what they mean there."""

_OF_PREFERENCES: Final = frozenset({"preferences_topic", "shadow_topic"})
"""Settings that name a topic of preferences."""


@with_settings(StreamConfig, leave_out=frozenset(StreamConfig.model_fields) - _TAKEN)
def rescore(
    config: StreamConfig,
    context: typer.Context,
    span: Annotated[
        str,
        typer.Argument(
            metavar=SPAN_METAVAR,
            show_default=False,
            help="Which records: from FROM on, up to TO without it. Each is earliest, latest, a time with its zone "
            "(the first record that is as young, in each partition), an offset of a topic with one partition, or "
            "offsets by partition, 0:1500,1:1480, which leave the other partitions out.",
        ),
    ],
    *,
    panel: Annotated[
        Path,
        typer.Option(
            "--panel",
            show_default=False,
            help="Panel file (YAML): who judges now; demo: the demo's small judges.",
        ),
    ],
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE|TOPIC",
            show_default=False,
            help="Where to write. A name that ends in .jsonl or .ndjson is a file of preferences, - is standard "
            "output, anything else a topic, which must exist.",
        ),
    ],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="To a file: go on where an interrupted run stopped, or begin. To a topic that is so without it.",
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="To a file: overwrite one that exists, or give up an interrupted one."),
    ] = False,
    group: Annotated[
        str | None,
        typer.Option(
            show_default="made of range, panel and topic",
            help="To a topic: consumer group that keeps how far the run is; it has no members. One of another name "
            "begins anew.",
        ),
    ] = None,
    chunk: Annotated[
        int,
        typer.Option(
            min=1,
            help="Records that are read, scored and written together, to a topic in one transaction: what an "
            "interruption loses at most.",
        ),
    ] = DEFAULT_CHUNK_ROWS,
) -> None:
    """Score a range of a topic once more, by another panel: to a file, or to a topic exactly once.

    Battles are read without a group, committed ones only, partition after partition. The range is fixed at the start:
    what comes later is not in it, and a run that goes on has the same. Each preference names the battle's topic,
    partition and offset as its source, as the stream's do: by these both are joined. What is no battle is named on
    standard error and, to a file, written to OUTPUT.rejected; no dead letter is made of it, since the stream made one.

    To a topic each chunk is a transaction, with the offset behind it: a run that was interrupted and is started again
    goes on where it was, and no answer is there twice. That is known for as long as the brokers keep offsets of a group
    without members (offsets.retention.minutes, seven days by default).

    Exit codes: 0 all records scored, 1 a lasting fault (start again), 2 can't be done as asked, 3 some records
    rejected, 130 interrupted.

    For example:

        prefstream rescore battles@earliest..latest --panel new.yaml -o new.jsonl
        prefstream rescore battles@2026-11-01T00:00Z..2026-11-08T00:00Z --panel new.yaml -o preferences.new
        prefstream rescore battles@0:1500..latest --panel new.yaml -o - | jq .preferred
    """
    configure_logging("warning", library_level="error")
    console = Console(stderr=True)
    asked = TopicSpan.parse(span)
    paths = _file_of(output)
    if paths is None:
        refuse_unused(context, ["force"], "on a topic, where nothing is overwritten")
        _refuse_topic(config, asked, output)
    else:
        refuse_unused(context, ["group"], "on a file")
        if resume and paths.finished:
            say(console, f"{output} is finished: nothing to resume (--force scores again)")
            raise typer.Exit(EXIT_REJECTED if paths.rejected.exists() else 0)
        paths.check_output(resume=resume, force=force)
    with client_silenced(), ExitStack() as stack:
        with admin_client(config) as admin:
            require_topic(config, admin, asked.topic, "READ")
            if paths is None:
                require_topic(config, admin, output, "WRITE")
        frame = preference_frame(config, output) if paths is None else b""
        stack.enter_context(_reading(asked.topic).translating())
        consumer = stack.enter_context(closing(make_consumer(config, max_unpacked_bytes=config.max_unpacked_bytes)))
        fixed, deleted = fix_range(consumer, asked)
        if deleted:
            say(console, f"{counted(deleted, 'offset')} of the range are deleted already")
        chosen = panel_config(panel, partial(say, console))
        with loading(chosen):
            judges = stack.enter_context(load_panel(chosen, say=partial(say, console)))
        require_known_answers(judges, partial(say, console))
        if not judges.trained:
            say(console, UNTRAINED)
        target: RescoreTarget
        if paths is None:
            identity = run_id(span, judges.identity.hash, output)
            group = group or default_group(identity)
            target = TopicTarget(config, asked.topic, output, identity, group, frame=frame)
        else:
            run = FileRun(
                span=span,
                panel=panel_identity(chosen, judges),
                chunk_rows=chunk,
                publish_models=config.publish_models,
            )
            target = FileTarget(paths, run, resume=resume)
        stack.enter_context(target)
        with (
            stop_on_signals("finishing the records in hand; again stops at once, and loses only those") as stop,
            RecordProgress(console, verb="scoring") as progress,
        ):
            summary = rescore_range(
                consumer,
                fixed,
                judges,
                target,
                framing=config.battles_framing,
                chunk_rows=chunk,
                observer=progress,
                stop=stop,
            )
        say(console, _line(summary, output, group))
    if not summary.complete:
        if paths is None or paths.out != STANDARD_OUTPUT:
            command = _command(context, to_file=paths is not None)
            say(console, f"what is done is kept; go on with: {command}")
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary.progress.rejected:
        raise typer.Exit(EXIT_REJECTED)


def _file_of(output: str) -> OutputPaths | None:
    """The file that is meant; None where it is a topic.

    Raises:
        UsageError: it is neither.
    """
    path = Path(output)
    if path == STANDARD_OUTPUT or path.suffix.lower() in FILE_ENDINGS:
        return OutputPaths(path)
    if "/" in output or path.suffix.lower() == ".csv":
        raise UsageError(f"{output}: preferences are written to a .jsonl file, or to a topic")
    return None


def _refuse_topic(config: StreamConfig, asked: TopicSpan, output: str) -> None:
    if output == asked.topic:
        raise UsageError(f"{output} can't be input and output at once")
    meant = {getattr(config, field): field for field in TOPIC_FIELDS if field not in _OF_PREFERENCES}
    if field := meant.get(output):
        raise UsageError(f"{output} is the {field}, which holds no preferences; name another topic")


def _reading(topic: str) -> Translator:
    return Translator(
        f"reading {topic}",
        acls=lambda _: f"Read on topic {topic}",
        remedies={Meaning.PASSING: "the partition's leader does not answer; run the same again, what is done is kept"},
    )


def _line(summary: RescoreSummary, output: str, group: str | None) -> str:
    progress, before = summary.progress, summary.before
    earlier = f", {before.scored + before.rejected:,} of both before" if before.begun else ""
    where = "standard output" if output == str(STANDARD_OUTPUT) else output
    kept = f" (group {group})" if group else ""
    return (
        f"{'done' if summary.complete else 'stopped'}: {counted(progress.scored, 'battle')} scored ({where}), "
        f"{progress.rejected:,} rejected{earlier}{kept}, {summary.seconds:,.1f} s, "
        f"{summary.battles_per_s:,.1f} battles/s"
    )


def _command(context: typer.Context, *, to_file: bool) -> str:
    """What goes on with an interrupted run: what was called, as far as it stood on the command line."""
    words = ["prefstream", "rescore"]
    for param in context.command.params:
        source = context.get_parameter_source(param.name or "")
        if source is None or source.name != "COMMANDLINE" or param.name in {"resume", "force"}:
            continue
        value = context.params[param.name or ""]
        if param.param_type_name == "argument":
            words.append(str(value))
        elif isinstance(value, bool):
            words.append(param.opts[0] if value else param.secondary_opts[0])
        else:
            words += [param.opts[0], str(value)]
    return shlex.join([*words, "--resume"] if to_file else words)
