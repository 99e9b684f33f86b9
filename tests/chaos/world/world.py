"""What faults strike: the brokers, the processes, the topics, and the records that flow meanwhile."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from confluent_kafka import Message

from prefstream.consumer.audit.audit import audit_range
from prefstream.consumer.audit.report import AuditReport
from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.instance import client_id, transactional_id
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.rescore.span import TopicSpan
from tests.chaos.world.admin import REQUEST_S, Admin, patiently
from tests.chaos.world.fleet import Supervised
from tests.chaos.world.reader import QUIET, Reader, Sight
from tests.chaos.world.retries import Retries
from tests.chaos.world.upstream import Upstream
from tests.chaos.world.verifier import Place, Verdict, read, read_places, verify
from tests.support.kafka.cluster import KafkaCluster
from tests.support.models import make_tiny_panel
from tests.support.priors import write_prior_panel
from tests.support.processes import run_arguments

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

REVIEW: Final = {"review_share": 0.3, "review_share_above": 0.3}
"""Enough that most transactions write to all three output topics."""

RETENTION_S: Final = 60.0
"""Longest wait until brokers have looked through their logs for what is too old."""


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
        leavers: whether the second process gives its partitions up when it is stopped; all are static members.
        transactional: whether some of the records come in transactions, and others are aborted.
        review: whether some preferences are for review, too.

    Attributes:
        config: of the stream.
        fleet: the processes.
        cluster: as given.
        embedded: as given.
        partitions: of the input topic, now.
        folder: as given.
        load: records of a whole cycle, for faults that multiply it.
        upstream: who writes the records.
        admin: what operators do to topic and group.
        retries: dead letters sent back.
        reader: of all topics.
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
        transactional: bool = True,
        leavers: bool = True,
        review: bool = True,
    ) -> None:
        name = f"chaos{time.time_ns():x}"
        self.config = StreamConfig.load(
            bootstrap_servers=bootstrap_servers,
            group_id=name,
            battles_topic=f"{name}.battles",
            preferences_topic=f"{name}.preferences",
            dead_letters_topic=f"{name}.dead-letters",
            review_topic=f"{name}.review" if review else None,
        )
        self.cluster = cluster
        self.embedded = embedded
        self.load = 0
        self._deleted: dict[Place, Message] = {}
        self._strikes = 0
        self._strikes_lock = threading.Lock()
        client = {"bootstrap.servers": bootstrap_servers, **QUIET}
        self.upstream = Upstream(client, self.config.battles_topic, transactional=transactional)
        self.admin = Admin(client, self.config.battles_topic, name)
        self.partitions = partitions
        self.folder = folder
        names = [f"p{number}" for number in range(1, processes + 1)]
        self._leavers = names[1:2] if leavers else []
        self._panels = dict.fromkeys(names, write_prior_panel(folder, seconds_per_batch=0.02))
        if models:
            self._panels[names[0]] = make_tiny_panel(folder / "models", on_judge_failure="degrade")
        self.fleet = [Supervised(name, self.arguments(name), folder) for name in names]
        self._outputs = {self.config.preferences_topic: 3, self.config.dead_letters_topic: 1}
        self.retries = Retries(self.config, folder)
        self.reader = Reader(
            bootstrap_servers,
            self.config.battles_topic,
            self._outputs,
            self.config.preferences_topic,
            self.served,
        )

    def arguments(self, instance: str) -> list[str]:
        """Those of `prefstream` for the process of this name."""
        arguments = run_arguments(
            self.config,
            self._panels[instance],
            instance_id=instance,
            session_timeout_ms=SESSION_MS,
            max_poll_interval_ms=POLL_INTERVAL_MS,
            transaction_timeout_ms=TRANSACTION_MS,
            broker_timeout_s=60,
            score_timeout_s=SCORE_S,
            max_batch_battles=16,
            **(REVIEW if self.config.review_topic else {}),
        )
        return [*arguments, *(["--leave-on-stop"] if instance in self._leavers else [])]

    def client_id(self, process: Supervised) -> str:
        """The name by which brokers know a process's clients."""
        return client_id(self.config.group_id, process.name)

    def transactional_id(self, process: Supervised) -> str:
        """The name by which brokers know a process's transactions."""
        return transactional_id(self.config.group_id, process.name)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.admin.close)
            stack.callback(self.upstream.close)
            stack.callback(self._kill_all)
            review = {self.config.review_topic: 2} if self.config.review_topic else {}
            self.admin.create_topics({self.config.battles_topic: self.partitions, **self._outputs, **review})
            stack.enter_context(self.reader)
            self.reader.read_input(self.partitions)
            for process in self.fleet:
                process.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def produce(self, count: int, generator: random.Random) -> None:
        """Write records to the input topic, some in transactions, a tenth of them malformed; aborted ones beside."""
        self.upstream.produce(count, self.partitions, generator)

    @property
    def produced(self) -> int:
        """Records that were written so, as far as they are no longer on their way in a transaction."""
        return self.upstream.produced

    def flush(self) -> None:
        """Wait until the brokers have every record that was produced."""
        written = self.wait(lambda: self.upstream.is_done, RECOVER_S)
        left = self.upstream.plain.flush(RECOVER_S)
        assert written, f"transactions of the upstream did not end: {self.upstream.says}"
        assert left == 0, f"{left} records could not be produced"
        assert not self.upstream.refused, "the brokers refused records"

    def pause(self, seconds: float) -> None:
        """Let time pass while the supervisor does its work."""
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait for a condition while the supervisor does its work; whether it came to hold."""
        deadline = time.monotonic() + seconds
        while not (holds := condition()) and time.monotonic() < deadline:
            for process in self.fleet:
                process.keep_up()
            self.upstream.serve()
            time.sleep(0.05)
        return holds

    def wait_answered(self) -> float:
        """Wait until a reader has seen an answer to everything that was written; how long that took, in seconds.

        Raises:
            AssertionError: it did not in time.
        """
        started = time.monotonic()
        self.flush()
        if not self.wait(self._is_answered, RECOVER_S):
            raise AssertionError(
                f"after {RECOVER_S:.0f} s a reader knows {self.reader.inputs} inputs of {self.produced}, "
                f"{self.reader.unanswered} of them without an answer; the upstream heard {self.upstream.says!r}; {self}"
            )
        return time.monotonic() - started

    def wait_no_lag(self) -> None:
        """Wait until the group stands at the end of every partition, as any other client sees it.

        Behind markers and aborted records, too: where nothing waits, there is no lag.

        Raises:
            AssertionError: it did not in time.
        """
        if not self.wait(lambda: self.lag() == 0, RECOVER_S):
            raise AssertionError(f"the group lags after {RECOVER_S:.0f} s, though all is answered; {self}")

    def lag(self) -> int | None:
        """What was written and is not committed; None while the brokers can't say."""
        lags = self.admin.lags(self.partitions)
        return None if lags is None else sum(lags.values())

    @patiently
    def truncate(self) -> None:
        """Delete from the input topic what the group has committed; reader and verifier are told what was there."""
        committed = self.admin.committed(self.partitions)  # first: what comes meanwhile stays
        self._note_deleted()
        self.admin.delete_before(committed)

    def let_retention_work(self) -> bool:
        """Have the brokers delete the whole input topic by its age; whether they did in time.

        Everything must be answered, and nobody may write meanwhile.
        """
        self._note_deleted()
        self.admin.set_retention(1)
        emptied = self.wait(self._is_empty, RETENTION_S)
        self.admin.set_retention(None)
        return emptied

    def add_partition(self) -> None:
        """Give the input topic one more partition."""
        self.partitions += 1
        self.admin.add_partitions(self.partitions)
        # Who writes to it and who watches it must know it first.
        self.wait(lambda: self.admin.know_partitions(self.partitions, self.upstream.plain), REQUEST_S)
        self.reader.read_input(self.partitions)

    @contextmanager
    def struck(self) -> Iterator[None]:
        """Brokers are not what they should be within the block: that nothing is answered meanwhile is no stall."""
        with self._strikes_lock:
            self._strikes += 1
        try:
            yield
        finally:
            with self._strikes_lock:
                self._strikes -= 1

    def served(self) -> frozenset[int]:
        """Partitions of the input that healthy processes read while no broker is struck; callable from any thread."""
        if self._strikes:
            return frozenset()
        return frozenset().union(*(process.serves() for process in self.fleet))

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
            config.review_topic,
            self._deleted,
            self.retries.group if self.retries.exits else None,
        )

    def audit(self) -> AuditReport:
        """What an operator would be told of all that stands on the topics now."""
        return audit_range(self.config, TopicSpan.parse(f"{self.config.battles_topic}@earliest..latest"))

    def look_back(self) -> Sight:
        """What the reader saw, beside what came out in the end."""
        records = (record for topic in self._outputs for record in read(self.config.bootstrap_servers, topic))
        return self.reader.compare(records)

    def __str__(self) -> str:
        """What there is to say of a run that stands still."""
        words = "\n".join(f"--- {process.name}\n{process.last_words()}" for process in self.fleet)
        return (
            f"lag by partition: {self.admin.lags(self.partitions)}; the brokers said last: {self.admin.says}\n{words}"
        )

    def _is_answered(self) -> bool:
        return self.reader.inputs >= self.produced and self.reader.unanswered == 0

    def _note_deleted(self) -> None:
        """Keep what stands on the input topic, before it is deleted."""
        there = read_places(self.config.bootstrap_servers, self.config.battles_topic)
        self._deleted |= there
        self.reader.note_inputs(there)

    def _is_empty(self) -> bool:
        watermarks = [self.admin.watermarks(number) for number in range(self.partitions)]
        return all(first == end for first, end in watermarks)

    def _kill_all(self) -> None:
        for process in self.fleet:
            process.kill()
        self.retries.kill()
