"""`python -m tests.board`: the board under load and under kills, with its figures."""

from __future__ import annotations

import json
import random
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from tests.board.load import board_under_load
from tests.support.board_topics import Load
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.processes import broker_process


def board(
    *,
    preferences: Annotated[int, typer.Option(min=1, help="Battles.")] = 100_000,
    votes: Annotated[int, typer.Option(min=0, help="Votes.")] = 5_000,
    kills: Annotated[int, typer.Option(min=0, help="SIGKILLs while they are taken in.")] = 10,
    apache: Annotated[bool, typer.Option(help="On Apache Kafka from KAFKA_HOME, or on the embedded broker.")] = True,
    seed: Annotated[int, typer.Option(help="Of records and kills.")] = 0,
) -> None:
    """Take in preferences and votes, and compare every count and sum with a recount of the topics."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if apache:
            home = kafka_home()
            if home is None:
                raise SystemExit("KAFKA_HOME names no unpacked Apache Kafka, or there is no Java")
            servers = stack.enter_context(KafkaCluster(home, folder / "kafka")).bootstrap_servers
        else:
            servers = stack.enter_context(broker_process(folder / "broker.log"))
        figures = board_under_load(
            servers, folder, Load(preferences, votes), random.Random(seed), kills=kills, tell=typer.echo
        )
    typer.echo(json.dumps(figures.as_dict(), indent=1))


if __name__ == "__main__":
    typer.run(board)
