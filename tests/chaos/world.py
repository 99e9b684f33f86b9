"""What faults strike: the brokers, the processes, the topics, and the records that flow meanwhile."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import tenacity
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.config import StreamConfig
from tests.chaos.fleet import Supervised
from tests.chaos.reader import QUIET, Reader, Sight
from tests.chaos.verifier import EXPECTED, Place, Verdict, read, read_places, verify
from tests.support.kafka.cluster import KafkaCluster
from tests.support.models import make_tiny_panel
from tests.support.priors import write_prior_panel
from tests.support.processes import run_arguments
from tests.support.streams import battle_event, malformed_events

SESSION_MS: Final = 6_000
"""The shortest that Apache Kafka allows: a fault is over sooner."""

POLL_INTERVAL_MS: Final = 8_000
"""Must not be shorter than a session."""

TRANSACTION_MS: Final = 10_000
"""The failover of a coordinator takes 9 s."""

SCORE_S: Final = 20.0
"""A batch takes some milliseconds. Longer than a process is frozen: what it scored meanwhile does not hang."""

RECOVER_S: Final = 150.0
"""Longest wait for all records to be answered after a fault: several time-outs, one after the other."""

REQUEST_S: Final = 30.0
"""Longest wait for an answer of the brokers: a partition without a leader gets one within 9 s."""

SEEN_S: Final = 60.0
"""Longest wait for the reader to see what is committed already; what it does not see then is told at the end."""

MALFORMED_SHARE: Final = 0.1


class World:
    """A group of processes, its topics, and a producer. Use it as a context manager.

    Args:
        bootstrap_servers: the brokers.
        folder: for logs and panel files.
        processes: how many.
        partitions: of the input topic.
        cluster: the brokers' processes, where they may be struck, too.
        embedded: the broker, where it runs in this process and may answer as it is told.
        models: let the first process score with two tiny models instead of a prior.

    Attributes:
        config: of the stream.
        fleet: the processes.
        cluster: as given.
        embedded: as given.
        partitions: of the input topic, now.
        folder: as given.
        load: records of a whole cycle, for faults that multiply it.
        reader: of the output topics.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        folder: Path,
        *,
        processes: int,
        partitions: int,
        cluster: KafkaCluster | None = None,
        embedded: EmbeddedBroker | None = None,
        models: bool = False,
    ) -> None:
        name = f"chaos{time.time_ns():x}"
        self.config = StreamConfig.load(
            bootstrap_servers=bootstrap_servers,
            group_id=name,
            battles_topic=f"{name}.battles",
            preferences_topic=f"{name}.preferences",
            dead_letters_topic=f"{name}.dead-letters",
        )
        self.cluster = cluster
        self.embedded = embedded
        self.produced = 0
        self.load = 0
        self._refused: list[str] = []
        self._deleted: dict[Place, Message] = {}
        self._observer_says = ""
        client = {"bootstrap.servers": bootstrap_servers, **QUIET}
        self._client = client
        self._producer = Producer({**client, "enable.idempotence": True, "message.timeout.ms": 120_000})
        self._observer = Consumer({**client, "group.id": name, "enable.auto.commit": False})
        self._malformed = [value for value, _ in malformed_events(100) if value is not None]
        self.partitions = partitions
        self.folder = folder
        names = [f"p{number}" for number in range(1, processes + 1)]
        self._panels = dict.fromkeys(names, write_prior_panel(folder, seconds_per_batch=0.02))
        if models:
            self._panels[names[0]] = make_tiny_panel(folder / "models", on_judge_failure="degrade")
        self.fleet = [Supervised(name, self.arguments(name), folder) for name in names]
        self._outputs = {self.config.preferences_topic: 3, self.config.dead_letters_topic: 1}
        self.reader = Reader(
            bootstrap_servers, self._outputs, self.config.preferences_topic, produced=lambda: self.produced
        )

    def arguments(self, instance: str) -> list[str]:
        """Those of `prefstream` for the process of this name."""
        return run_arguments(
            self.config,
            self._panels[instance],
            instance_id=instance,
            session_timeout_ms=SESSION_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            transaction_timeout_ms=TRANSACTION_MS,
            broker_timeout_s=60,
            score_timeout_s=SCORE_S,
            max_batch_battles=16,
        )

    def client_id(self, process: Supervised) -> str:
        """The name by which brokers know a process's clients, and its transactional id."""
        return f"{self.config.group_id}-{process.name}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self._observer.close)
            stack.callback(self._kill_all)
            self._create_topics()
            stack.enter_context(self.reader)
            for process in self.fleet:
                process.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def produce(self, count: int, generator: random.Random) -> None:
        """Write records to the input topic, a tenth of them malformed, and wait until the brokers have them all."""
        for _ in range(count):
            is_bad = generator.random() < MALFORMED_SHARE
            value = generator.choice(self._malformed) if is_bad else battle_event(self.produced)
            self._producer.produce(
                self.config.battles_topic,
                value,
                key=f"zqkey-{self.produced}",
                partition=generator.randrange(self.partitions),
                headers=[(EXPECTED, "dead letter" if is_bad else "preference")],
                on_delivery=self._note_refused,
            )
            self.produced += 1
            self._producer.poll(0)

    def flush(self) -> None:
        """Wait until the brokers have every record that was produced."""
        left = self._producer.flush(RECOVER_S)
        assert left == 0, f"{left} records could not be produced"
        assert self._refused == [], "the brokers refused records"

    def pause(self, seconds: float) -> None:
        """Let time pass while the supervisor does its work."""
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition while the supervisor does its work; whether it came to hold."""
        deadline = time.monotonic() + seconds
        while not (holds := condition()) and time.monotonic() < deadline:
            for process in self.fleet:
                process.keep_up()
            self._producer.poll(0)
            time.sleep(0.05)
        return holds

    def wait_answered(self) -> float:
        """Wait until the group has committed everything that was written; how long that took, in seconds.

        Raises:
            AssertionError: it did not in time.
        """
        started = time.monotonic()
        self.flush()
        if not self.wait(lambda: self.lag() == 0, RECOVER_S):
            words = "\n".join(f"--- {process.name}\n{process.last_words()}" for process in self.fleet)
            raise AssertionError(
                f"records by partition that are not answered after {RECOVER_S:.0f} s: {self.lags()}; "
                f"the brokers said last: {self._observer_says}\n{words}"
            )
        return time.monotonic() - started

    def wait_seen(self) -> None:
        """Wait until the reader has seen an answer to every record, for a while."""
        self.wait(lambda: self.reader.seen >= self.produced, SEEN_S)

    def lag(self) -> int | None:
        """Records that were written and are not committed; None while the brokers can't say."""
        lags = self.lags()
        return None if lags is None else sum(lags.values())

    def lags(self) -> dict[int, int] | None:
        """The same by partition, of those that have any."""
        try:
            committed = self._committed()
            ends = [self._observer.get_watermark_offsets(partition, timeout=REQUEST_S)[1] for partition in committed]
        except KafkaException as error:
            self._observer_says = str(error)
            with suppress(KafkaException):  # partitions that had no leader are unknown to it until it is asked again
                self._observer.list_topics(self.config.battles_topic, timeout=REQUEST_S)
            return None
        lags = {
            partition.partition: int(end) - max(0, int(partition.offset))
            for end, partition in zip(ends, committed, strict=True)
        }
        return {number: lag for number, lag in lags.items() if lag}

    @tenacity.retry(
        retry=tenacity.retry_if_exception_type(KafkaException),  # who leads a partition may have changed just now
        wait=tenacity.wait_fixed(1.0),
        stop=tenacity.stop_after_delay(REQUEST_S),
        reraise=True,
    )
    def truncate(self) -> None:
        """Delete from the input topic what the group has committed; the verifier is told what was there."""
        self._deleted |= read_places(self.config.bootstrap_servers, self.config.battles_topic)
        committed = [partition for partition in self._committed() if partition.offset > 0]
        admin = self._admin()  # must outlive what it was asked for
        for future in admin.delete_records(committed).values():
            future.result(REQUEST_S)

    def add_partition(self) -> None:
        """Give the input topic one more partition."""
        self.partitions += 1
        request = NewPartitions(self.config.battles_topic, self.partitions)
        admin = self._admin()
        for future in admin.create_partitions([request]).values():
            future.result(REQUEST_S)
        # Who writes to it and who watches it must know it first.
        for client in (self._producer, self._observer):
            self.wait(partial(self._is_known, client), REQUEST_S)

    def verify(self) -> Verdict:
        """Stop all processes and compare what came out with what went in."""
        for process in self.fleet:
            process.stop()
        config = self.config
        return verify(
            config.bootstrap_servers,
            config.battles_topic,
            config.preferences_topic,
            config.dead_letters_topic,
            self._deleted,
        )

    def look_back(self) -> Sight:
        """What the reader saw, beside what came out in the end."""
        records = (record for topic in self._outputs for record in read(self.config.bootstrap_servers, topic))
        return self.reader.compare(records)

    def _committed(self) -> list[TopicPartition]:
        """The group's offset of every partition of the input topic; negative where there is none."""
        wanted = [TopicPartition(self.config.battles_topic, number) for number in range(self.partitions)]
        committed: list[TopicPartition] = self._observer.committed(wanted, timeout=REQUEST_S)
        return committed

    def _note_refused(self, error: KafkaError | None, _: Message) -> None:
        """Called when the brokers have a record, or will not have it."""
        if error is not None:
            self._refused.append(str(error))

    def _admin(self) -> AdminClient:
        """A new one: an old one may remember leaders that lead no more, and not ask again."""
        return AdminClient(self._client)

    def _is_known(self, client: Producer | Consumer) -> bool:
        """Whether a client knows all partitions of the input topic."""
        topic = self.config.battles_topic
        return len(client.list_topics(topic, timeout=REQUEST_S).topics[topic].partitions) == self.partitions

    def _create_topics(self) -> None:
        topics = {self.config.battles_topic: self.partitions, **self._outputs}
        wanted = [NewTopic(topic, partitions, -1) for topic, partitions in topics.items()]
        admin = self._admin()
        for future in admin.create_topics(wanted).values():
            future.result(REQUEST_S)

    def _kill_all(self) -> None:
        for process in self.fleet:
            process.kill()
