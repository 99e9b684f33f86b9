"""Answers and votes from files, and answers that a panel gives now to the rows of one; no text stays."""

from __future__ import annotations

import itertools
from collections.abc import Collection
from pathlib import Path

from prefstream.consumer.files.observer import FileObserver
from prefstream.consumer.votes.file import read_votes
from prefstream.schemas import Battle, FileSource, Outcome, Reason
from prefstream.scoring.comparison.answers import AnswerGathering
from prefstream.scoring.comparison.rows import BattleRows
from prefstream.scoring.errors import BattleTooLargeError
from prefstream.scoring.evaluation.prediction_files import read_prediction_rows
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.labelled import Label, PerhapsLabelled, read_perhaps_labelled
from prefstream.scoring.files.rows import FileRecord, RejectedRow
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.predict import refuse_left_out


def read_file_answers(path: Path, gathering: AnswerGathering, observer: FileObserver) -> int:
    """Take the answers of a file, as `score` and `rescore` write them.

    Args:
        path: preferences (.jsonl), or Kaggle's submission format (.csv), which says nothing beside id and answer.
        gathering: takes them.
        observer: is told what happens.

    Returns:
        How many rows hold none.

    Raises:
        FileError: the file can't be read.
    """
    rejected = 0
    for rows, record in enumerate(read_prediction_rows(path), start=1):
        if isinstance(record.content, RejectedRow):
            rejected += 1
            observer.rejected(record.line, record.content)
        else:
            gathering.add(record.content.id, record.content.probabilities, record.content.preference)
        observer.advanced(record.done_bytes, rows)
    return rejected


def read_file_votes(
    path: Path, wanted: Collection[str], observer: FileObserver
) -> tuple[dict[str, list[Outcome]], int]:
    """Take votes, or labels; a later one of the same voter on the same battle takes the place of the earlier.

    Args:
        path: rows with an id and what was said.
        wanted: ids of the battles; votes on others are passed over.
        observer: is told what happens.

    Returns:
        What was said, by battle; and how many rows are no vote.

    Raises:
        FileError: the file can't be read.
    """
    votes: dict[str, dict[object, Outcome]] = {}
    rejected = 0
    for rows, record in enumerate(read_votes(path), start=1):
        if isinstance(record.content, RejectedRow):
            rejected += 1
            observer.rejected(record.line, record.content)
        elif (vote := record.content.vote).id in wanted:
            votes.setdefault(vote.id, {})[record.line if vote.voter is None else vote.voter] = vote.outcome
        observer.advanced(record.done_bytes, rows)
    return {battle: list(said.values()) for battle, said in votes.items()}, rejected


def read_rows(path: Path, rows: BattleRows, observer: FileObserver) -> int:
    """Take what rows tell of their battles, and what people said of them.

    Args:
        path: battles, as `score` reads them.
        rows: takes it.
        observer: is told what happens.

    Returns:
        How many rows are no battle.

    Raises:
        FileError: the file can't be read.
    """
    rejected = 0
    for count, record in enumerate(read_perhaps_labelled(path), start=1):
        rejected += _take(record, rows, observer) is None
        observer.advanced(record.done_bytes, count)
    return rejected


def score_rows(
    path: Path,
    panel: Panel,
    gathering: AnswerGathering,
    rows: BattleRows,
    observer: FileObserver,
    *,
    chunk_rows: int,
) -> int:
    """Let a panel answer the rows of a file, a chunk at a time, as `score` does: the same chunks give the same bits.

    Args:
        path: battles, as `score` reads them.
        panel: stays open.
        gathering: takes the answers.
        rows: takes what rows tell of their battles.
        observer: is told what happens.
        chunk_rows: rows that are scored together.

    Returns:
        How many rows are no battle, or one that is too large.

    Raises:
        FileError: the file can't be read.
        JudgeFaultError: the panel can't answer.
    """
    name = printable(path.name)
    rejected = done = 0
    records = read_perhaps_labelled(path)
    while chunk := list(itertools.islice(records, chunk_rows)):
        taken = [(record, battle) for record in chunk if (battle := _take(record, rows, observer)) is not None]
        answers = panel.score_encoded(panel.encode([battle for _, battle in taken])) if taken else []
        refuse_left_out(panel)
        rejected += len(chunk) - len(taken)
        for (record, battle), answer in zip(taken, answers, strict=True):
            if isinstance(answer, BattleTooLargeError):
                rejected += 1
                observer.rejected(record.line, RejectedRow(Reason.TOO_LARGE_FOR_JUDGE, str(answer)))
            else:
                preference = answer.to_preference(battle, FileSource(file=name, line=record.line))
                gathering.add(battle.id, preference.probabilities, preference)
        done += len(chunk)
        observer.advanced(chunk[-1].done_bytes, done)
    return rejected


def _take(record: FileRecord[PerhapsLabelled], rows: BattleRows, observer: FileObserver) -> Battle | None:
    """The battle of a row; None where it is none, which is told."""
    content = record.content
    if isinstance(content, RejectedRow):
        observer.rejected(record.line, content)
        return None
    for warning in record.warnings:
        observer.warned(record.line, warning)
    if isinstance(content.label, RejectedRow):
        observer.warned(record.line, f"the label does not count: {content.label}")
    rows.add(content.battle, content.label.outcome if isinstance(content.label, Label) else None)
    return content.battle
