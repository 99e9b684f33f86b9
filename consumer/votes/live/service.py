"""Live calibration as a service: follows votes and preferences, and lets the panel's calibration follow the votes.

It keeps nothing: started again it reads both topics as far back as its window goes, and what was chosen, and when,
stands on the panels topic. Killed at any moment it has published a choice or it has not.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from prefstream.consumer.board.ingest.decode import decode
from prefstream.consumer.board.ingest.following import following
from prefstream.consumer.board.ingest.source import TIMEOUT_MS, BoardSource, Polled
from prefstream.consumer.board.ingest.sparingly import Sparingly
from prefstream.consumer.board.store.records import StoredOffset
from prefstream.consumer.client.acl import calibrating_operations
from prefstream.consumer.client.kafka_errors import Translator
from prefstream.consumer.client.offsets import spans_since
from prefstream.consumer.client.protocols import GroupConsumer
from prefstream.consumer.client.topics import find_partitions
from prefstream.consumer.client.values import place_of
from prefstream.consumer.client.watchdog import end_process
from prefstream.consumer.errors import NotAuthorizedError, StreamError
from prefstream.consumer.observe.health import HealthServer
from prefstream.consumer.observe.stoppable import StoppableService
from prefstream.consumer.panels.choosing import first_choice
from prefstream.consumer.panels.loading import PanelLoader
from prefstream.consumer.recalibrate_config import RecalibrateConfig
from prefstream.consumer.stream.free_way import FreeWay
from prefstream.consumer.votes.live.chooser import OUTCOMES, LiveChooser, TopicChoices, find_served
from prefstream.consumer.votes.live.join import UNCOUNTED, LiveJoin
from prefstream.consumer.votes.live.metrics import LiveMetrics
from prefstream.scoring.calibration.live import LiveCalibrator, LiveRules

log = structlog.get_logger(__name__)

AGAIN_S: Final = 30.0
"""Before the next look where the panels topic could not be read or written."""

_MS: Final = timedelta(milliseconds=1)


class LiveCalibration(StoppableService):
    """Follows votes, in the thread that calls `run`.

    Args:
        config: what is read, what is asked of a fit.
        loader: reads panel files.
        dry_run: only tell.
        on_stall: called when a broker call hangs; ends the process unless a test wants to live on.

    Attributes:
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
        super().__init__()
        self.metrics = LiveMetrics(OUTCOMES, UNCOUNTED)
        self._config = config
        self._loader = loader
        self._dry_run = dry_run
        self._on_stall = on_stall
        self._window_ms = config.window // _MS
        self._join = LiveJoin(self._window_ms, config.recalibrate_max_join_rows)
        self._calibrator = LiveCalibrator(rules_of(config), config.recalibrate_voter_votes)
        choices = TopicChoices(config, config.group_id)
        self._chooser = LiveChooser(self._calibrator, loader, choices, config.group_id, self.metrics, dry_run=dry_run)
        self._look_at = 0.0
        self._bad = Sparingly("records that are no preferences, or no votes, skipped")

    def _serve(self) -> None:
        config = self._config
        config.require_panel()
        if config.panel is not None:
            # What is wrong with the panel's file is told before anything is read.
            find_served(self._loader, first_choice(config.group_id, datetime.now(UTC)))
        server = HealthServer(
            self.health, self.metrics.registry, host=config.recalibrate_http_host, port=config.recalibrate_http_port
        )
        with (
            server,
            following(
                config,
                self._begin,
                needed=calibrating_operations(config, publishes=not self._dry_run),
                broker_timeout_s=config.broker_timeout_s,
                on_stall=self._on_stall,
                client_id="prefstream-recalibrate",
            ) as topics,
        ):
            source = topics.source
            way = FreeWay(source.obstacle, config.broker_timeout_s, self._on_obstacle)
            log.info("following", topics=[config.preferences_topic, config.votes_topic], group=config.group_id)
            unread = source.unread()
            caught_up = False
            while not self._stop.is_set():
                self._take_in(topics.poll(), source)
                way.require()
                if not caught_up:
                    done, every = source.done(unread)
                    caught_up = done == every
                if caught_up:
                    with topics.watchdog.guard("choosing"):
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
        """Look, where it is time; a panels topic that is away for a while is no reason to end, a missing right is."""
        if time.monotonic() < self._look_at:
            return
        try:
            self._chooser.turn()
        except NotAuthorizedError:
            raise
        except StreamError as error:
            self._look_at = time.monotonic() + AGAIN_S
            log.warning("no decision", why=str(error))
            self.metrics.decided("failed", None, None)


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
