"""The tables of the board's file.

What is summed is summed as integers of 2^-32 (`fixed_point`): integers add up to the same in any order, so that every
sum here equals a recount of the topics to the last bit. A 64-bit sum has room for 2^31 battles of one cell.

Times are milliseconds since the epoch, of the records' timestamps; an hour is a whole number of hours since the epoch,
a day one of days, both UTC. An id of 0 stands for a name that is not known.
"""

from __future__ import annotations

from types import NoneType
from typing import Final, NamedTuple, get_args, get_type_hints

APPLICATION_ID: Final = 0x70726566  # "pref": by it a board's file is told from any other one of SQLite's
SCHEMA_VERSION: Final = 2

FIXED_POINT: Final = 2**32
"""What 1 is in the sums."""

UNKNOWN: Final = 0
"""Id of a name that is not known."""


def fixed_point(value: float) -> int:
    """A number of the order of 1 as an integer of 2^-32."""
    return round(value * FIXED_POINT)


class Facts(NamedTuple):
    """What is kept of one battle with its preference: the columns that `battles` and `voted` share, in their order.

    Attributes:
        at: the preference's record timestamp.
        occurred_at: when the battle took place, as it says.
        model_a: id in `models`, or 0.
        model_b: likewise.
        language: id in `languages`, or 0.
        p_a: the panel's probability of each outcome, as published.
        p_b: likewise.
        p_tie: likewise.
        style_bin: as `scoring.strengths` has it; 0 where the style is not known.
        characters_a: counts of the responses' style; None where it is not known.
        characters_b: likewise.
        headings_a: likewise.
        headings_b: likewise.
        list_items_a: likewise.
        list_items_b: likewise.
        bold_a: likewise.
        bold_b: likewise.
        entropy: of the probabilities, in bits.
        between_judges: the part of it that the judges disagree about, in bits; None where it is not told.
        disagreement: mean Jensen-Shannon divergence over pairs of judges, in bits.
        position_gap: mean over the judges that read both orders; None where none did.
        flipped: share of these judges whose most probable outcome depends on the order; None likewise.
        truncated: 1 where a judge did not get to read all.
        review_probability: with which a person was asked to look at it; None where nobody is asked.
        review_chosen: 1 where one was.
        panel: id in `panels`, or 0.
        source: id in `sources`: the topic or file of the battle.
        source_partition: its partition; None in a file.
        source_offset: its offset, or line.
    """

    at: int
    occurred_at: int | None
    model_a: int
    model_b: int
    language: int
    p_a: float
    p_b: float
    p_tie: float
    style_bin: int
    characters_a: int | None
    characters_b: int | None
    headings_a: int | None
    headings_b: int | None
    list_items_a: int | None
    list_items_b: int | None
    bold_a: int | None
    bold_b: int | None
    entropy: float
    between_judges: float | None
    disagreement: float
    position_gap: float | None
    flipped: float | None
    truncated: int
    review_probability: float | None
    review_chosen: int | None
    panel: int
    source: int
    source_partition: int | None
    source_offset: int


FACTS: Final = ", ".join(Facts._fields)
"""The shared columns, for statements."""


def _columns(row: type) -> str:
    """Columns of a table by the fields of its rows."""
    columns = []
    for name, kind in get_type_hints(row).items():
        kinds = get_args(kind) or (kind,)
        stored = "REAL" if float in kinds else "INTEGER"
        columns.append(f"{name} {stored}{'' if NoneType in kinds else ' NOT NULL'}")
    return ",\n    ".join(columns)


_FACT_COLUMNS: Final = _columns(Facts)

PAIR_SUMS: Final = ("a", "b", "tie", "a_a", "b_b", "tie_tie", "a_b", "a_tie", "b_tie")
"""Sums of the probabilities and of their products, in `hours`."""

HOUR_SUMS: Final = (
    "battles",
    "p_a",
    "p_b",
    "p_tie",
    "prefer_a",
    "prefer_b",
    "prefer_tie",
    "entropy",
    "disagreement",
    "truncated",
    "gaps",
    "gap",
    "flipped",
    "styled",
    "characters",
    "unequal",
    "longer",
    "longer_tie",
)
"""Counts, and sums in 2^-32, of `hour_facts`: `gaps` battles have a position gap, `styled` a style, and of these
`unequal` two responses of different length, with the probability that the longer one wins and that neither does."""

TABLES: Final = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;

-- What went otherwise than it should, for people; the newest ones only.
CREATE TABLE notes (note INTEGER PRIMARY KEY, at INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL) STRICT;

-- Where reading goes on; changes in the transaction of what was read.
CREATE TABLE offsets (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    topic_id TEXT,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (topic, partition)
) STRICT, WITHOUT ROWID;

CREATE TABLE models (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE languages (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE sources (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE panels (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    calibration TEXT NOT NULL,
    version TEXT NOT NULL,
    UNIQUE (hash, calibration, version)
) STRICT;

-- The join: battles that votes may still come for. Bounded by age and by number.
CREATE TABLE battles (
    battle INTEGER PRIMARY KEY,
    id_hash BLOB NOT NULL UNIQUE,
    {_FACT_COLUMNS}
) STRICT;
CREATE INDEX battles_at ON battles (at);

-- Battles that left the join, as far as memory goes: a vote for one of them is too late.
CREATE TABLE gone (id_hash BLOB PRIMARY KEY, at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX gone_at ON gone (at);

-- One row per battle with a vote; stays when the battle leaves the join.
CREATE TABLE voted (
    battle INTEGER PRIMARY KEY,
    id_hash BLOB NOT NULL UNIQUE,
    {_FACT_COLUMNS},
    id TEXT NOT NULL
) STRICT;
CREATE INDEX voted_at ON voted (at);

-- One row per battle and voter. Of two votes of one voter the later record counts.
CREATE TABLE votes (
    battle INTEGER NOT NULL,
    voter BLOB NOT NULL,
    winner INTEGER NOT NULL,
    at INTEGER NOT NULL,
    occurred_at INTEGER,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (battle, voter)
) STRICT, WITHOUT ROWID;
CREATE INDEX votes_at ON votes (at);

-- Votes for battles that are not known yet. Bounded as the join is.
CREATE TABLE pending_votes (
    id_hash BLOB NOT NULL,
    voter BLOB NOT NULL,
    winner INTEGER NOT NULL,
    at INTEGER NOT NULL,
    occurred_at INTEGER,
    partition INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (id_hash, voter, at, partition, offset)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_votes_at ON pending_votes (at);

-- Over all preferences, in canonical orientation: the model whose name sorts first is A.
CREATE TABLE hours (
    hour INTEGER NOT NULL,
    model_a INTEGER NOT NULL,
    model_b INTEGER NOT NULL,
    language INTEGER NOT NULL,
    style_bin INTEGER NOT NULL,
    panel INTEGER NOT NULL,
    battles INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in PAIR_SUMS)},
    PRIMARY KEY (hour, model_a, model_b, language, style_bin, panel)
) STRICT, WITHOUT ROWID;

-- Over all preferences, as they were published: what drifts.
CREATE TABLE hour_facts (
    hour INTEGER NOT NULL,
    language INTEGER NOT NULL,
    panel INTEGER NOT NULL,
    {", ".join(f"{name} INTEGER NOT NULL" for name in HOUR_SUMS)},
    PRIMARY KEY (hour, language, panel)
) STRICT, WITHOUT ROWID;

CREATE TABLE hour_bins (
    hour INTEGER NOT NULL,
    language INTEGER NOT NULL,
    panel INTEGER NOT NULL,
    fact TEXT NOT NULL,
    bin INTEGER NOT NULL,
    battles INTEGER NOT NULL,
    PRIMARY KEY (hour, language, panel, fact, bin)
) STRICT, WITHOUT ROWID;

-- Battles that a person should look at: the most telling ones of each day.
CREATE TABLE candidates (
    day INTEGER NOT NULL,
    why TEXT NOT NULL,
    score REAL NOT NULL,
    id_hash BLOB NOT NULL,
    id TEXT NOT NULL,
    {_FACT_COLUMNS},
    PRIMARY KEY (day, why, id_hash)
) STRICT, WITHOUT ROWID;

-- The newest verdicts, in JSON; the sequence is what the counter of preferences was with this one.
CREATE TABLE recent (sequence INTEGER PRIMARY KEY, verdict TEXT NOT NULL) STRICT;

-- Of the last two days; a minute is a whole number of minutes since the epoch, times are microseconds.
CREATE TABLE minutes (
    minute INTEGER PRIMARY KEY,
    battles INTEGER NOT NULL,
    timed INTEGER NOT NULL,
    queue_us INTEGER NOT NULL,
    tokenise_us INTEGER NOT NULL,
    inference_us INTEGER NOT NULL
) STRICT;

-- How long their battles took, in bins of quarter octaves.
CREATE TABLE minute_bins (
    minute INTEGER NOT NULL,
    bin INTEGER NOT NULL,
    battles INTEGER NOT NULL,
    PRIMARY KEY (minute, bin)
) STRICT, WITHOUT ROWID;
"""
