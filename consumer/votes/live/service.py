"""Live calibration as a service: follows votes and preferences, and lets the panel's calibration follow the votes.

It keeps nothing: started again it reads both topics as far back as its window goes, and what was chosen, and when,
stands on the panels topic. Killed at any moment it has published a choice or it has not.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from prefstream.consumer.board.ingest.decode import decode
from prefstream.consumer.board.ingest.source import TIMEOUT_MS, BoardSource, Polled
from prefstream.consumer.board.ingest.sparingly import Sparingly
from prefstream.consumer.board.store.records import StoredOffset
from prefstream.consumer.client.acl import calibrating_operations
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.connection_errors import overheard
from prefstream.consumer.client.kafka_errors import Translator
from prefstream.consumer.client.offsets import spans_since
from prefstream.consumer.client.protocols import GroupConsumer
from prefstream.consumer.client.topics import find_partitions, require_topics
from prefstream.consumer.client.values import place_of
from prefstream.consumer.client.watchdog import Watchdog, end_process
from prefstream.consumer.errors import StreamError
from prefstream.consumer.observe.health import HealthServer, HealthState
from prefstream.consumer.panels.choosing import first_choice
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.consumer.stream.free_way import FreeWay
from prefstream.consumer.votes.live.chooser import OUTCOMES, LiveChooser, TopicChoices, find_served
from prefstream.consumer.votes.live.join import UNCOUNTED, LiveJoin
from prefstream.consumer.votes.live.metrics import LiveMetrics
from prefstream.scoring.calibration.live import LiveCalibrator, LiveRules

log = structlog.get_logger(__name__)

POLL_S: Final = 0.2
"""How soon a stop is heard while nothing comes."""

MAX_RECORDS: Final = 1_000

METADATA_MAX_AGE_MS: Final = 10_000
"""New partitions are found this soon."""

AGAIN_S: Final = 30.0
"""Before the next look where the panels topic could not be read or written."""

_MS: Final = timedelta(milliseconds=1)


class LiveCalibration:
    """Follows votes, in the thread that calls `run`.

    Args:
        config: what is read, what is asked of a fit.
        loader: reads panel files.
        dry_run: only tell.
        on_stall: called when a broker call hangs; ends the process unless a test wants to live on.

    Attributes:
        health: what probes are answered from.
        metrics: what was counted and decided.
    """

    def __init__(
        self,
        config: RecalibrateConfig,
        loader: PanelLoader,
        *,
        dry_run: bool = False,
        on_stall: Callable[[str, str], None] = end_process,
    ) -> None:
        self.health = HealthState()
        self.metrics = LiveMetrics(OUTCOMES, UNCOUNTED)
        self._config = config
        self._loader = loader
        self._dry_run = dry_run
        self._on_stall = on_stall
        self._stop = threading.Event()
        self._window_ms = config.window // _MS
        self._join = LiveJoin(self._window_ms, config.recalibrate_max_join_rows)
        self._calibrator = LiveCalibrator(rules_of(config), config.recalibrate_voter_votes)
        choices = TopicChoices(config, config.group_id)
        self._chooser = LiveChooser(self._calibrator, loader, choices, config.group_id, self.metrics, dry_run=dry_run)
        self._look_at = 0.0
        self._began = time.monotonic()
        self._ended_by = "the caller"
        self._told_end = False
        self._bad = Sparingly("records that are no preferences, or no votes, skipped")

    def stop(self, by: str = "the caller") -> None:
        """Ask it to return; callable from any thread and from a signal handler.

        Args:
            by: who asks, such as `SIGTERM`; the log tells it.
        """
        self._ended_by = by
        self._stop.set()

    def run(self) -> None:
        """Follow until `stop`.

        Raises:
            PrefstreamError: what can't be mended from inside.
        """
        try:
            self._follow()
        except Exception as error:
            self._ended_by = type(error).__name__
            raise
        finally:
            self.tell_end()

    def tell_end(self) -> None:
        """Log what ended it. Once: `run` does it last; who ends the process before that does it first."""
        if not self._told_end:
            self._told_end = True
            log.info("stopped", by=self._ended_by, after_s=round(time.monotonic() - self._began, 1))

    def _follow(self) -> None:
        config = self._config
        if config.panel is not None:
            # What is wrong with the panel's file is told before anything is read.
            find_served(self._loader, first_choice(config.group_id, datetime.now(UTC)))
        with ExitStack() as stack:
            server = HealthServer(
                self.health,
                self.metrics.registry,
                host=config.recalibrate_http_host,
                port=config.recalibrate_http_port,
            )
            stack.enter_context(server)
            watchdog = stack.enter_context(closing(Watchdog(config.broker_timeout_s, self._on_stall)))
            heard = stack.enter_context(overheard("kafka"))
            with watchdog.guard("checks of the start", bounded=False):
                for operations in calibrating_operations(config, publishes=not self._dry_run):
                    require_topics(config, operations)
                consumer: GroupConsumer = stack.enter_context(
                    closing(
                        make_consumer(
                            config, client_id="prefstream-recalibrate", metadata_max_age_ms=METADATA_MAX_AGE_MS
                        )
                    )
                )
                source = BoardSource(consumer, config, self._begin(consumer), heard=heard)
            way = FreeWay(source.obstacle, config.broker_timeout_s, self._on_obstacle)
            log.info("following", topics=[config.preferences_topic, config.votes_topic], group=config.group_id)
            unread = source.unread()
            caught_up = False
            while not self._stop.is_set():
                with watchdog.guard("polling"):
                    polled = source.poll(POLL_S, MAX_RECORDS)
                self._take_in(polled, source)
                way.require()
                if not caught_up:
                    done, every = source.done(unread)
                    caught_up = done == every
                if caught_up:
                    with watchdog.guard("choosing"):
                        self._choose()

    def _begin(self, consumer: GroupConsumer) -> list[StoredOffset]:
        """Where reading begins: at the first record within the window."""
        config = self._config
        reading = Translator(f"reading {config.preferences_topic} and {config.votes_topic}", otherwise=StreamError)
        since = int(time.time() * 1000) - self._window_ms
        with reading.translating():
            partitions = [
                one
                for name in (config.preferences_topic, config.votes_topic)
                for one in find_partitions(consumer, name)
            ]
            begins = consumer.beginning_offsets(partitions, timeout_ms=TIMEOUT_MS)
            ends = consumer.end_offsets(partitions, timeout_ms=TIMEOUT_MS)
            every = {one: range(begins[one], ends[one]) for one in partitions}
            spans = spans_since(consumer, every, since, timeout_ms=TIMEOUT_MS)
        return [StoredOffset(one.topic, one.partition, None, span.start) for one, span in spans.items()]

    def _take_in(self, polled: Polled, source: BoardSource) -> None:
        decoded = decode(polled.preferences, polled.votes)
        uncounted: Counter[str] = Counter(polled.counters)
        uncounted["bad_preferences"] += len(decoded.bad_preferences)
        uncounted["bad_votes"] += len(decoded.bad_votes)
        self._calibrator.add(self._join.take(decoded.preferences, decoded.votes, uncounted))
        self._join.give_up(polled.preferences_until, polled.votes_until, uncounted)
        if polled.votes_until is not None:
            self._calibrator.forget_before(polled.votes_until - self._window_ms)
        source.committed(polled.offsets)
        behind = sum(map(len, source.unread_now().values()))
        self.metrics.took_in(len(self._calibrator), self._join.battles, self._join.waiting, behind, uncounted)
        bad = [one.record for one in decoded.bad_preferences] + [one.record for one in decoded.bad_votes]
        if bad:
            self._bad.warn(len(bad), such_as=place_of(bad[0]))

    def _choose(self) -> None:
        """Look, where it is time; a panels topic that is away for a while is no reason to end."""
        if time.monotonic() < self._look_at:
            return
        try:
            self._chooser.turn()
        except StreamError as error:
            self._look_at = time.monotonic() + AGAIN_S
            log.warning("no decision", why=str(error))
            self.metrics.decided("failed", None, None)

    def _on_obstacle(self, obstacle: str | None) -> None:
        if obstacle is None:
            self.health.set_ready()
        else:
            self.health.set_not_ready(obstacle)


def rules_of(config: RecalibrateConfig) -> LiveRules:
    """What is asked of a fit, by the settings."""
    return LiveRules(
        half_life=config.recalibrate_half_life,
        later_votes=config.recalibrate_later_votes,
        every_ms=config.every // _MS,
        weights_from=config.recalibrate_weights_from,
        temperature_factor=config.recalibrate_temperature_factor,
        tie_bias=config.recalibrate_tie_bias,
        weight_share=config.recalibrate_weight_share,
    )
