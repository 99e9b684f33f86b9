"""The loop that ties source, pipeline and publisher: read, publish, report, until told to stop.

It runs in one thread, the only one that touches Kafka's clients. Scoring happens in the pipeline's threads; when
enough batches are in flight, reading pauses and polling goes on, so that scoring may take minutes without losing the
group. Batches are committed in order. The loop waits for records, for a result, or to be stopped; it sleeps in a drain
alone, for moments in which a poll makes no sense.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

import structlog

from prefstream.consumer.client.watchdog import Watchdog
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import StalledError, StreamError
from prefstream.consumer.observe.stop_event import StopEvent
from prefstream.consumer.panels.golden_watch import GoldenWatch
from prefstream.consumer.stream.batch import Batcher
from prefstream.consumer.stream.free_way import FreeWay
from prefstream.consumer.stream.partitions.assignment import Event
from prefstream.consumer.stream.pipeline import Pipeline, Scored
from prefstream.consumer.stream.publisher import Publisher, Unsettled
from prefstream.consumer.stream.source import Source
from prefstream.consumer.stream.telemetry import Telemetry

log = structlog.get_logger(__name__)

IDLE_POLL_S: Final = 0.25
"""Longest wait for records: bounds how late a signal to stop is seen."""

BUSY_POLL_S: Final = 0.01
"""Longest time between two looks for records while a batch is scored: its result is waited for meanwhile."""

RUN_UP: Final = 0.1
"""Share of a pass, before and behind its expected end, in which records are looked for more often; no more than
`BUSY_POLL_S`, which is how late they were found otherwise."""

RUN_UP_POLL_S: Final = 0.001
"""Time between two such looks. One takes 0.2 ms of a core (measured), so that they take a fiftieth of one at most."""


class Stream:
    """Consumes battles, publishes preferences and dead letters, exactly once.

    Args:
        config: the settings.
        source: Kafka in.
        pipeline: decodes, scores, composes.
        publisher: Kafka out.
        telemetry: what operators see.
        watchdog: bounds polling, too: kafka-python's time-outs are not always kept.
        golden: knows whether the panel's answers are right; None where nobody looks.
        on_poll: called once per turn of the loop (liveness).
        on_obstacle: called with what holds us up, or with None, each time that it changes.
        on_committed: called with each batch once it is visible to readers.
        between_batches: called where the next batch may be given to another panel.
    """

    def __init__(
        self,
        config: StreamConfig,
        source: Source,
        pipeline: Pipeline,
        publisher: Publisher,
        telemetry: Telemetry,
        watchdog: Watchdog,
        *,
        golden: GoldenWatch | None = None,
        on_obstacle: Callable[[str | None], None] = lambda _: None,
        on_poll: Callable[[], None] = lambda: None,
        on_committed: Callable[[Scored], None] = lambda _: None,
        between_batches: Callable[[], None] = lambda: None,
    ) -> None:
        self._config = config
        self._source = source
        self._pipeline = pipeline
        self._publisher = publisher
        self._telemetry = telemetry
        self._watchdog = watchdog
        self._golden = golden
        self._on_obstacle = on_obstacle
        self._on_poll = on_poll
        self._on_committed = on_committed
        self._between_batches = between_batches
        self._batcher = Batcher(config.max_batch_battles, config.max_batch_tokens, config.linger_ms / 1000)
        self._stopping = StopEvent()
        self._pass_s = self._commit_s = 0.0  # of the batch that was published last

    def stop(self) -> None:
        """Ask the loop to end; callable from any thread and from a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Stream until `stop`, then finish what is in flight within `drain_seconds`.

        Raises:
            PrefstreamError: a lasting fault; nothing is lost, a new process goes on from the committed offsets.
        """
        self._publisher.open()
        free_way = FreeWay(self._find_obstacle, self._config.broker_timeout_s, self._on_obstacle)
        # A transaction waits for its coordinator, for as long as that is away: the loop would say nothing meanwhile.
        with self._watchdog.meanwhile(lambda: free_way.look(self._source.silence)):
            while not self._stopping.is_set():
                self._between_batches()
                self._read()
                self._look_at_answers()
                self._publish()
                self._publisher.commit_positions(at_once=self._source.rebalancing)  # step 6
                free_way.require()
                self._telemetry.report(self._source, self._in_flight, free_way.obstacle)
            self._drain()
            self._publisher.commit_positions(at_once=True)

    @property
    def _in_flight(self) -> int:
        return len(self._pipeline) + (self._publisher.held is not None)

    @property
    def _is_full(self) -> bool:
        """Whether enough is in flight, by batches or by bytes."""
        held = self._publisher.held
        weight_bytes = self._pipeline.weight_bytes + (0 if held is None else held.scored.batch.weight_bytes)
        return self._in_flight >= self._config.max_in_flight or weight_bytes >= self._config.max_in_flight_bytes

    def _read(self) -> None:
        """Step 1: poll, and put closed batches into the pipeline."""
        self._on_poll()
        full = self._is_full
        if full:
            self._source.pause()
        else:
            self._source.resume()
        # Polling keeps us in the group. While paused it returns nothing, unless it brings partitions along.
        events = self._poll(self._wait_for_result(full=full), self._batcher.room)
        passed_over = self._source.passed_over
        if not events and not passed_over and not full and self._awaits_result:
            # What comes meanwhile could not be scored before that result is there, and it is to be published at once.
            self._pipeline.wait_finished(next_look_s(self._pass_s, self._pipeline.head_age_s))
        self._telemetry.battles_consumed(len(events), passed_over)
        for batch in self._batcher.add(events):
            self._pipeline.submit(batch)
        if not full and self._takes_more and (batch_due := self._batcher.due()):
            self._pipeline.submit(batch_due)

    def _wait_for_result(self, *, full: bool) -> float:
        """Wait for a result while enough is in flight; returns how long the next poll may wait, in seconds."""
        held = self._publisher.held
        if full and held is None:
            self._pipeline.wait_finished(IDLE_POLL_S)
            return 0.0
        if self._pipeline and held is None:
            return 0.0  # a result is there, or is waited for as such
        wait_s = BUSY_POLL_S if self._pipeline else IDLE_POLL_S
        dues_s = [
            self._batcher.wait_s() if self._takes_more else None,
            None if held is None else max(0.0, held.due - time.monotonic()),
        ]
        return min([wait_s, *(due_s for due_s in dues_s if due_s is not None)])

    @property
    def _awaits_result(self) -> bool:
        """Whether nothing can go out before a batch is scored."""
        return self._pipeline.scoring and self._publisher.held is None

    @property
    def _takes_more(self) -> bool:
        """Whether a batch that is not full may begin.

        While earlier ones are scored it would begin no sooner. And where a commit takes longer than a pass, what is
        scored goes out first: the batch would be scored during that commit and take another one, and whoever comes
        meanwhile would wait for both. Then they share one.
        """
        if self._pipeline.scoring:
            return False
        return not self._pipeline or self._publisher.held is not None or self._pass_s >= self._commit_s

    def _poll(self, wait_s: float, max_records: int) -> list[Event]:
        if backoff_s := self._source.backoff_s:
            self._stopping.wait(min(backoff_s, IDLE_POLL_S))
            if self._source.backoff_s:
                return []
        with self._watchdog.guard("poll"):
            return self._source.poll(wait_s, max_records=max_records)

    def _find_obstacle(self) -> StreamError | None:
        return self._wrong_answers or self._source.obstacle() or self._publisher.obstacle()

    @property
    def _wrong_answers(self) -> StreamError | None:
        """Why what is scored must not be published; None where nothing is known against it."""
        return None if self._golden is None else self._golden.obstacle

    def _look_at_answers(self) -> None:
        """Have the panel checked when it is time, best while there is nothing to do."""
        if self._golden is None:
            return
        self._golden.turn(idle=not self._in_flight and self._batcher.wait_s() is None)
        if self._golden.obstacle:
            self._stopping.wait(BUSY_POLL_S)  # results are there, and nobody takes them

    def _publish(self) -> None:
        """Steps 3 to 5: publish scored batches, in order, one that is held first."""
        while scored := self._next_to_publish():
            published = self._publisher.publish(scored)
            if published is None:
                return
            if published.scored.messages:
                self._telemetry.batch_published(published)
            if published.messages:
                self._pass_s, self._commit_s = published.scored.inference_s, published.commit_s
                self._on_committed(replace(published.scored, messages=published.messages))
        if self._publisher.held is None and self._pipeline.head_age_s > self._config.score_timeout_s:
            raise StalledError(
                f"a batch has been scored for more than {self._config.score_timeout_s:.0f} s; "
                "raise score_timeout_s if the judges are that slow"
            )

    def _next_to_publish(self) -> Scored | None:
        if self._wrong_answers:
            return None
        if held := self._publisher.held:
            return held.scored if time.monotonic() >= held.due else None
        return self._pipeline.take()

    @property
    def _is_hopeless(self) -> bool:
        """Whether nothing that is in flight can go out in the time that a stop has."""
        return self._wrong_answers is not None or isinstance(self._publisher.state, Unsettled)

    def _drain(self) -> None:
        """Finish what is in flight, or give it up: it is scored again by whoever reads on.

        A transaction that is unsettled is left to them, too: the coordinator may be away for longer than we have. So is
        what was scored by a panel that answers wrongly.
        """
        deadline = time.monotonic() + self._config.drain_seconds
        self._source.pause()
        while self._in_flight and not self._is_hopeless and time.monotonic() < deadline:
            self._on_poll()
            if self._publisher.held is None:
                self._pipeline.wait_finished(BUSY_POLL_S)
            if self._source.backoff_s:
                time.sleep(BUSY_POLL_S)  # no record may come, and whoever could stop us has done so
            else:
                self._poll(BUSY_POLL_S if self._publisher.held else 0.0, max_records=1)
            self._publish()
        if self._in_flight:
            log.warning("gave up batches in flight, they will be scored again", batches=self._in_flight)


def next_look_s(pass_s: float, age_s: float) -> float:
    """How long a result is waited for before records are looked for again.

    A look brings what came until the one before it asked. What comes later than that does not join the next batch, and
    waits for another pass: so the last looks before a pass ends, as far as that is known, follow closely on each other.

    Args:
        pass_s: what the last pass took.
        age_s: how long the one that is under way has taken.

    Returns:
        Seconds.
    """
    run_up_s = min(RUN_UP * pass_s, BUSY_POLL_S)
    left_s = pass_s - age_s
    if left_s > run_up_s:
        return min(BUSY_POLL_S, left_s - run_up_s)
    return RUN_UP_POLL_S if left_s > -run_up_s else BUSY_POLL_S
