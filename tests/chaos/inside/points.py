"""`prefstream`, which does something to itself at a point of the exactly-once path when a file tells it to.

Signals from outside hit wherever the process happens to be; these hit exactly there. The points are put around the
calls of the Kafka clients, so that the product needs no line for it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.chaos.inside.clock import ENV_CLOCK, Clock, install
from tests.chaos.inside.judges import spoil_judges
from tests.chaos.inside.trap import ENV_TRAP, Trap

POINTS: Final = (
    "after poll",
    "while scoring",
    "before begin",
    "between sends",
    "after send_offsets",
    "before commit",
    "after commit",
)

ENV_PARTITIONS: Final = "CHAOS_PARTITIONS"
"""Names the file that the process keeps up to date with the partitions that it reads; unset: none."""


def put_points(trap: Trap) -> None:
    """Put the points into the clients, the pipeline and the judges."""
    from kafka import KafkaConsumer, KafkaProducer

    from prefstream.consumer.client import patches
    from prefstream.consumer.stream.pipeline import Pipeline

    # Mended first: a patch that came later would refuse what is here, or go past it.
    patches.apply()
    _wrap(KafkaConsumer, "poll", after=lambda polled: trap.reached("after poll") if polled else None)
    _wrap(Pipeline, "submit", after=lambda _: trap.reached("while scoring"))
    _wrap(KafkaProducer, "begin_transaction", before=lambda: trap.reached("before begin"))
    _wrap(KafkaProducer, "send", after=lambda _: trap.reached("between sends"))
    _wrap(KafkaProducer, "send_offsets_to_transaction", after=lambda _: trap.reached("after send_offsets"))
    _wrap(
        KafkaProducer,
        "commit_transaction",
        before=lambda: trap.reached("before commit"),
        after=lambda _: trap.reached("after commit"),
    )
    spoil_judges(trap)


def report_partitions(file: Path) -> None:
    """Keep a file up to date with the partitions that this process is to read, and with its own number."""
    from kafka import KafkaConsumer

    written: list[int] | None = None

    def report(owned: list[int]) -> None:
        nonlocal written
        if owned != written:
            part = file.with_suffix(".part")
            part.write_text(json.dumps({"pid": os.getpid(), "partitions": owned}))
            part.rename(file)
            written = owned

    poll, close = KafkaConsumer.poll, KafkaConsumer.close

    def poll_and_report(consumer: Any, *arguments: Any, **options: Any) -> Any:
        polled = poll(consumer, *arguments, **options)
        report(sorted(partition.partition for partition in consumer.assignment()))
        return polled

    def report_and_close(consumer: Any, *arguments: Any, **options: Any) -> Any:
        report([])
        return close(consumer, *arguments, **options)

    KafkaConsumer.poll, KafkaConsumer.close = poll_and_report, report_and_close


def _wrap(
    owner: type[Any],
    name: str,
    *,
    before: Callable[[], object] = lambda: None,
    after: Callable[[Any], object] = lambda _: None,
) -> None:
    original = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        before()
        answer = original(*arguments, **options)
        after(answer)
        return answer

    setattr(owner, name, call)


def main() -> None:
    """Run the command with the points in place."""
    install(Clock(Path(os.environ[ENV_CLOCK])))
    put_points(Trap(Path(os.environ[ENV_TRAP])))
    if ENV_PARTITIONS in os.environ:
        report_partitions(Path(os.environ[ENV_PARTITIONS]))
    from prefstream.consumer.cli import main as prefstream

    prefstream()
