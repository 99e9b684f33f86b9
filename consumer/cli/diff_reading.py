"""What `diff` reads for a person who watches: sides, rows of battles, votes; and what of them could not be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from rich.console import Console

from prefstream.consumer.cli.panel_option import UNTRAINED, panel_config
from prefstream.consumer.cli.quiet import client_silenced
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import FileProgress, RecordProgress
from prefstream.consumer.client.clients import admin_client, make_consumer
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.protocols import Consumer
from prefstream.consumer.client.topics import require_topic
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.diff.files import read_file_answers, read_file_votes, read_rows, score_rows
from prefstream.consumer.diff.sides import FileSide, PanelSide, Side, name_of
from prefstream.consumer.diff.topics import RangeRead, read_topic_answers, read_topic_votes
from prefstream.consumer.errors import UsageError
from prefstream.consumer.process.garbage import loading
from prefstream.consumer.rescore.span import TopicSpan
from prefstream.consumer.votes.file import check_votes_file
from prefstream.consumer.words import counted
from prefstream.schemas import Outcome, Reason
from prefstream.scoring.comparison.answers import AnswerGathering, AnswerTable
from prefstream.scoring.comparison.rows import BattleRows
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.content import ENDINGS
from prefstream.scoring.files.rows import RejectedRow
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel


def file_of(votes: str | None) -> Path | None:
    """The file that an option means; None where it means a topic, or nothing.

    Raises:
        UsageError: it is spelled as files are, and there is none: nobody should look for a broker then.
    """
    if votes is None:
        return None
    path = Path(votes)
    if path.exists():
        return path
    if "@" not in votes and ("/" in votes or path.suffix.lower() in _OF_FILES):
        raise UsageError(f"--votes {votes}: no such file; for a topic of that name write {votes}@earliest..latest")
    return None


_OF_FILES: Final = frozenset({*ENDINGS, ".json", ".parquet", ".gz", ".zst"})


class ClusterReading:
    """The cluster; nobody connects before a topic is read.

    Args:
        config: how to connect.
        stack: closes what was opened.
    """

    def __init__(self, config: StreamConfig, stack: ExitStack) -> None:
        self._config = config
        self._stack = stack
        self._consumer: Consumer | None = None

    @contextmanager
    def of(self, topic: str) -> Iterator[Consumer]:
        """A consumer without a group; what goes wrong while it reads a topic is told in our words.

        Args:
            topic: that is read; it must exist.

        Raises:
            TopicMissingError: it does not.
            StreamError: no broker answers, or it refuses.
        """
        with client_silenced(), _translator(topic).translating():
            with admin_client(self._config) as admin:
                require_topic(self._config, admin, topic, "READ")
            if self._consumer is None:
                made = make_consumer(self._config, max_unpacked_bytes=self._config.max_unpacked_bytes)
                self._consumer = self._stack.enter_context(closing(made))
            yield self._consumer


class SideReading:
    """Reads sides, and what is told of their battles beside them.

    Args:
        console: for progress, and for what can't be used.
        cluster: where topics are.
        battles: rows of the battles; None where none were named.
        chunk_rows: rows that a panel scores together.
    """

    def __init__(self, console: Console, cluster: ClusterReading, battles: Path | None, chunk_rows: int) -> None:
        self.rows = BattleRows()
        self.rejected = (0, 0)
        self._console = console
        self._cluster = cluster
        self._battles = battles
        self._chunk_rows = chunk_rows
        self._others_rejected = 0

    @property
    def any_rejected(self) -> bool:
        """Whether anything that was read could not be used."""
        return any((*self.rejected, self._others_rejected))

    def tables(self, left: Side, right: Side) -> tuple[AnswerTable, AnswerTable]:
        """The answers of both; what is there is read before anybody is asked.

        Raises:
            PrefstreamError: one can't be read, or not be asked.
        """
        for side in (left, right):
            if isinstance(side, PanelSide):
                self._rows_for(side)
        if isinstance(left, PanelSide) and not isinstance(right, PanelSide):
            (other, rejected_right), (one, rejected_left) = self.answers(right), self.answers(left)
        else:
            (one, rejected_left), (other, rejected_right) = self.answers(left), self.answers(right)
        self.rejected = (rejected_left, rejected_right)
        if self._battles is not None and not len(self.rows):
            with FileProgress(self._console, self._battles, verb="reading") as progress:
                self._others_rejected += read_rows(self._battles, self.rows, progress)
        return one, other

    def check_votes(self, where: str) -> None:
        """Find what is wrong with where votes are to come from, before a panel scores for hours.

        Args:
            where: a file, a topic, or a range of one.

        Raises:
            PrefstreamError: there is no such file or topic, or it can't be read.
        """
        path = file_of(where)
        if path is not None:
            check_votes_file(path)
            return
        with self._cluster.of(_span_of_votes(where).topic):
            pass

    def votes(self, where: str, wanted: set[str]) -> dict[str, list[Outcome]]:
        """What people said, by battle.

        Args:
            where: a file, a topic, or a range of one.
            wanted: ids of the battles.

        Raises:
            PrefstreamError: it can't be read.
        """
        path = file_of(where)
        if path is not None:
            with FileProgress(self._console, path, verb="reading") as rows_read:
                said, rejected = read_file_votes(path, wanted, rows_read)
            self._others_rejected += rejected
            return said
        span = _span_of_votes(where)
        with self._cluster.of(span.topic) as consumer, _records_read(self._console, span) as progress:
            said, read = read_topic_votes(consumer, span, wanted, progress)
        self._others_rejected += read.rejected
        self._tell_deleted(span, read)
        return said

    def answers(self, side: Side) -> tuple[AnswerTable, int]:
        """The answers of a side, and how many rows or records hold none.

        Raises:
            PrefstreamError: they can't be had.
        """
        gathering = AnswerGathering(printable(name_of(side)))
        if isinstance(side, TopicSpan):
            with self._cluster.of(side.topic) as consumer, _records_read(self._console, side) as progress:
                read = read_topic_answers(consumer, side, gathering, progress)
            self._tell_deleted(side, read)
            rejected = read.rejected
        elif isinstance(side, FileSide):
            with FileProgress(self._console, side.path, verb="reading") as rows_read:
                rejected = read_file_answers(side.path, gathering, rows_read)
        else:
            rejected = self._ask(side, self._rows_for(side), gathering)
        return gathering.table(), rejected

    def _rows_for(self, side: PanelSide) -> Path:
        if self._battles is None:
            raise UsageError(f"{side.path} is a panel, which needs battles to answer: name a file by --battles")
        return self._battles

    def _ask(self, side: PanelSide, battles: Path, gathering: AnswerGathering) -> int:
        with loaded(side.path, self._console) as judges, FileProgress(self._console, battles, verb="scoring") as told:
            observer = _ReadBefore(told) if len(self.rows) else told
            return score_rows(battles, judges, gathering, self.rows, observer, chunk_rows=self._chunk_rows)

    def _tell_deleted(self, span: TopicSpan, read: RangeRead) -> None:
        if read.deleted:
            say(self._console, f"{span.text}: {counted(read.deleted, 'offset')} of the range are deleted already")


@dataclass(frozen=True, slots=True)
class _ReadBefore:
    """Of a file that is read once more, for another panel: what its rows have wrong was told the first time."""

    progress: FileProgress

    def rejected(self, line: int, row: RejectedRow) -> None:
        if row.reason == Reason.TOO_LARGE_FOR_JUDGE:
            self.progress.rejected(line, row)

    def warned(self, line: int, warning: str) -> None:
        """Nothing: it was told."""

    def advanced(self, done_bytes: int, rows: int) -> None:
        self.progress.advanced(done_bytes, rows)


@contextmanager
def loaded(panel: Path, console: Console) -> Iterator[Panel]:
    """A panel, loaded; closed at the end.

    Args:
        panel: its file, or `demo`.
        console: for what is being loaded.

    Raises:
        ConfigError: the panel file is wrong.
        LoadError: a judge can't be loaded.
    """
    tell = partial(say, console)
    config = panel_config(panel, tell)
    with loading(config):
        made = load_panel(config, say=tell)
    with made as judges:
        if not judges.trained:
            tell(UNTRAINED)
        yield judges


def _records_read(console: Console, span: TopicSpan) -> RecordProgress:
    return RecordProgress(console, verb=f"reading {span.topic}")


def _span_of_votes(where: str) -> TopicSpan:
    return TopicSpan.parse(where if "@" in where else f"{where}@earliest..latest")


def _translator(topic: str) -> Translator:
    return Translator(
        f"reading {topic}",
        acls=lambda _: f"Read on topic {topic}",
        remedies={Meaning.PASSING: "the partition's leader does not answer; run the same again"},
    )
