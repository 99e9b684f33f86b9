"""`prefstream`, which does something to itself at a point of the exactly-once path when a file tells it to.

Signals from outside hit wherever the process happens to be; these hit exactly there. The points are put around the
calls of the Kafka clients, so that the product needs no line for it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from tests.chaos.clock import ENV_CLOCK, Clock, install
from tests.chaos.judges import spoil_judges
from tests.chaos.trap import ENV_TRAP, Trap

POINTS: Final = (
    "after poll",
    "while scoring",
    "before begin",
    "between sends",
    "after send_offsets",
    "before commit",
    "after commit",
)


def put_points(trap: Trap) -> None:
    """Put the points into the clients, the pipeline and the judges."""
    from kafka import KafkaConsumer, KafkaProducer

    from prefstream.consumer.stream.pipeline import Pipeline

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
    from prefstream.consumer.cli import main as prefstream

    prefstream()
