"""`prefstream`, which sends itself a signal at a point of the exactly-once path when a file tells it to.

Signals from outside hit wherever the process happens to be; these hit exactly there. The points are put around the
calls of the Kafka clients, so that the product needs no line for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer

ENV_TRAP: Final = "PREFSTREAM_CHAOS_TRAP"
"""Names the file: `point signal`. It is deleted when the point is reached."""

POINTS: Final = (
    "after poll",
    "while scoring",
    "before begin",
    "between sends",
    "after send_offsets",
    "before commit",
    "after commit",
)


class Trap:
    """Waits for a point.

    Args:
        file: where the point and the signal are written.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def set(self, point: str, number: signal.Signals) -> None:
        """Have the process send itself a signal when it next reaches a point."""
        part = self._file.with_suffix(".part")
        part.write_text(f"{point}\n{number.name}")
        part.rename(self._file)

    def clear(self) -> None:
        """Forget what was set."""
        self._file.unlink(missing_ok=True)

    @property
    def is_set(self) -> bool:
        """Whether the point has not been reached yet."""
        return self._file.exists()

    def reached(self, point: str | None) -> None:
        """Called by the process at every point; None is no point."""
        if point is None or not self._file.exists():  # a system call of a microsecond; the points lie in loops
            return
        wanted, name = self._file.read_text().split("\n")
        if wanted == point:
            self._file.unlink()
            os.kill(os.getpid(), signal.Signals[name])


def put_points(trap: Trap) -> None:
    """Put the points into the clients and the pipeline."""
    from consumer.pipeline import Pipeline

    _wrap(KafkaConsumer, "poll", after=lambda polled: trap.reached("after poll" if polled else None))
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
    put_points(Trap(Path(os.environ[ENV_TRAP])))
    from consumer.cli import main as prefstream

    prefstream()
