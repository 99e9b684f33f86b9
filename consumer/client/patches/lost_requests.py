"""A transaction's request that finds its coordinator away is lost.

What goes wrong: the producer's thread looks a coordinator up and tries again where `await_ready` says that it is away.
But `await_ready` raises, and after that the request is neither sent nor kept: who waits for a transaction's offsets,
its commit or its abort waits for ever. Here `await_ready` says so, as its caller expects.

Versions: 3.0.0 to 3.0.12; mended in master, where the producer was written anew (pull request 3110 of
dpkp/kafka-python). 2.3.3 raises only for a connection that failed, with the same outcome.

Upstream: no issue known.

Remove when: 3.1 is the oldest version that we take.
"""

from __future__ import annotations

from typing import Any

from kafka.errors import KafkaConnectionError
from kafka.net.compat import KafkaNetClient

from prefstream.consumer.client.patches.patch import Method, Patch


def _answering(wait: Method) -> Method:
    def await_ready(self: Any, node_id: Any, timeout_ms: float = 30_000) -> bool:
        try:
            return bool(wait(self, node_id, timeout_ms))
        except KafkaConnectionError:
            return False

    return await_ready


PATCHES = (Patch(KafkaNetClient, "await_ready", ("node_id", "timeout_ms"), _answering),)
