"""`prefstream topics`: the stream's topics on a cluster."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import typer
from rich.console import Console

from prefstream.consumer.cli.options import with_settings
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.strict_command import StrictCommand
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.client.topic_creation import (
    DEAD_LETTER_PARTITIONS,
    DEFAULT_PARTITIONS,
    REPLICAS,
    Made,
    make_topics,
)
from prefstream.consumer.config import TopicNames
from prefstream.consumer.observe.logs import configure_logging

topics = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    help="The stream's topics on a cluster.",
)

_ADVICE = (
    "Battles are kept as long as the cluster's default says (retention.ms, often 7 days): let that be longer than the "
    "longest outage you want to survive. Preferences likewise: a board that is built anew goes back as far as they do. "
    "prefstream doctor looks at all settings."
)


@topics.callback()
def _group() -> None:
    """The stream's topics on a cluster."""


@topics.command(cls=StrictCommand)
@with_settings(TopicNames)
@client_silenced()
def create(
    names: TopicNames,
    context: typer.Context,
    *,
    partitions: Annotated[
        int,
        typer.Option(
            min=1,
            help="Of battles and preferences: so many processes can share the work. The others get "
            f"{DEAD_LETTER_PARTITIONS} at most.",
        ),
    ] = DEFAULT_PARTITIONS,
    replication_factor: Annotated[
        int | None,
        typer.Option(
            min=1,
            show_default=f"{REPLICAS}, or one for each broker",
            help="Copies of each partition. From 3 on, two must be in sync for a record to count as written.",
        ),
    ] = None,
    shadow: Annotated[bool, typer.Option("--shadow", help="Make the topic of a shadow's preferences, too.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Let the brokers check it all, make nothing.")] = False,
) -> None:
    """Make the topics where they are missing: battles, preferences, votes, and the dead letters of battles and votes.

    Their names are those of the settings; with --review-topic that one, too, and with --shadow that of a shadow's
    preferences. What exists is told and left as it is.

    Needs Create and Describe on them; `prefstream run` needs neither.

    Example: `prefstream topics create --bootstrap-servers kafka:9092 --partitions 12`
    """
    configure_logging("warning", "console", library_level="error")
    console = Console()
    asked = {name for name in ("partitions", "replication_factor") if _given(context, name)}
    for made in make_topics(names, partitions=partitions, replicas=replication_factor, shadow=shadow, dry_run=dry_run):
        say(console, _told(made, asked, dry_run=dry_run))
    say(Console(stderr=True), _ADVICE)


def _given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and not source.name.startswith("DEFAULT")


def _told(made: Made, asked: Collection[str], *, dry_run: bool) -> str:
    wanted, found = made.wanted, made.found
    if found is None:
        settings = "".join(f", {name} {value}" for name, value in wanted.settings.items())
        done = "would be created" if dry_run else "created"
        return f"{wanted.name}: {done}, {_shape(wanted.partitions, wanted.replicas)}{settings}"
    if not found.partitions:
        return f"{wanted.name}: exists, left as it is (we may not see it)"
    replicas = min(len(partition["replica_nodes"]) for partition in found.partitions)
    partitions = len(found.partitions)
    others = []
    if "partitions" in asked and partitions != wanted.partitions:
        others.append(f"{wanted.partitions} {'partition' if wanted.partitions == 1 else 'partitions'}")
    if "replication_factor" in asked and replicas != wanted.replicas:
        others.append(f"replication {wanted.replicas}")
    but = f" (asked for: {', '.join(others)})" if others else ""
    return f"{wanted.name}: exists, left as it is, {_shape(partitions, replicas)}{but}"


def _shape(partitions: int, replicas: int) -> str:
    return f"{partitions} {'partition' if partitions == 1 else 'partitions'}, replication {replicas}"
