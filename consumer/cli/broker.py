"""`prefstream broker`: the embedded broker on its own."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Annotated

import typer

from prefstream.consumer.broker import BrokerSettings, serve


def broker(
    host: Annotated[str, typer.Option(help="Address to listen at and to advertise.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="Port; 0 picks a free one.")] = 9092,
    partitions: Annotated[int, typer.Option(min=1, help="Partitions of topics made on first use.")] = 4,
) -> None:
    """Run a small Kafka broker in memory, for trying things out and for tests. Ctrl-C ends it; nothing is kept.

    It speaks Kafka's protocol with transactions and consumer groups, on one node, without replication, security or
    storage. It is no place for data that matters.

    Example: `prefstream broker --port 9092`
    """
    settings = BrokerSettings(host=host, port=port, default_partitions=partitions)
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(settings, on_ready=lambda bound: typer.echo(f"listening at {host}:{bound}")))
