"""From a preference to the facts that are kept of it."""

from __future__ import annotations

import math
import sqlite3
from typing import Final, TypeAlias

from prefstream.consumer.board.store.names import Names
from prefstream.consumer.board.store.records import PreferenceRecord
from prefstream.consumer.board.store.tables import UNKNOWN, Facts
from prefstream.schemas import ContractError, Preference
from prefstream.schemas.preference import FileSource, JudgeOpinion, KafkaSource, Probabilities, Style
from prefstream.scoring.moments import milliseconds
from prefstream.scoring.strengths.tallies import style_bin

_Count: TypeAlias = int | None
_Counts: TypeAlias = tuple[_Count, _Count, _Count, _Count, _Count, _Count, _Count, _Count]

MOST_COUNTED: Final = 2**31
"""Of a response's characters, and of all else that is counted in it: what a 64-bit sum has room for 2^32 times."""

_LARGEST: Final = 2**63 - 1
"""SQLite's largest integer, and Kafka's largest offset."""

_NO_STYLE: Final = (None, None, None, None, None, None, None, None)


class FactFinder:
    """Reads facts off preferences; names become ids of the file's tables.

    Args:
        connection: in a transaction whenever facts are read.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._models = Names(connection, "models")
        self._languages = Names(connection, "languages")
        self._sources = Names(connection, "sources")
        self._panels = Names(connection, "panels", ("hash", "calibration", "version"))

    def read(self, record: PreferenceRecord) -> Facts:
        """The facts of one preference."""
        said = record.preference
        shares, review = said.probabilities, said.review
        source, partition, offset = _place(said.source)
        return Facts(
            record.at,
            None if said.occurred_at is None else milliseconds(said.occurred_at),
            self._models.id_or_unknown(said.model_a),
            self._models.id_or_unknown(said.model_b),
            self._languages.id_or_unknown(said.language),
            shares.model_a,
            shares.model_b,
            shares.tie,
            style_bin(said.style),
            *_counts(said.style),
            entropy_of(shares) if said.uncertainty is None else said.uncertainty.entropy,
            None if said.uncertainty is None else said.uncertainty.between_judges,
            said.disagreement,
            _mean_gap(said.judges),
            _share_flipped(said.judges),
            int(any(map(is_truncated, said.judges))),
            None if review is None else review.probability,
            None if review is None else int(review.chosen),
            self._panel(said),
            self._sources.id(source),
            partition,
            offset,
        )

    def forget(self) -> None:
        """As `Names.forget`."""
        for names in (self._models, self._languages, self._sources, self._panels):
            names.forget()

    def _panel(self, said: Preference) -> int:
        panel = said.panel
        return UNKNOWN if panel is None else self._panels.id(panel.hash, panel.calibration or "", panel.version)


def require_storable(said: Preference) -> None:
    """Refuse what no battle can have and no table can hold: JSON's integers have no end.

    Raises:
        ContractError: a number is too large.
    """
    _, partition, offset = _place(said.source)
    style = said.style
    counts = [] if style is None else [*vars(style.a).values(), *vars(style.b).values()]
    if max(partition or 0, offset) > _LARGEST or max(counts, default=0) > MOST_COUNTED:
        raise ContractError("no preference of a battle: a position or a count of its style is too large to be one")


def entropy_of(shares: Probabilities) -> float:
    """In bits; the order of the sum is that of A, B, tie."""
    total = 0.0
    for share in (shares.model_a, shares.model_b, shares.tie):
        if share > 0:
            total -= share * math.log2(share)
    return total


def _place(source: KafkaSource | FileSource) -> tuple[str, int | None, int]:
    """Topic, partition and offset; or file, None and line."""
    if isinstance(source, FileSource):
        return source.file, None, source.line
    return source.topic, source.partition, source.offset


def _counts(style: Style | None) -> _Counts:
    if style is None:
        return _NO_STYLE
    a, b = style.a, style.b
    return (
        a.characters,
        b.characters,
        a.headings,
        b.headings,
        a.list_items,
        b.list_items,
        a.bold,
        b.bold,
    )


def _mean_gap(judges: tuple[JudgeOpinion, ...]) -> float | None:
    gaps = [judge.position_gap for judge in judges if judge.position_gap is not None]
    return math.fsum(gaps) / len(gaps) if gaps else None


def _share_flipped(judges: tuple[JudgeOpinion, ...]) -> float | None:
    flips = [
        judge.as_given.preferred != judge.swapped.preferred
        for judge in judges
        if judge.as_given is not None and judge.swapped is not None
    ]
    return sum(flips) / len(flips) if flips else None


def is_truncated(judge: JudgeOpinion) -> bool:
    """Whether it did not get to read all."""
    cut = judge.truncation
    return cut is not None and bool(
        cut.dropped_prompt or cut.dropped_response_a or cut.dropped_response_b or cut.dropped_rounds
    )
