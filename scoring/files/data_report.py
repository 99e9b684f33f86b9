"""What a labelled file holds: how many rows, which labels, lengths and languages, and whether it can be learnt from.

Everything is counted while the rows stream by; what grows with the file is a hash or a number per row.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from prefstream.schemas import OUTCOMES, Battle, Outcome
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.labelled import LabelledBattle, prompt_key
from prefstream.scoring.files.languages import language_name
from prefstream.scoring.files.row_warnings import RowWarnings, SeenIds
from prefstream.scoring.files.rows import FileRecord, RejectedRow

OutcomeCounts: TypeAlias = Counter[Outcome]

MAX_REJECTED_KEPT: Final = 20
"""Rejected rows kept with their places: enough to see what is wrong with a file, few enough for a receipt."""

MAX_GROUPS: Final = 50
"""Sources and tiers counted each by its own; beyond, they are one group: a column of another kind was named so."""

MAX_LANGUAGES: Final = 10
"""Languages reported each by its own, the most frequent ones."""

ROUND_BUCKETS: Final = ((1, 1), (2, 2), (3, 3), (4, 4), (5, 9), (10, None))
"""First and last number of rounds of each bucket: nearly all battles of arenas have few."""

LENGTH_BUCKETS: Final = 5

OTHER: Final = "(other)"
UNKNOWN: Final = "(unknown)"
"""Heads of groups, in brackets so that they are not taken for names."""


class DataReport:
    """Counts over the rows of a labelled file.

    Attributes:
        usable: rows with battle and label.
        rejected: the others, by reason.
        first_rejected: the first `MAX_REJECTED_KEPT` of them, with their lines.
        warnings: what usable rows may have meant otherwise than they were read.
        both_bad: ties because neither answer was any good.
        outcomes: of all usable rows.
        outcomes_with_ties: of those whose source has ties.
        sources: outcomes per source.
        tiers: outcomes per tier.
        soft: rows whose target is more than one outcome.
        weightless: rows of weight 0, which count for nothing in training.
        duplicates: rows whose id an earlier row has.
        alike: decided rows whose answers read the same to the judge that is trained on them, cut and masked as it reads
            them; 0 until they are encoded.
    """

    def __init__(self) -> None:
        self.usable = 0
        self.rejected: Counter[str] = Counter()
        self.first_rejected: list[tuple[int, RejectedRow]] = []
        self.warnings = RowWarnings()
        self.both_bad = 0
        self.outcomes: OutcomeCounts = Counter()
        self.outcomes_with_ties: OutcomeCounts = Counter()
        self.sources: defaultdict[str, OutcomeCounts] = defaultdict(Counter)
        self.tiers: defaultdict[str, OutcomeCounts] = defaultdict(Counter)
        self.soft = 0
        self.weightless = 0
        self.duplicates = 0
        self.alike = 0
        self._weighted_outcomes: set[Outcome] = set()
        self._languages: Counter[str | None] = Counter()
        self._rounds: Counter[int] = Counter()
        self._longer_chars = array("Q")
        self._longer_wins: Counter[bool] = Counter()
        self._prompts: set[bytes] = set()
        self._ids = SeenIds()

    def usable_rows(self, records: Iterable[FileRecord[LabelledBattle]]) -> Iterator[LabelledBattle]:
        """Count every row as it passes, and let the usable ones through."""
        for record in records:
            if isinstance(record.content, RejectedRow):
                self.reject(record.line, record.content)
            else:
                for warning in record.warnings:
                    self.warnings.add(record.line, warning)
                self.add(record.content)
                yield record.content

    def add(self, labelled: LabelledBattle) -> None:
        """Count a usable row."""
        battle, label = labelled.battle, labelled.label
        self.usable += 1
        self.outcomes[label.outcome] += 1
        if label.ties_possible:
            self.outcomes_with_ties[label.outcome] += 1
        _group(self.sources, labelled.source)[label.outcome] += 1
        _group(self.tiers, labelled.tier)[label.outcome] += 1
        self.soft += max(label.target) < 1
        self.both_bad += label.both_bad
        if label.weight:
            self._weighted_outcomes.add(label.outcome)
        else:
            self.weightless += 1
        self._languages[battle.language and language_name(battle.language)] += 1
        self._rounds[len(battle.prompt)] += 1
        self._add_lengths(battle, label.outcome)
        self._prompts.add(prompt_key(battle))
        self.duplicates += self._ids.is_repeated(battle.id)

    def reject(self, line: int, row: RejectedRow) -> None:
        """Count a row that can't be used."""
        self.rejected[row.reason] += 1
        if len(self.first_rejected) < MAX_REJECTED_KEPT:
            self.first_rejected.append((line, row))

    @property
    def rows(self) -> int:
        """All rows, usable or not."""
        return self.usable + self.rejected.total()

    @property
    def prompts(self) -> int:
        """Different prompts."""
        return len(self._prompts)

    def shared_prompts(self, other: DataReport) -> int:
        """How many prompts stand in both files: what is measured on them flatters."""
        return len(self._prompts & other._prompts)

    @property
    def languages(self) -> dict[str, int]:
        """Rows of the most frequent languages, then of all others, then of those that name none."""
        named = [(language, count) for language, count in self._languages.most_common() if language]
        shown = dict(named[:MAX_LANGUAGES])
        other = sum(count for _, count in named[MAX_LANGUAGES:])
        unknown = sum(count for language, count in self._languages.items() if not language)
        return shown | {name: count for name, count in ((OTHER, other), (UNKNOWN, unknown)) if count}

    @property
    def rounds(self) -> dict[str, int]:
        """Rows by number of rounds; empty buckets are left out."""
        counted: dict[str, int] = {}
        for first, last in ROUND_BUCKETS:
            count = sum(n for rounds, n in self._rounds.items() if first <= rounds and (last is None or rounds <= last))
            if count:
                counted[_bucket_name(first, last)] = count
        return counted

    @property
    def longer_chars(self) -> list[int]:
        """Characters of the longer response: the edges of `LENGTH_BUCKETS` equal groups, shortest and longest too."""
        ordered = sorted(self._longer_chars)
        last = len(ordered) - 1
        return [ordered[round(last * edge / LENGTH_BUCKETS)] for edge in range(LENGTH_BUCKETS + 1)] if ordered else []

    @property
    def length_decided(self) -> int:
        """Rows with a winner and responses of different lengths."""
        return self._longer_wins.total()

    @property
    def longer_wins(self) -> float | None:
        """Share of `length_decided` rows whose longer response won; None where there are none."""
        return self._longer_wins[True] / self.length_decided if self.length_decided else None

    @property
    def learnable(self) -> bool:
        """Whether there is anything to learn: rows that count, of more than one outcome."""
        return len(self._weighted_outcomes) > 1

    def check_learnable(self, path: Path) -> None:
        """Refuse what can't be learnt from.

        Args:
            path: the file, for the message.

        Raises:
            FileError: no row is usable, none has a weight, or all have the same outcome.
        """
        if self.learnable:
            return
        if not self.usable:
            raise FileError(f"{path} holds nothing to learn from: {self._why_nothing_is_usable()}")
        if not self._weighted_outcomes:
            raise FileError(f"{path} holds nothing to learn from: every weight is 0; give a row that counts more")
        [outcome] = self._weighted_outcomes
        raise FileError(
            f"{path} can't be learnt from: every label is {outcome}, so that always saying it would be right; "
            "add battles with other outcomes"
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON has it, for a receipt."""
        return {
            "rows": self.rows,
            "usable": self.usable,
            "rejected": {
                "rows": self.rejected.total(),
                "reasons": dict(self.rejected.most_common()),
                "first": [
                    {"line": line, "reason": row.reason, "detail": row.detail} for line, row in self.first_rejected
                ],
            },
            "warned": [
                {"warning": kind.warning, "rows": kind.rows, "first_lines": kind.lines} for kind in self.warnings
            ],
            "both_bad": self.both_bad,
            "outcomes": {
                "all": _described(self.outcomes),
                "ties_possible": _described(self.outcomes_with_ties),
            },
            "sources": _described_groups(self.sources),
            "tiers": _described_groups(self.tiers),
            "soft_labels": self.soft,
            "weightless": self.weightless,
            "prompts": self.prompts,
            "duplicate_ids": self.duplicates,
            "alike_though_decided": self.alike,
            "languages": self.languages,
            "rounds": self.rounds,
            "longer_response": {
                "characters": self.longer_chars,
                "decided": self.length_decided,
                "wins": self.longer_wins,
            },
        }

    def _add_lengths(self, battle: Battle, outcome: Outcome) -> None:
        chars_a, chars_b = (sum(map(len, turns)) for turns in (battle.response_a, battle.response_b))
        self._longer_chars.append(max(chars_a, chars_b))
        if outcome != "tie" and chars_a != chars_b:
            self._longer_wins[(chars_a > chars_b) == (outcome == "model_a")] += 1

    def _why_nothing_is_usable(self) -> str:
        if not self.first_rejected:
            return "it has no rows; give labelled battles (CSV, JSONL or Parquet)"
        line, row = self.first_rejected[0]
        return f"all of its {self.rows:,} rows were rejected, the first at line {line} ({row})"


def outcome_shares(counts: Mapping[Outcome, int]) -> dict[Outcome, float]:
    """The shares of the outcomes, in their order; all 0 where nothing was counted."""
    total = sum(counts.values())
    return {outcome: counts.get(outcome, 0) / total if total else 0.0 for outcome in OUTCOMES}


def _group(groups: defaultdict[str, OutcomeCounts], name: str | None) -> OutcomeCounts:
    name = name or UNKNOWN
    return groups[name if name in groups or len(groups) < MAX_GROUPS else OTHER]


def _described(counts: OutcomeCounts) -> dict[str, Any]:
    return {
        "rows": counts.total(),
        "counts": {outcome: counts[outcome] for outcome in OUTCOMES},
        "shares": outcome_shares(counts),
    }


def _described_groups(groups: Mapping[str, OutcomeCounts]) -> dict[str, Any]:
    return {name: _described(counts) for name, counts in by_size(groups)}


def by_size(groups: Mapping[str, OutcomeCounts]) -> list[tuple[str, OutcomeCounts]]:
    """Groups, the largest first; of equal size by name."""
    return sorted(groups.items(), key=lambda group: (-group[1].total(), group[0]))


def _bucket_name(first: int, last: int | None) -> str:
    if last is None:
        return f"{first}+"
    return str(first) if first == last else f"{first}-{last}"
