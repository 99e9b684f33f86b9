"""The board from files, without Kafka: preferences as `score` writes them, and votes.

Preferences of the first version say nothing of who wrote the answers: names, language and style then come from the file
of votes, where its rows hold them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from prefstream.consumer.board.store.facts import require_storable
from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.files.observer import FileObserver
from prefstream.consumer.votes.file import FileVote, read_votes
from prefstream.schemas import ContractError, Preference, Style
from prefstream.schemas.vote import Vote
from prefstream.scoring.files.reading import check_file, read_file
from prefstream.scoring.files.rows import FileRecord, RejectedRow, RowParser
from prefstream.scoring.moments import milliseconds
from prefstream.scoring.style import style_of

BAD_PREFERENCE: Final = "bad_preference"
"""Reason of a row that is no preference."""

BATCH_ROWS: Final = 1_000
"""In one transaction."""


@dataclass(frozen=True, slots=True)
class FedRows:
    """What files held.

    Attributes:
        preferences: rows that are preferences.
        votes: rows that are votes.
        rejected: rows that are neither.
        completed: preferences that got names, language or style from the file of votes.
        unmatched: votes for battles that have no preference here.
    """

    preferences: int
    votes: int
    rejected: int
    completed: int
    unmatched: int


@dataclass(frozen=True, slots=True)
class _Known:
    """What the votes' file says of a battle."""

    model_a: str | None
    model_b: str | None
    language: str | None
    style: Style | None

    def complete(self, said: Preference) -> Preference:
        """The preference, with what it does not say itself; the very same where nothing is to be added.

        One that names its models is left as it is: were only battles with a vote to have a language, they would seem to
        be of another kind than the rest.
        """
        if said.model_a is not None or said.model_b is not None:
            return said
        told = {name: getattr(self, name) for name in ("model_a", "model_b", "language", "style")}
        added = {name: value for name, value in told.items() if value is not None and getattr(said, name) is None}
        return said.model_copy(update=added) if added else said


def check_preferences_file(path: Path) -> None:
    """Find what makes the whole file unusable, before anything costly starts.

    Raises:
        FileError: the file can't be read, or is no JSONL.
    """
    check_file(path, _PREFERENCES)


def read_preferences(path: Path) -> Generator[FileRecord[Preference], None, None]:
    """Read preferences row by row, with the promises of `prefstream.scoring.files.reading`.

    Raises:
        FileError: as `check_preferences_file`, when the first row is asked for; later, where a compressed file is
            damaged.
    """
    return read_file(path, _PREFERENCES)


def feed(
    store: Store,
    preferences: Path,
    votes: Path | None,
    *,
    now: datetime,
    watch: Callable[[Path], AbstractContextManager[FileObserver]],
) -> FedRows:
    """Fill a store from files.

    Files do not tell when a record came. A preference of the stream says when it was made, and its vote when it took
    place; all else is taken to be of now, preferences before votes.

    Args:
        store: that is empty.
        preferences: file of preferences.
        votes: file of votes, or of labelled battles.
        now: the time.
        watch: gives, for the time that a file is read, whoever is told how that gets on.

    Raises:
        FileError: a file can't be read.
    """
    count: Counter[str] = Counter()
    now_ms = milliseconds(now)
    said: list[tuple[Vote, int]] = []
    known: dict[str, _Known] = {}
    if votes is not None:
        with watch(votes) as observer:
            for line, found in _usable(read_votes(votes), count, observer):
                said.append((found.vote, line))
                known[found.vote.id] = _known_by(found)
    made_at: dict[str, int] = {}
    unmatched = set(known)
    with watch(preferences) as observer:
        rows = _without(unmatched, _usable(read_preferences(preferences), count, observer))
        records = _preference_records(rows, known, made_at, count, now_ms - 1)
        while batch := list(islice(records, BATCH_ROWS)):
            store.apply(preferences=batch)
    vote_records = (VoteRecord(vote, _voted_at(vote, made_at, now_ms), 0, line) for vote, line in said)
    while voted := list(islice(vote_records, BATCH_ROWS)):
        store.apply(votes=voted)
    lone = sum(vote.id in unmatched for vote, _ in said)
    return FedRows(count["preferences"], len(said), count["rejected"], count["completed"], lone)


_Row = TypeVar("_Row")


def _usable(
    records: Iterable[FileRecord[_Row]], count: Counter[str], observer: FileObserver
) -> Iterator[tuple[int, _Row]]:
    """The rows that can be used, each with its line; the others are told and counted."""
    for rows, record in enumerate(records, start=1):
        if isinstance(record.content, RejectedRow):
            count["rejected"] += 1
            observer.rejected(record.line, record.content)
        else:
            yield record.line, record.content
        observer.advanced(record.done_bytes, rows)


def _without(unmatched: set[str], rows: Iterable[tuple[int, Preference]]) -> Iterator[tuple[int, Preference]]:
    """The same rows; their battles leave the set."""
    for line, said in rows:
        unmatched.discard(said.id)
        yield line, said


def _preference_records(
    rows: Iterable[tuple[int, Preference]],
    known: Mapping[str, _Known],
    made_at: dict[str, int],
    count: Counter[str],
    otherwise_ms: int,
) -> Iterator[PreferenceRecord]:
    for line, said in rows:
        count["preferences"] += 1
        at = otherwise_ms
        if said.timings is not None:
            at = made_at[said.id] = milliseconds(said.timings.scored_at)
        if (of_vote := known.get(said.id)) is not None:
            whole = of_vote.complete(said)
            count["completed"] += whole is not said
            said = whole  # noqa: PLW2901 - the same preference, told whole
        yield PreferenceRecord(said, at, 0, line)


def _voted_at(vote: Vote, made_at: Mapping[str, int], now_ms: int) -> int:
    """When a vote came, as far as that can be told: of a battle of the stream, when it says that it took place."""
    if vote.occurred_at is None or vote.id not in made_at:
        return now_ms
    return milliseconds(vote.occurred_at)


def _known_by(found: FileVote) -> _Known:
    style = None if found.battle is None else style_of(found.battle)
    return _Known(found.model_a, found.model_b, found.language, style)


def _from_object(fields: Mapping[str, Any], line: int) -> Preference | RejectedRow:
    del line
    try:
        said = Preference.model_validate(fields)
        require_storable(said)
    except ContractError as error:
        return RejectedRow(BAD_PREFERENCE, str(error))
    except ValidationError as error:
        return RejectedRow(BAD_PREFERENCE, str(ContractError.of("preference as `prefstream score` writes it", error)))
    return said


def _from_cells(cells: Mapping[str, str], line: int) -> Preference | RejectedRow:
    del cells, line
    return RejectedRow(BAD_PREFERENCE, "CSV has no whole preferences; score into a .jsonl file")


_PREFERENCES: Final = RowParser((), (), from_object=_from_object, from_cells=_from_cells)
