"""Preferences and votes as they come: the checks of the start, a consumer without a group, a watch over its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from prefstream.consumer.board.ingest.source import BoardSource, Polled
from prefstream.consumer.board.store.records import StoredOffset
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.connection_errors import overheard
from prefstream.consumer.client.protocols import GroupConsumer
from prefstream.consumer.client.topics import require_topics
from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import TopicNames

POLL_S: Final = 0.2
"""How soon a stop is heard while nothing comes."""

MAX_RECORDS: Final = 1_000
"""Taken in together: enough that a commit hardly counts, and some twenty megabytes while they are decoded."""

METADATA_MAX_AGE_MS: Final = 10_000
"""New partitions are found this soon, and that a topic was recreated while nothing was read."""


@dataclass(frozen=True, slots=True)
class Following:
    """Both topics, being followed by the thread that opened it.

    Attributes:
        source: of their records.
        watchdog: over whatever waits for brokers.
    """

    source: BoardSource
    watchdog: Watchdog

    def poll(self, max_records: int = MAX_RECORDS) -> Polled:
        """What came, after a moment at most."""
        with self.watchdog.guard("polling"):
            return self.source.poll(POLL_S, max_records)


@contextmanager
def following(
    names: TopicNames,
    begin: Callable[[GroupConsumer], Sequence[StoredOffset]],
    *,
    needed: Sequence[Mapping[str, str]],
    broker_timeout_s: float,
    on_stall: Callable[[str, str], None],
    **settings: Any,
) -> Iterator[Following]:
    """Follow the topics of preferences and votes.

    Args:
        names: the topics, and where they are.
        begin: tells where reading begins; may ask brokers.
        needed: operations on topics, which are checked before.
        broker_timeout_s: a call that hangs for longer is a stall.
        on_stall: called then, with the call's name and what it means.
        settings: of the consumer.

    Raises:
        StreamError: a topic, or a right, is missing; or no broker answers.
    """
    with ExitStack() as stack:
        watchdog = stack.enter_context(closing(Watchdog(broker_timeout_s, on_stall)))
        heard = stack.enter_context(overheard("kafka"))
        with watchdog.guard("checks of the start", bounded=False):
            for operations in needed:
                require_topics(names, operations)
            consumer: GroupConsumer = stack.enter_context(
                closing(make_consumer(names, metadata_max_age_ms=METADATA_MAX_AGE_MS, **settings))
            )
            source = BoardSource(consumer, names, begin(consumer), heard=heard)
        yield Following(source, watchdog)
