"""A producer that is closed goes on sending.

What goes wrong: `close` waits for what is under way, as long as it was told to. If that is not enough, it raises before
it has ended the producer's thread: what was not delivered is tried on, and may be written long after its sender gave it
up. Here the thread is ended then, and what it has not sent is sent by nobody.

Versions: 3.0.12; others, and master, where the producer was written anew (pull request 3110 of dpkp/kafka-python), were
not looked at.

Upstream: no issue known.

Remove when: `close` with a time-out ends the producer's thread, whatever is under way.
"""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaTimeoutError

from prefstream.consumer.client.patches.patch import Method, Patch


def _ending(close: Method) -> Method:
    def _close(self: Any, timeout: float | None = None, null_logger: bool = False) -> None:  # noqa: FBT001, FBT002 - its signature
        try:
            close(self, timeout, null_logger)
        except KafkaTimeoutError:
            self._sender.force_close()
            self._sender.join(timeout)
            close(self, timeout, null_logger)  # nothing is left to be waited for

    return _close


PATCHES = (Patch(KafkaProducer, "close", ("timeout", "null_logger"), _ending, needs=("_sender",)),)
