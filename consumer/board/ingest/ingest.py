"""The board's reading loop: poll, decode, deliver dead letters, take all in with the offsets behind it.

Step by step, and what a kill after each leaves behind:

1. Poll records of both topics. Nothing has changed.
2. Deliver dead letters for what is no vote. Those votes are read again; their dead letters are found on the topic, and
   are not sent again (`dead_letters`).
3. In one transaction of SQLite: rows, sums, counters, and the offsets behind the records. Before its commit it is as
   after 2; after it the records are done with.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from prefstream.consumer.board.ingest.behind import Behind
from prefstream.consumer.board.ingest.dead_letters import VoteDeadLetters
from prefstream.consumer.board.ingest.decode import Decoded, decode
from prefstream.consumer.board.ingest.following import MAX_RECORDS, Following, following
from prefstream.consumer.board.ingest.metrics import IngestMetrics
from prefstream.consumer.board.ingest.source import BoardSource, Polled
from prefstream.consumer.board.ingest.sparingly import Sparingly
from prefstream.consumer.board.store.records import ReadProgress
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.client.acl import board_operations
from prefstream.consumer.client.watchdog import end_process
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokerUnreachableError
from prefstream.consumer.stream.free_way import FreeWay

log = structlog.get_logger(__name__)

FETCH_MAX_BYTES: Final = 4 * 1024 * 1024
"""Of all partitions in one fetch: some batches."""

IDLE_COMMIT_S: Final = 1.0
"""Offsets that moved past transaction markers alone are kept this often."""

GIVE_UP_EVERY_S: Final = 60.0
"""While nothing comes, what is too old leaves the join this often."""

REPORT_EVERY_S: Final = 60.0
"""A line in the log says how much was taken in."""

RETRY_S: Final = 0.5
"""Before dead letters that could not be delivered are sent again."""


class BoardIngest:
    """Fills the board's file from the topics, in the thread that calls `run`.

    Args:
        names: the topics, and where they are.
        store: the file; belongs to that thread from then on.
        broker_timeout_s: brokers that are away, or a topic that is gone, for longer end `run`.
        on_obstacle: called with what holds reading up, or with None, each time that it changes.
        on_stall: called when a broker call hangs, with its name and what that means; ends the process unless a test
            wants to live on.
        registry: where its metrics are exposed; None makes one.
        max_records: of a transaction, at most.
        dead_letters: what is no vote gets one. Not where the file goes with the process: its offsets stay nowhere, so
            the same votes would be told anew by everybody who has a look.
        further: operations on topics that others of this process need: checked with those of reading, so that a right
            that is missing is told at the start.

    Attributes:
        metrics: what was taken in, for `/metrics`.
    """

    def __init__(
        self,
        names: TopicNames,
        store: Store,
        *,
        broker_timeout_s: float = 120.0,
        on_obstacle: Callable[[str | None], None] = lambda _: None,
        on_stall: Callable[[str, str], None] = end_process,
        registry: CollectorRegistry | None = None,
        max_records: int = MAX_RECORDS,
        dead_letters: bool = True,
        further: Sequence[Mapping[str, str]] = (),
    ) -> None:
        self.metrics = IngestMetrics(names, registry)
        self._names = names
        self._store = store
        self._broker_timeout_s = broker_timeout_s
        self._on_obstacle = on_obstacle
        self._on_stall = on_stall
        self._max_records = max_records
        self._dead_letters = dead_letters
        self._behind = Behind()
        self._needed = (board_operations(names, dead_letters=dead_letters), *further)
        self._undelivered: BrokerUnreachableError | None = None
        self._applied_at = 0.0
        self._report_at = 0.0
        self._bad_preferences = Sparingly("no preference, skipped: another program's?")
        kept = "kept on their dead letters' topic" if dead_letters else "skipped"
        self._bad_votes = Sparingly(f"records that are no votes, {kept}")
        self._duplicates = Sparingly("preferences of battles that have one already, not counted")

    def run(self, stop: threading.Event, *, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Read until `stop` is set.

        Args:
            stop: ends it.
            on_progress: with it, reading ends where the topics ended when it began; called with how many offsets are
                done, of how many.

        Raises:
            StreamError: what can't be mended from inside; what was read until then is in the file.
        """
        names = self._names
        with (
            following(
                names,
                lambda _: self._store.offsets(),
                needed=self._needed,
                broker_timeout_s=self._broker_timeout_s,
                on_stall=self._on_stall,
                client_id="prefstream-board",
                fetch_max_wait_ms=100,
                fetch_max_bytes=FETCH_MAX_BYTES,
            ) as topics,
            closing(VoteDeadLetters(names, self._store.offsets(), stop.is_set)) as letters,
        ):
            source = topics.source
            way = FreeWay(lambda: self._undelivered or source.obstacle(), self._broker_timeout_s, self._on_obstacle)
            self._report_at = time.monotonic() + REPORT_EVERY_S
            unread = None if on_progress is None else source.unread()
            while not stop.is_set():
                polled = topics.poll(self._max_records)
                decoded = decode(polled.preferences, polled.votes)
                while not self._deliver(decoded, letters, topics):
                    way.require()
                    if stop.wait(RETRY_S):
                        return
                self._take_in(polled, decoded, letters, source)
                unread_now = source.unread_now()
                self.metrics.lag({partition: len(offsets) for partition, offsets in unread_now.items()})
                self._behind.look(unread_now)
                way.require()
                self._report()
                if unread is not None and on_progress is not None:
                    done, every = source.done(unread)
                    on_progress(done, every)
                    if done == every:
                        return

    def behind(self) -> int | None:
        """Records that are on the topics and not in the file yet, as far as is known; for any thread."""
        return self.metrics.behind

    def behind_s(self) -> float:
        """For how long the oldest of these has been known to wait, in seconds; for any thread."""
        return self._behind.for_s

    def _deliver(self, decoded: Decoded, letters: VoteDeadLetters, topics: Following) -> bool:
        """Step 2; whether it is done."""
        try:
            with topics.watchdog.guard("writing dead letters"):
                letters.send(
                    decoded.bad_votes if self._dead_letters else (),
                    topics.source.next_offsets(self._names.votes_topic),
                )
        except BrokerUnreachableError as error:
            self._undelivered = error
            return False
        self._undelivered = None
        return True

    def _take_in(self, polled: Polled, decoded: Decoded, letters: VoteDeadLetters, source: BoardSource) -> None:
        """Step 3."""
        idle_s = time.monotonic() - self._applied_at
        moved = bool(polled.offsets) and idle_s > IDLE_COMMIT_S
        if not (polled.records or polled.notes or moved or idle_s > GIVE_UP_EVERY_S):
            return
        votes_topic = self._names.votes_topic
        after = source.next_offsets(votes_topic) | {
            one.partition: one.next_offset for one in polled.offsets if one.topic == votes_topic
        }
        counters = polled.counters | {
            "bad_preferences": len(decoded.bad_preferences),
            "bad_votes": len(decoded.bad_votes),
        }
        began = time.monotonic()
        applied = self._store.apply(
            decoded.preferences,
            decoded.votes,
            ReadProgress(
                [*polled.offsets, *letters.offsets(after)],
                polled.preferences_until,
                polled.votes_until,
                counters,
                polled.notes,
            ),
        )
        source.committed(polled.offsets)
        self._applied_at = time.monotonic()
        self.metrics.applied(applied.counted, decoded, self._applied_at - began)
        self._tell(decoded, applied.duplicates)

    def _tell(self, decoded: Decoded, duplicates: Sequence[tuple[int, int]]) -> None:
        """Of what was not counted, by its place; nothing of its content."""
        preferences, votes = self._names.preferences_topic, self._names.votes_topic
        no_preferences = [(bad.record.partition, bad.record.offset) for bad in decoded.bad_preferences]
        no_votes = [(bad.record.partition, bad.record.offset) for bad in decoded.bad_votes]
        for sparingly, topic, places in (
            (self._bad_preferences, preferences, no_preferences),
            (self._bad_votes, votes, no_votes),
            (self._duplicates, preferences, duplicates),
        ):
            if places:
                partition, offset = places[0]
                sparingly.warn(len(places), such_as=f"{topic}/{partition}/{offset}")

    def _report(self) -> None:
        if time.monotonic() >= self._report_at:
            self._report_at = time.monotonic() + REPORT_EVERY_S
            log.info("taken in", **self.metrics.totals())
