"""A producer waits for ever for an output topic that is deleted while it runs.

What goes wrong: a partition is added to a transaction before anything is sent to it. While the coordinator says that it
knows no such partition, kafka-python asks again without an end, and whoever waits for the transaction's end waits
along. Here it gives up after a while, by an error after which the transaction can be aborted.

Versions: 3.0.0 to 3.0.12, and master; 2.3.3, too.

Upstream: no issue known of kafka-python. Java's client has the same fault: KAFKA-20077 (pull request 21672 of
apache/kafka).

Remove when: kafka-python gives up on a partition that can't be added to a transaction.
"""

from __future__ import annotations

import time
from typing import Any, Final

from kafka.errors import UnknownTopicOrPartitionError
from kafka.producer.transaction_manager import AddPartitionsToTxnHandler

from prefstream.consumer.client.patches.patch import Method, Patch

UNKNOWN_TOPIC_S: Final = 10.0
"""A broker that has just come back may not know its topics yet; it does within seconds."""


def _giving_up(handle: Method) -> Method:
    """Takes it for an answer that a topic does not exist, once it was told for long enough."""

    def handle_response(self: Any, response: Any) -> None:
        unknown = {
            topic
            for topic, partitions in response.results_by_topic_v3_and_below
            for _, code in partitions
            if code == UnknownTopicOrPartitionError.errno
        }
        if unknown:
            now = time.monotonic()
            self._prefstream_unknown_since = getattr(self, "_prefstream_unknown_since", now)
            if now - self._prefstream_unknown_since > UNKNOWN_TOPIC_S:
                self.abortable_error(UnknownTopicOrPartitionError(", ".join(sorted(unknown))))
                return
        handle(self, response)

    return handle_response


PATCHES = (Patch(AddPartitionsToTxnHandler, "handle_response", ("response",), _giving_up, needs=("abortable_error",)),)
