"""Output topics that are deleted while the stream runs: kafka-python waits for them for ever.

A partition is added to a transaction before anything is sent to it. While the coordinator says that it knows no such
partition, kafka-python 3.0.12 asks again without an end, and whoever waits for the transaction's offsets waits along.
Here it gives up after a while, by an error after which the transaction can be aborted.
"""

from __future__ import annotations

import time
from typing import Any, Final

from kafka.errors import UnknownTopicOrPartitionError
from kafka.producer import transaction_manager

UNKNOWN_TOPIC_S: Final = 10.0
"""A broker that has just come back may not know its topics yet; it does within seconds."""


class _AddPartitions(transaction_manager.AddPartitionsToTxnHandler):  # type: ignore[misc]  # kafka-python has no types
    """Adds partitions to a transaction, and takes it for an answer that one of them does not exist."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._patience_ends = time.monotonic() + UNKNOWN_TOPIC_S

    def handle_response(self, response: Any) -> None:
        """Called with each answer."""
        unknown = {
            topic
            for topic, partitions in response.results_by_topic_v3_and_below
            for _, code in partitions
            if code == UnknownTopicOrPartitionError.errno
        }
        if unknown and time.monotonic() > self._patience_ends:
            self.abortable_error(UnknownTopicOrPartitionError(", ".join(sorted(unknown))))
        else:
            super().handle_response(response)


def give_up_on_unknown_topics() -> None:
    """Make kafka-python's producers give up on topics that do not exist."""
    transaction_manager.AddPartitionsToTxnHandler = _AddPartitions
