"""A steady load on every input partition, and when a reader sees the answers of each."""

from __future__ import annotations

import itertools
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, Self

from confluent_kafka import OFFSET_BEGINNING, Consumer, Producer, TopicPartition

from prefstream.consumer.config import StreamConfig
from tests.chaos.world.reader import QUIET
from tests.support.streams import battle_event

LOOK_S: Final = 0.02
"""Between two looks at what has come: how exactly an answer's time is known."""


class Load:
    """Writes a battle to each partition in turn and notes when its answer is there. Use it as a context manager.

    Args:
        config: names the brokers and the topics.
        partitions: of the battles topic, and of the preferences topic.
        rate: battles a second, all partitions together.
    """

    def __init__(self, config: StreamConfig, *, partitions: int, rate: float) -> None:
        self._config = config
        self._partitions = partitions
        self._pause_s = partitions / rate
        self._answers: dict[int, list[float]] = defaultdict(list)
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._write, self._read)]
        self._produced = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()

    @property
    def produced(self) -> int:
        """Battles that were written."""
        return self._produced

    @property
    def answered(self) -> int:
        """Battles of which the reader has seen an answer; one that was seen twice counts twice."""
        with self._lock:
            return sum(map(len, self._answers.values()))

    def is_flowing(self) -> bool:
        """Whether each partition had an answer within the last second."""
        since = time.monotonic() - 1.0
        with self._lock:
            return all(self._answers[number][-1:] > [since] for number in range(self._partitions))

    def longest_silence(self, partitions: Iterable[int], began: float, ended: float) -> float | None:
        """The longest that a reader saw no answer of a partition, in seconds; None without partitions.

        Every partition gets a battle every `partitions / rate` seconds, so that whatever is longer is silence.

        Args:
            partitions: of the battles topic.
            began: when to begin, on the monotonic clock; a silence that began before counts from there.
            ended: when to end.
        """
        with self._lock:
            copies = {number: list(self._answers[number]) for number in partitions}
        gaps = [
            later - earlier
            for times in copies.values()
            for earlier, later in itertools.pairwise([began, *(at for at in times if began < at < ended), ended])
        ]
        return max(gaps, default=None)

    def _write(self) -> None:
        producer = Producer({"bootstrap.servers": self._config.bootstrap_servers, "linger.ms": 5, **QUIET})
        due = time.monotonic()
        while not self._closing.is_set():
            for partition in range(self._partitions):
                producer.produce(self._config.battles_topic, battle_event(self._produced), partition=partition)
                self._produced += 1
            producer.poll(0)
            due += self._pause_s
            self._closing.wait(max(0.0, due - time.monotonic()))
        producer.flush(10.0)

    def _read(self) -> None:
        reader = Consumer(
            {
                "bootstrap.servers": self._config.bootstrap_servers,
                "group.id": f"{self._config.group_id}-reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": int(LOOK_S * 1000),
                **QUIET,
            }
        )
        topic = self._config.preferences_topic
        reader.assign([TopicPartition(topic, number, OFFSET_BEGINNING) for number in range(self._partitions)])
        while not self._closing.is_set():
            answers = [answer for answer in reader.consume(1_000, LOOK_S) if answer.error() is None]
            now = time.monotonic()
            with self._lock:
                for answer in answers:
                    _, partition, _ = dict(answer.headers() or ())["ce_id"].decode().rsplit("/", 2)
                    self._answers[int(partition)].append(now)
        reader.close()
