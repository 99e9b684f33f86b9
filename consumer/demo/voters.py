"""The voters of the demo: what is held for right of each battle, cast as votes while verdicts come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.events import DemoEvent
from prefstream.consumer.errors import StreamError
from prefstream.schemas import Vote, encode_vote


class Voters:
    """Sends votes; made by `voting`.

    Attributes:
        cast: how many there were.
    """

    def __init__(self, producer: Any, topic: str) -> None:
        self.cast = 0
        self._producer = producer
        self._topic = topic
        self._sent: list[tuple[str, Any]] = []

    def vote(self, event: DemoEvent) -> None:
        """Vote for the winner of a battle, if it is known: each time as a voter of its own."""
        if not (event.battle and event.winner):
            return
        self.cast += 1
        vote = Vote(id=event.name, winner=event.winner, voter=f"demo:{self.cast}")
        future = self._producer.send(self._topic, key=vote.id.encode(), value=encode_vote(vote))
        self._sent.append((vote.id, future))

    def finish(self) -> None:
        """Wait until all votes have arrived.

        Raises:
            StreamError: one could not be delivered.
        """
        self._producer.flush()
        for name, future in self._sent:
            if future.failed():
                raise StreamError(f"the vote on {name} could not be sent: {future.exception}")
        self._sent.clear()


@contextmanager
def voting(config: StreamConfig) -> Iterator[Voters]:
    """Have battles of the demo voted on.

    Raises:
        StreamError: a vote could not be delivered.
    """
    with closing(make_producer(config)) as producer:
        voters = Voters(producer, config.votes_topic)
        yield voters
        voters.finish()
