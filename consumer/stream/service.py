"""One running service: builds every part of the stream in order, runs it, takes it down again in reverse.

Cheap checks come first: a wrong topic name is told before minutes are spent on loading judges, and the group is
joined only when there is somebody to judge.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import structlog

from prefstream.consumer.client.clients import make_group_consumer, make_transactional_producer
from prefstream.consumer.client.connection_errors import explain, overheard
from prefstream.consumer.client.groups.members import hosts_of_others, remove_static_member
from prefstream.consumer.client.instance import InstanceName, client_id
from prefstream.consumer.client.protocols import GroupConsumer
from prefstream.consumer.client.topics import require_topics
from prefstream.consumer.client.watchdog import Watchdog, end_process
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import FencedError, StreamError
from prefstream.consumer.observe.health import HealthServer
from prefstream.consumer.observe.logs import adopt_library_loggers
from prefstream.consumer.observe.stoppable import StoppableService
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.observe.summary import summary
from prefstream.consumer.panels.cutover import CutOver
from prefstream.consumer.panels.golden_watch import GoldenWatch
from prefstream.consumer.panels.loading import OnePanel, PanelLoader
from prefstream.consumer.panels.standing import Standing, follow_choices, load_standing
from prefstream.consumer.schema_registry.client import preference_frame
from prefstream.consumer.stream.choice.review import ReviewRule
from prefstream.consumer.stream.lost_offsets import find_starts
from prefstream.consumer.stream.messages import Composer
from prefstream.consumer.stream.pipeline import Pipeline, Scored
from prefstream.consumer.stream.publisher import Publisher
from prefstream.consumer.stream.shadow import ShadowRule
from prefstream.consumer.stream.sink import Sink
from prefstream.consumer.stream.source import Source
from prefstream.consumer.stream.start_checks import require_settings_taken
from prefstream.consumer.stream.stream import Stream
from prefstream.consumer.stream.telemetry import Telemetry, describe_judges
from prefstream.scoring.extras import require
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.version import own_version

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from prefstream.consumer.observe.traces.tracing import Tracing

log = structlog.get_logger(__name__)

LIVENESS_GRACE_S: Final = 15.0
"""Over the broker time-out: the watchdog should end a stuck process first, because it says where it hung."""


READY_WITHIN_S: Final = 10.0
"""A turn of the loop takes less, but for a call that waits for brokers: a coordinator's failover takes about 9 s."""


class Service(StoppableService):
    """The service behind `prefstream run` and `prefstream demo`.

    Args:
        config: the settings.
        panels: loads the judges, before the group is joined, and whatever is chosen later on; or makes the one panel
            that answers.
        on_committed: called with each batch once readers can see it, in the stream's thread.
        on_stall: called when a broker call hangs, with its name and what that means; ends the process unless a test
            wants to live on.

    Attributes:
        metrics: what was counted.
        http_url: where `/metrics` and the probes are answered; None before that, and without.
        gave_up: once `run` has ended: whether a batch was still being scored when the time to drain was over. Its
            thread can't be interrupted and would hold the interpreter up.
    """

    def __init__(
        self,
        config: StreamConfig,
        panels: PanelLoader | Callable[[], Panel],
        *,
        on_committed: Callable[[Scored], None] = lambda _: None,
        on_stall: Callable[[str, str], None] = end_process,
    ) -> None:
        super().__init__()
        self.metrics = StreamMetrics("shadow" if config.shadow else "serving")
        self.metrics.watch_readiness(lambda: self.health.ready)
        self.http_url: str | None = None
        self.gave_up = False
        self._config = config
        self._loader = panels if isinstance(panels, PanelLoader) else OnePanel(panels)
        self._on_committed = on_committed
        self._on_stall = on_stall
        self._stream: Stream | None = None

    @property
    def streaming(self) -> bool:
        """Whether battles may be in flight; not while judges are being loaded."""
        return self._stream is not None

    def stop(self, by: str = "the caller") -> None:
        """As `StoppableService.stop`; batches in flight are finished within the time to drain."""
        super().stop(by)
        if self._stream:
            self._stream.stop()

    def _figures(self) -> Mapping[str, object]:
        """What it did, and how many battles it read and leaves to whoever reads on."""
        done = self.metrics.totals()
        return summary(StreamMetrics().totals(), done, self.metrics.ages) | {"given_up": done.unanswered}

    def _serve(self) -> None:
        """Build the parts, stream, take them down."""
        config = self._config
        log.info(
            "starting",
            version=own_version(),
            panel=config.panel,
            brokers=config.bootstrap_servers,
            topics=_topics(config),
            group=config.group,
        )
        with ExitStack() as stack:
            if config.http:
                server = HealthServer(self.health, self.metrics.registry, host=config.http_host, port=config.http_port)
                self.http_url = stack.enter_context(server).url
            watchdog = stack.enter_context(closing(Watchdog(config.broker_timeout_s, self._on_stall)))
            spans = _open_spans(config, stack)
            with _telling_why(watchdog, "checks of the start", config):
                require_topics(config)
                require_settings_taken(config)
                find_starts(config)  # what it refuses
                frame = preference_frame(config, config.answers_topic)
            self.health.set_not_ready("loading judges")
            standing = Standing(config, self.metrics)
            loaded = load_standing(config, self._loader, standing)
            cut_over = follow_choices(config, self._loader, standing, loaded, stack)
            stack.callback(self._close_panels, cut_over)
            adopt_library_loggers()
            instance = stack.enter_context(InstanceName(config.group, config.instance_id))
            tracing = None if spans is None else stack.enter_context(_tracing(config, instance.name, spans))
            producer = partial(make_transactional_producer, config, instance.name)
            sink = stack.enter_context(
                closing(Sink(producer, config, watchdog, require_topics=partial(require_topics, config)))
            )
            # Asked again: while judges are loaded, which takes minutes, offsets expire and topics are made anew.
            with _telling_why(watchdog, "checks of the start", config):
                starts = find_starts(config)
                consumer: GroupConsumer = make_group_consumer(config, instance.name)
            stack.callback(self._close_consumer, consumer)
            with watchdog.guard("topic metadata"):
                source = Source(
                    consumer,
                    config,
                    self.metrics.records_skipped,
                    starts,
                    takes=rule.takes if (rule := ShadowRule.of(config)) else None,
                    heard=stack.enter_context(overheard("kafka")),
                )
            pipeline = stack.enter_context(
                closing(
                    Pipeline(
                        cut_over.scorer,
                        Composer(config.group, frame=frame),
                        overlap=config.max_in_flight,
                        framing=config.battles_framing,
                        publish_models=config.publish_models,
                        review=ReviewRule.of(config),
                        tracing=tracing,
                    )
                )
            )
            golden = stack.enter_context(
                closing(
                    GoldenWatch(lambda: cut_over.answering, config.golden_every_s, config.score_timeout_s, self.metrics)
                )
            )
            publisher = Publisher(config, source, sink, self.metrics, watchdog)
            self._stream = Stream(
                config,
                source,
                pipeline,
                publisher,
                Telemetry(self.metrics, shadow=config.shadow),
                watchdog,
                golden=golden,
                on_obstacle=self._on_obstacle,
                on_poll=lambda: self.health.beat("stream"),
                on_committed=self._on_committed,
                between_batches=partial(cut_over.turn, pipeline),
            )
            if self._stop.is_set():
                return
            log.info(
                "streaming",
                version=own_version(),
                panel=config.panel,
                judges=describe_judges(cut_over.serving.main.panel),
                topics=_topics(config),
                group=config.group,
                share=config.share if config.shadow else None,
                instance=instance.name,
                http=self.http_url,
            )
            self.health.set_not_ready("joining the group")
            self.health.expect_beat("stream", config.broker_timeout_s + LIVENESS_GRACE_S, READY_WITHIN_S)
            try:
                self._stream.run()
            except FencedError as error:
                raise self._naming_twins(error, instance.name, consumer) from error
            finally:
                self.health.set_not_ready("stopping")
                self.gave_up = len(pipeline) > 0 or cut_over.loading or golden.busy

    def _close_consumer(self, consumer: GroupConsumer) -> None:
        """Leave the group. A static member stays in it: it is expected back, unless it was stopped for good."""
        config, member_id = self._config, consumer.group_metadata().member_id
        consumer.close(autocommit=False)
        if not (self._stop.is_set() and config.leave_on_stop and config.instance_id and member_id):
            return
        try:
            remove_static_member(config, config.group, config.instance_id, member_id)
        except StreamError as error:
            log.warning("still in the group until the session is over", why=str(error))

    def _naming_twins(self, error: FencedError, instance: str, consumer: GroupConsumer) -> FencedError:
        """The error, and the hosts of whoever else is in the group under our name."""
        group = self._config.group
        hosts = hosts_of_others(self._config, group, client_id(group, instance), consumer.group_metadata().member_id)
        return FencedError(f"{error}; {instance} is in the group at {', '.join(hosts)}, too") if hosts else error

    def _close_panels(self, cut_over: CutOver) -> None:
        if not self.gave_up:  # closing waits for the forward pass
            cut_over.close()


@contextmanager
def _telling_why(watchdog: Watchdog, call: str, config: StreamConfig) -> Iterator[None]:
    """A call that bounds itself, of which the log tells if it takes long, with what kafka-python says meanwhile."""
    with overheard("kafka") as heard:

        def why() -> str | None:
            said = explain(heard, config)
            return said and f"no answer from {config.bootstrap_servers}: {said}"

        with watchdog.meanwhile(why), watchdog.guard(call, bounded=False):
            yield


def _open_spans(config: StreamConfig, stack: ExitStack) -> TracerProvider | None:
    """What makes and exports spans, where traces are on; closed with the stack."""
    if not config.traces:
        return None
    require("prefstream run --traces", "traces")
    from prefstream.consumer.observe.traces.export import close_provider, open_provider

    provider = open_provider(config.instance_id, config.max_batch_battles)
    if provider is not None:
        stack.callback(close_provider, provider)
    return provider


def _tracing(config: StreamConfig, instance: str, spans: TracerProvider) -> Tracing:
    from prefstream.consumer.observe.traces.tracing import Tracing

    return Tracing(
        spans,
        config.traces_ratio,
        topic=config.battles_topic,
        group=config.group,
        client_id=client_id(config.group, instance),
    )


def _topics(config: StreamConfig) -> dict[str, str]:
    if config.shadow:
        return {"battles": config.battles_topic, "preferences": config.shadow_topic}
    topics = {
        "battles": config.battles_topic,
        "preferences": config.preferences_topic,
        "dead_letters": config.dead_letters_topic,
    }
    return topics | ({"review": config.review_topic} if config.review_topic else {})
