"""Preferences and votes for the board, made from a seed, and what a board's file holds of them."""

from __future__ import annotations

import random
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.tables import HOUR_SUMS, PAIR_SUMS, Facts
from prefstream.schemas import Preference
from prefstream.schemas.preference import (
    JudgeOpinion,
    KafkaSource,
    PanelIdentity,
    Probabilities,
    Provenance,
    Review,
    Style,
    StyleCounts,
    Truncation,
    Uncertainty,
)
from prefstream.schemas.vote import Vote

BEGIN_MS = 1_790_000_000_000
"""When records of tests begin: a moment of 2026."""

MODELS = tuple(f"model-{number:02}" for number in range(60))
LANGUAGES = ("English", "Chinese", "Russian", None)


def probabilities(rng: random.Random) -> Probabilities:
    a, b, tie = (rng.gammavariate(1.0, 1.0) + 1e-6 for _ in range(3))
    total = a + b + tie
    return Probabilities(model_a=a / total, model_b=b / total, tie=max(0.0, 1 - a / total - b / total))


def preference(battle_id: str, rng: random.Random, **changes: Any) -> Preference:
    """A preference such as `run` publishes it, every optional part now and then absent."""
    said = probabilities(rng)
    one, other = rng.sample(MODELS, 2)
    swap = rng.random() < 0.7
    judges = tuple(_opinion(name, rng, swap=swap) for name in ("gemma", "llama"))
    fields: dict[str, Any] = {
        "id": battle_id,
        "probabilities": said,
        "preferred": said.preferred,
        "judges": judges,
        "disagreement": rng.random() ** 3,
        "uncertainty": Uncertainty(entropy=rng.random() * 1.5, between_judges=rng.random() / 10),
        "model_a": one,
        "model_b": other,
        "language": rng.choice(LANGUAGES),
        "occurred_at": datetime.fromtimestamp(BEGIN_MS / 1000, UTC),
        "style": Style(a=_counts(rng), b=_counts(rng)) if rng.random() < 0.95 else None,
        "panel": PanelIdentity(hash="ab" * 32, version="0.1.0"),
        "review": Review(probability=rng.uniform(0.05, 1), chosen=rng.random() < 0.5) if rng.random() < 0.5 else None,
        "source": KafkaSource(topic="battles", partition=rng.randrange(4), offset=rng.randrange(10**6)),
    }
    return Preference(**fields | changes)


def preference_record(number: int, rng: random.Random, at: int | None = None, **changes: Any) -> PreferenceRecord:
    """The preference of battle `b<number>`, a second after the one before."""
    when = BEGIN_MS + 1000 * number if at is None else at
    return PreferenceRecord(preference(f"b{number}", rng, **changes), when, number % 3, number)


def vote_record(
    number: int, winner: str = "model_a", voter: str | None = None, at: int | None = None, offset: int = 0
) -> VoteRecord:
    """A vote for battle `b<number>`, a minute after its preference."""
    when = BEGIN_MS + 1000 * number + 60_000 if at is None else at
    return VoteRecord(Vote(id=f"b{number}", winner=winner, voter=voter), when, number % 2, offset)


def dump(
    file: Path | sqlite3.Connection, *, leave_out: frozenset[str] = frozenset()
) -> dict[str, list[tuple[Any, ...]]]:
    """All that a board's file holds, with names in place of numbers, in an order that depends on nothing else."""
    connection = sqlite3.connect(file) if isinstance(file, Path) else file
    found = {}
    for table, statement in _DUMPS.items():
        if table not in leave_out:
            found[table] = sorted(connection.execute(statement).fetchall(), key=repr)
    if isinstance(file, Path):
        connection.close()
    return found


def _opinion(name: str, rng: random.Random, *, swap: bool) -> JudgeOpinion:
    return JudgeOpinion(
        name=name,
        probabilities=probabilities(rng),
        position_gap=rng.random() if swap else None,
        as_given=probabilities(rng) if swap else None,
        swapped=probabilities(rng) if swap else None,
        weight=0.5,
        truncation=Truncation(
            tokens=500,
            dropped_prompt=rng.choice((0, 0, 0, 7)),
            dropped_response_a=0,
            dropped_response_b=0,
            dropped_rounds=0,
        ),
        provenance=Provenance(kind="pairwise", base="tiny", template="plain/1", dtype="bfloat16", trained=True),
    )


def _counts(rng: random.Random) -> StyleCounts:
    return StyleCounts(
        characters=int(rng.lognormvariate(6, 1)),
        lines=rng.randrange(1, 50),
        headings=rng.choice((0, 0, 1, 4)),
        list_items=rng.choice((0, 0, 5)),
        bold=rng.choice((0, 2)),
        code_blocks=0,
        tables=0,
        links=0,
        digits=rng.randrange(20),
    )


_NAMES = {"model_a": "models", "model_b": "models", "language": "languages", "source": "sources"}


def _named(columns: str, alias: str) -> str:
    """Columns, ids replaced by their names."""
    named = []
    for column in columns.split():
        if column in _NAMES:
            named.append(f"(SELECT name FROM {_NAMES[column]} WHERE id = {alias}.{column})")
        elif column == "panel":
            named.append(f"(SELECT hash || calibration || version FROM panels WHERE id = {alias}.panel)")
        else:
            named.append(f"{alias}.{column}")
    return ", ".join(named)


def _table(name: str, columns: str) -> str:
    return f"SELECT {_named(columns, 't')} FROM {name} t"


_FACTS = " ".join(Facts._fields)
_KEY = "hour model_a model_b language style_bin panel"

_DUMPS = {
    "counters": _table("counters", "name value"),
    "battles": _table("battles", f"id_hash {_FACTS}"),
    "gone": _table("gone", "id_hash at"),
    "voted": _table("voted", f"id_hash {_FACTS} id"),
    "votes": (
        "SELECT d.id, v.winner, v.at, v.occurred_at, v.partition, v.offset FROM votes v "
        "JOIN voted d ON d.battle = v.battle"
    ),
    "pending_votes": _table("pending_votes", "id_hash winner at occurred_at partition offset"),
    "hours": _table("hours", f"{_KEY} battles {' '.join(PAIR_SUMS)}"),
    "hour_facts": _table("hour_facts", f"hour language panel {' '.join(HOUR_SUMS)}"),
    "hour_bins": _table("hour_bins", "hour language panel fact bin battles"),
    "candidates": _table("candidates", f"day why score id_hash id {_FACTS}"),
    "offsets": _table("offsets", "topic partition topic_id next_offset"),
    "meta": "SELECT key, value FROM meta WHERE key NOT IN ('voter_key', 'file_key', 'created_at')",
}
