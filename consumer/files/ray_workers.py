"""Scores chunks by workers of a Ray cluster, each a process with the panel of its own.

This process reads and writes, the workers score. What a row is can't be told from the middle of a file: a quote that
is left open in CSV decides about the lines behind it, and every row is known by its line. So Ray's own readers, which
cut files into blocks and know neither, are not used: one reader keeps up with some hundred workers of the cheapest
judge. Chunks go to whoever is free and come back in their order, so a file is written as by one process, and a worker
that dies takes nothing with it: Ray starts it anew and gives it the same chunk once more.
"""

from __future__ import annotations

import math
import os
import platform
import threading
import uuid
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.files import ray_cluster
from prefstream.consumer.files.ray_cluster import WorkerNeeds, translated
from prefstream.consumer.files.score import panel_identity
from prefstream.consumer.files.score_chunks import Chunk, ScoredRow, rows_of
from prefstream.consumer.files.score_rows import RowWriter
from prefstream.consumer.process.garbage import loading
from prefstream.schemas import Battle
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.golden.check import require_golden
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.runtime import usable_cores

CHUNKS_A_WORKER: Final = 2
"""In a worker's hands: while it scores one, it tokenises the next."""

WAITING_CHUNKS: Final = 4
"""Per worker, with those in hand: those that are done wait here for the ones before them, which bounds memory."""

RETRIES: Final = 3
"""Of a chunk whose worker died: a node may go away, but rows that kill every worker must not do so for ever."""

_LOOK_EVERY_S: Final = 0.2
"""How soon a stop is heard while workers are busy."""

_TELL_AFTER_S: Final = 30.0
"""Without a worker: long enough to load small judges, short enough for a person who waits."""


@dataclass(frozen=True, slots=True)
class LoadedPanel:
    """What a worker has loaded.

    Attributes:
        identity: `panel_identity` of it.
        trained: as of `Panel`.
        golden: how it answered its golden battles; None where it has none.
    """

    identity: str
    trained: bool
    golden: str | None = None


class ScoringWorker:
    """A panel in a worker's process, loaded when it is first needed: one that is started anew loads it again.

    Two chunks are in it at a time: the judges score one while the other is tokenised.

    Args:
        config: the panel.
        placed: the same, with the devices of this process.
    """

    def __init__(self, config: PanelConfig, placed: PanelConfig) -> None:
        self._config = config
        self._placed = placed
        self._life = f"{platform.node()}/{os.getpid()}/{uuid.uuid4().hex}"
        self._lock = threading.Lock()
        self._loaded: tuple[Panel, LoadedPanel] | None = None

    def load(self) -> LoadedPanel:
        """Load the panel.

        Raises:
            ConfigError: the panel's files are wrong, on this node.
            LoadError: a judge can't be loaded here, or the panel does not give the answers of its golden set.
        """
        return self._panel()[1]

    def score(
        self, battles: Sequence[tuple[Battle, int]], rows: RowWriter, identity: str
    ) -> tuple[list[ScoredRow], str]:
        """Score a chunk.

        Args:
            battles: with their lines.
            rows: makes the lines of the output.
            identity: what the panel must be.

        Returns:
            What became of each battle, and a name for this life of the worker.

        Raises:
            StreamError: the panel is another one.
            JudgeFaultError: the panel can't answer.
        """
        panel, loaded = self._panel()
        refuse_other_panel(loaded, identity)
        answers = panel.score_encoded(panel.encode([battle for battle, _ in battles]))
        return rows_of(rows, battles, answers), self._life

    def _panel(self) -> tuple[Panel, LoadedPanel]:
        with self._lock:
            if self._loaded is None:
                with loading(self._placed):
                    panel = load_panel(self._placed)
                try:
                    report = require_golden(panel)
                except BaseException:
                    panel.close()
                    raise
                golden = None if report is None else report.summary
                self._loaded = panel, LoadedPanel(panel_identity(self._config, panel), panel.trained, golden)
            return self._loaded


def refuse_other_panel(loaded: LoadedPanel, identity: str) -> None:
    """Refuse a worker whose answers would differ from another one's.

    Raises:
        StreamError: it has loaded another panel.
    """
    if loaded.identity != identity:
        raise StreamError(
            "two workers have loaded different panels: every node needs the same files, the same prefstream, and the "
            "same kind of device"
        )


@dataclass(slots=True)
class _Worker:
    actor: Any
    is_loaded: bool = False
    in_hand: int = 0
    life: str | None = None


@dataclass(slots=True)
class _Sent:
    """A chunk on its way; without `answer` there is nothing to score in it."""

    chunk: Chunk
    worker: _Worker
    answer: Any = None
    is_done: bool = True


class RayWorkers:
    """Implements `ChunkScorer`. A context manager: enters a cluster, and leaves no worker behind.

    Args:
        config: the panel; its files must be at the same paths on every node.
        address: of the cluster; None starts one on this machine.
        workers: how many; None as many as the cluster has room for.
        cpus: of each worker.
        gpus: likewise; None by the devices of the panel.
        say: told what is worth a line.
    """

    def __init__(
        self,
        config: PanelConfig,
        *,
        address: str | None = None,
        workers: int | None = None,
        cpus: float = 1.0,
        gpus: float | None = None,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._address = address
        self._count = workers
        self._cpus = cpus
        self._gpus = gpus
        self._say = say
        self._workers: list[_Worker] = []
        self._loads: dict[Any, _Worker] = {}
        self._answers: dict[Any, _Sent] = {}
        self._panel = LoadedPanel("", trained=True)

    @property
    def identity(self) -> str:
        """As of `ChunkScorer`."""
        return self._panel.identity

    @property
    def trained(self) -> bool:
        """As of `Panel`."""
        return self._panel.trained

    def __enter__(self) -> Self:
        """Start the workers, and wait until the first one has loaded its panel.

        Raises:
            MissingExtraError: Ray is not installed.
            StreamError: the cluster can't be used.
            UsageError: it has no room for a worker.
            ConfigError: the panel's files are wrong, on the worker's node.
            LoadError: a judge can't be loaded there, or the panel does not give the answers of its golden set.
        """
        with ExitStack() as entering:
            asked = math.ceil((self._count or 0) * self._cpus)
            self._ray = entering.enter_context(ray_cluster.connected(self._address, max(usable_cores(), asked)))
            entering.callback(self._end_workers)
            with translated(self._ray):
                self._start()
            self._open = entering.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self) -> None:
        gpus = ray_cluster.gpus_of(self._config, self._ray) if self._gpus is None else self._gpus
        needs = WorkerNeeds(self._cpus, gpus)
        placed = ray_cluster.placed(self._config, gpus)
        fitting = ray_cluster.room(self._ray, needs)
        if not fitting and (self._count is None or self._address is None):
            raise UsageError(
                f"no node of the Ray cluster has room for a worker of {needs}: change --worker-cpus, --worker-gpus or "
                "the panel's devices"
            )
        count = self._count or fitting
        self._say(f"{count} workers of {needs} each" + (f"; there is room for {fitting}" if fitting < count else ""))
        actor = self._ray.remote(ScoringWorker).options(
            num_cpus=needs.cpus,
            num_gpus=needs.gpus,
            max_concurrency=CHUNKS_A_WORKER,
            max_restarts=-1,
            max_task_retries=RETRIES,
        )
        for _ in range(count):
            worker = _Worker(actor.remote(self._config, placed))
            self._workers.append(worker)
            self._loads[worker.actor.load.remote()] = worker
        if not self._look(_TELL_AFTER_S):
            self._say(f"waiting: no worker has loaded its panel yet, or the cluster has no room for one of {needs}")
            self._look(None)

    def _end_workers(self) -> None:
        # Those of a process that is gone end by themselves.
        for worker in self._workers:
            self._ray.kill(worker.actor)

    def score(
        self, chunks: Iterator[Chunk], stop: threading.Event
    ) -> Generator[tuple[Chunk, Sequence[ScoredRow]], None, None]:
        """As `ChunkScorer`: when stopped, what came back is given, and what workers have in hand is not waited for.

        Raises:
            StreamError: a worker died again and again over the same rows, or the cluster is gone.
            JudgeFaultError: a worker's panel can't answer.
        """
        sent: deque[_Sent] = deque()
        more = True
        with translated(self._ray):
            while True:
                more = more and self._send(chunks, sent)
                if sent and sent[0].is_done:
                    yield self._answer(sent.popleft())
                elif stop.is_set() or not (more or sent):
                    return
                else:
                    self._look(_LOOK_EVERY_S)

    def _send(self, chunks: Iterator[Chunk], sent: deque[_Sent]) -> bool:
        """Give chunks to workers that are free, as long as there are both; False where no chunk is left.

        Workers may have some in hand of a run that was stopped before.
        """
        while len(sent) < WAITING_CHUNKS * len(self._workers):
            worker = min((worker for worker in self._workers if worker.is_loaded), key=lambda worker: worker.in_hand)
            if worker.in_hand == CHUNKS_A_WORKER:
                return True
            if (chunk := next(chunks, None)) is None:
                return False
            battles = chunk.battles
            if not battles:
                sent.append(_Sent(chunk, worker))
                continue
            answer = worker.actor.score.remote(battles, chunk.rows, self.identity)
            worker.in_hand += 1
            self._answers[answer] = _Sent(chunk, worker, answer, is_done=False)
            sent.append(self._answers[answer])
        return True

    def _answer(self, sent: _Sent) -> tuple[Chunk, Sequence[ScoredRow]]:
        if sent.answer is None:
            return sent.chunk, ()
        rows, life = self._ray.get(sent.answer)
        if sent.worker.life not in {None, life}:
            self._say("a worker died; Ray started it anew, and what it had in hand was scored again")
        sent.worker.life = life
        return sent.chunk, rows

    def _look(self, timeout_s: float | None) -> bool:
        """Wait until a worker is loaded or done with a chunk; False where none is in that time."""
        ready, _ = self._ray.wait([*self._answers, *self._loads], timeout=timeout_s)
        for reference in ready:
            if reference in self._loads:
                worker = self._loads.pop(reference)
                loaded = self._ray.get(reference)
                if not any(other.is_loaded for other in self._workers):
                    self._panel = loaded
                    if loaded.golden is not None:
                        self._say(f"the first worker's {loaded.golden}")
                refuse_other_panel(loaded, self.identity)
                worker.is_loaded = True
            else:
                sent = self._answers.pop(reference)
                sent.is_done = True
                sent.worker.in_hand -= 1
        return bool(ready)
