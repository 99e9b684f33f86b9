"""Which topic it is that we read: one that is deleted and created again has the same name, and other records."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Final
from uuid import UUID

from prefstream.consumer.client.kafka_errors import KafkaError
from prefstream.consumer.client.protocols import GroupConsumer

HEARSAY_S: Final = 1.0
"""Brokers hear of a topic within milliseconds. One that lags behind tells of the topic before, and is not believed."""

HOLDS_S: Final = 10.0
"""How long brokers are believed after that wait. Several may ask in one turn of the loop, and each must be answered."""


class TopicIdentity:
    """Tells the topic that we began with from another one of the same name.

    Args:
        consumer: knows what the brokers told last.
        topic: its name.
    """

    def __init__(self, consumer: GroupConsumer, topic: str) -> None:
        self._consumer = consumer
        self._topic = topic
        self._id: UUID | None = None
        self._ask_at = float("-inf")

    @property
    def id(self) -> UUID | None:
        """Of the topic that we read; None where the brokers tell none."""
        return self._id

    @property
    def due_s(self) -> float:
        """Seconds until `confirm` can tell; 0 where it can, or was not asked."""
        return max(0.0, self._ask_at - time.monotonic())

    def looks_recreated(self) -> bool:
        """Whether the topic is another one than the one that we began with, by what the brokers told last."""
        found = self._consumer.topic_id(self._topic)
        if self._id is None:
            self._id = found
        return found not in {None, self._id}

    def confirm(self) -> bool | None:
        """The same, and the brokers are asked first, once they all have heard of it.

        Returns:
            None while it is too early to ask: come back in `due_s`. Who comes within `HOLDS_S` after that is answered.
        """
        now = time.monotonic()
        if now - self._ask_at > HOLDS_S:
            self._ask_at = now + HEARSAY_S
        if now < self._ask_at:
            return None
        with suppress(KafkaError):
            self._consumer.topics()
        return self.looks_recreated()

    def adopt(self, topic_id: UUID | None) -> None:
        """From here on the topic of this id is the one that we read."""
        self._id = topic_id
        self._ask_at = float("-inf")
