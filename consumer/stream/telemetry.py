"""What the stream tells operators: metrics, log lines and traces of each batch, and once a minute what was done."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from prefstream.consumer.client.protocols import TopicPartition
from prefstream.consumer.observe.ages import Ages
from prefstream.consumer.observe.library_noise import NOISE
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.consumer.observe.summary import summary
from prefstream.consumer.stream.messages import Message
from prefstream.consumer.stream.publisher import Published
from prefstream.consumer.stream.source import Source
from prefstream.schemas import Reason
from prefstream.scoring.config import JudgeConfig
from prefstream.scoring.panel.panel import Panel

log = structlog.get_logger(__name__)

REPORT_EVERY_S: Final = 5.0
"""Lag changes slowly, and dashboards read every 15 s or so."""

SUMMARY_EVERY_S: Final = 60.0
"""Who reads a log wants to see that a service lives, idle or not, and 1,440 lines a day can be read through."""


@contextmanager
def judge_loading(judge: JudgeConfig) -> Iterator[None]:
    """A log line before and after the loading of a judge, which may take minutes."""
    log.info("loading judge", judge=judge.name, kind=judge.kind)
    began = time.monotonic()
    yield
    log.info("judge loaded", judge=judge.name, took_s=round(time.monotonic() - began, 1))


def describe_judges(panel: Panel) -> list[dict[str, object]]:
    """The judges of a panel, as a log line names them."""
    return [
        {"name": judge.name, **judge.provenance.model_dump(include=_TELLING, exclude_none=True)}
        for judge in panel.judges
    ]


_TELLING: Final = {"kind", "base", "device", "dtype", "quantization"}
"""What of a judge's provenance an operator wants to see at a start; preferences have all of it."""


class Telemetry:
    """Tells metrics, log and traces what happens. Belongs to the polling thread.

    Args:
        metrics: what operators see.
        clock: monotonic seconds.
        shadow: whether nobody is served.
    """

    def __init__(
        self, metrics: StreamMetrics, clock: Callable[[], float] = time.monotonic, *, shadow: bool = False
    ) -> None:
        self._shadow = shadow
        self._metrics = metrics
        self._clock = clock
        self._report_at = 0.0
        self._told = metrics.totals()
        self._ages = Ages()
        self._tell_at = clock() + SUMMARY_EVERY_S
        self._lagging: set[TopicPartition] = set()

    def battles_consumed(self, count: int, passed_over: int = 0) -> None:
        """So many records were read to be answered, and so many others that a shadow's share did not choose."""
        self._metrics.battles_consumed(count)
        self._metrics.passed_over(passed_over)

    def batch_published(self, published: Published) -> None:
        """A batch is dealt with."""
        scored, messages = published.scored, published.messages
        if scored.trace:
            scored.trace.end({(m.event.record.partition, m.event.record.offset): m.reason for m in messages})
        stale = len(scored.messages) - len(messages)
        self._metrics.dropped_stale(stale)
        if not messages:
            log.info("batch dropped, its partitions moved", battles=stale)
            return
        reasons = Counter(message.reason for message in messages if message.reason is not None)
        self._tell_metrics(published, reasons)
        tell = log.warning if reasons else log.debug
        tell(
            "batch published",
            battles=len(messages),
            preferences=len(messages) - reasons.total(),
            **{"not_scored" if self._shadow else "dead_letters": {str(reason): n for reason, n in reasons.items()}},
            stale=stale,
            inference_s=round(scored.inference_s, 3),
            commit_s=round(published.commit_s, 3),
        )

    def report(self, source: Source, in_flight: int, held_up: str | None = None) -> None:
        """Say how much is in flight, every `REPORT_EVERY_S` how far we are behind, once a minute what was done.

        Args:
            source: tells how far we are behind.
            in_flight: batches that are.
            held_up: by what; None while all is well.
        """
        self._metrics.in_flight(in_flight)
        now = self._clock()
        if now < self._report_at:
            return
        self._report_at = now + REPORT_EVERY_S
        lags = source.lag()
        self._metrics.forget_partitions(self._lagging - lags.keys())
        self._lagging = set(lags)
        for partition, records in lags.items():
            self._metrics.lag(partition.topic, partition.partition, records)
        if now >= self._tell_at:
            self._tell_at = now + SUMMARY_EVERY_S
            before, self._told = self._told, self._metrics.totals()
            ages, self._ages = self._ages, Ages()
            tell = log.info if held_up is None else log.warning
            tell(
                "shadowing" if self._shadow else "serving",
                held_up=held_up,
                **summary(before, self._told, ages),
                lag=sum(lags.values()) if lags else None,
                partitions=len(lags),
                library_lines=NOISE.take(),
            )

    def _tell_metrics(self, published: Published, reasons: Counter[Reason]) -> None:
        scored, messages = published.scored, published.messages
        metrics = self._metrics
        metrics.batch_scored(
            len(scored.messages), scored.padded_tokens, scored.tokenise_s, scored.queue_s, scored.inference_s
        )
        metrics.preferences_published(len(messages) - reasons.total())
        for reason, count in reasons.items():
            metrics.dead_letter(reason, count)
        metrics.reviews_published(sum(message.chosen for message in messages))
        for partition, records in Counter(message.event.partition for message in messages).items():
            metrics.answered(partition.topic, partition.partition, records)
        ages_s = _ages_s(messages)
        self._ages.add(ages_s)
        metrics.batch_committed(published.commit_s, ages_s)
        metrics.disagreements([answer.disagreement for answer in scored.answers])
        for judge in {judge for answer in scored.answers for judge in answer.left_out}:
            metrics.judge_left_out(judge)
        for judge, battles in Counter(judge for answer in scored.answers for judge in answer.recused).items():
            metrics.judge_recused(judge, battles)
        for answer in scored.answers:
            for opinion in answer.judges:
                if cut := opinion.truncation:
                    metrics.truncated(opinion.name, cut.dropped_prompt, cut.dropped_response_a, cut.dropped_response_b)


def _ages_s(messages: Iterable[Message]) -> list[float]:
    """Seconds since each record was written; a record without a timestamp has no age."""
    now_s = time.time()
    return [
        now_s - message.event.record.timestamp / 1000 for message in messages if message.event.record.timestamp >= 0
    ]
