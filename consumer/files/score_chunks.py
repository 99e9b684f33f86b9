"""Chunks of a file that are scored together, and who scores them: a panel of this process, or workers elsewhere."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from prefstream.consumer.files.score_rows import RowWriter
from prefstream.schemas import Battle, Reason
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.files.rows import FileRecord, RejectedRow
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.panel import EncodedBatch, Panel

ScoredRow: TypeAlias = bytes | RejectedRow
"""What became of a battle: a line of the output, or why no judge could read it."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows that are scored together, all of one file.

    Attributes:
        rows: makes the lines of that file's output.
        records: in the order of the file; none stands for the file's end.
    """

    rows: RowWriter
    records: Sequence[FileRecord[Battle]] = field(repr=False)

    @property
    def battles(self) -> list[tuple[Battle, int]]:
        """Those of its rows that are one, with their lines."""
        return [(record.content, record.line) for record in self.records if isinstance(record.content, Battle)]


class ChunkScorer(Protocol):
    """Who scores chunks.

    Attributes:
        identity: hash of all that decides the answers to the last bit; a run is resumed only with the same.
        trained: as of `Panel`.
    """

    @property
    def identity(self) -> str:
        """As the attribute."""

    @property
    def trained(self) -> bool:
        """As the attribute."""

    def score(
        self, chunks: Iterator[Chunk], stop: threading.Event
    ) -> Generator[tuple[Chunk, Sequence[ScoredRow]], None, None]:
        """Score chunks, and give them back in their order, each with what became of its battles.

        Args:
            chunks: is read by one thread at a time, whichever.
            stop: when set, this ends after the chunk at hand, though more are left.

        Raises:
            JudgeFaultError: the panel can't answer.
        """


class PanelScorer:
    """Scores by a panel of this process: while one chunk is scored, a thread reads and tokenises the next.

    Args:
        panel: stays open.
        identity: `panel_identity` of it.
    """

    def __init__(self, panel: Panel, identity: str) -> None:
        self.identity = identity
        self.trained = panel.trained
        self._panel = panel

    def score(
        self, chunks: Iterator[Chunk], stop: threading.Event
    ) -> Generator[tuple[Chunk, Sequence[ScoredRow]], None, None]:
        """As `ChunkScorer`."""
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as ahead:
            upcoming = ahead.submit(self._read, chunks)
            while read := upcoming.result():
                chunk, encoded = read
                if stop.is_set() and chunk.records:
                    return
                upcoming = ahead.submit(self._read, chunks)
                answers = self._panel.score_encoded(encoded) if encoded else []
                yield chunk, rows_of(chunk.rows, chunk.battles, answers)

    def _read(self, chunks: Iterator[Chunk]) -> tuple[Chunk, EncodedBatch | None] | None:
        """Read and tokenise, on the read-ahead thread. Its calls follow one another, so `chunks` has one user."""
        chunk = next(chunks, None)
        if chunk is None:
            return None
        battles = [battle for battle, _ in chunk.battles]
        return chunk, self._panel.encode(battles) if battles else None


def rows_of(
    rows: RowWriter, battles: Sequence[tuple[Battle, int]], answers: Sequence[PanelAnswer | BattleTooLargeError]
) -> list[ScoredRow]:
    """The lines of answers.

    Args:
        rows: makes them.
        battles: with their lines in the input.
        answers: one a battle.
    """
    return [
        RejectedRow(Reason.TOO_LARGE_FOR_JUDGE, str(answer))
        if isinstance(answer, BattleTooLargeError)
        else rows.row(battle, line, answer)
        for (battle, line), answer in zip(battles, answers, strict=True)
    ]
