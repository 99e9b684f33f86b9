"""What the store is fed with: preferences and votes, each with when and where its record stood."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from prefstream.schemas import Preference
from prefstream.schemas.vote import Vote

WINNERS: Final = ("model_a", "model_b", "tie", "both_bad")
"""What a vote's `winner` is as a number. The first three are `schemas.OUTCOMES`; both_bad counts as a tie."""

COUNTERS: Final = {
    "preferences": "battles that count, each by its first preference",
    "unnamed": "of these, battles of which a model's name is not known",
    "duplicate_battles": "preferences of battles that had one already",
    "votes": "votes that were read, whatever became of them",
    "replaced_votes": "votes that a later one of the same voter took the place of",
    "too_late": "votes for battles that had left the join, or from outside the vote window",
    "unknown_battles": "votes whose battle did not come for as long as it was waited for",
    "join_full": "battles that left the join before their time, because it was full",
    "bad_preferences": "records of the preferences topic that are no preferences",
    "bad_votes": "records of the votes topic that are no votes, and became dead letters",
    "lost_preferences": "offsets of the preferences topic that were gone before they were read",
    "lost_votes": "offsets of the votes topic that were gone before they were read",
}
"""What is counted, by name. Every vote of `votes` has a row, waits for its battle, or is in `replaced_votes`,
`too_late` or `unknown_battles`."""

_HASH_BYTES: Final = 16


class PreferenceRecord(NamedTuple):
    """A preference and its record.

    Attributes:
        preference: the answer.
        at: the record's timestamp, ms since the epoch.
        partition: where it stands; 0 in a file.
        offset: where it stands; in a file the line.
    """

    preference: Preference
    at: int
    partition: int = 0
    offset: int = 0


class VoteRecord(NamedTuple):
    """A vote and its record.

    Attributes:
        vote: what a person said.
        at: the record's timestamp, ms since the epoch.
        partition: where it stands; 0 in a file.
        offset: where it stands; in a file the line.
    """

    vote: Vote
    at: int
    partition: int = 0
    offset: int = 0


class StoredOffset(NamedTuple):
    """Where reading of a partition goes on.

    Attributes:
        topic: its name.
        partition: its number.
        topic_id: what tells the topic from another one of its name; None where the brokers don't say.
        next_offset: of the next record.
    """

    topic: str
    partition: int
    topic_id: str | None
    next_offset: int


class Note(NamedTuple):
    """What went otherwise than it should, for people.

    Attributes:
        at: when, ms since the epoch.
        kind: a stable word.
        detail: what happened, in words.
    """

    at: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class ReadProgress:
    """What moves in the transaction of the records.

    Attributes:
        offsets: where reading goes on.
        preferences_until: every preference with an earlier record timestamp has been read, as far as the topic has
            them; None where nothing is known, and then no vote is given up for its age.
        votes_until: likewise for votes; None: no battle leaves the join for its age.
        counters: what is to be added to counters of the reader's own.
        notes: to be kept.
    """

    offsets: Sequence[StoredOffset] = ()
    preferences_until: int | None = None
    votes_until: int | None = None
    counters: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[Note] = ()


def hash_id(battle_id: str) -> bytes:
    """The key of a battle: 128 bits, so that no two ids meet by chance."""
    return hashlib.blake2b(battle_id.encode(), digest_size=_HASH_BYTES).digest()


def hash_voter(key: bytes, record: VoteRecord) -> bytes:
    """The key of a voter, by which no name can be guessed without the file; who has no name is one by the record.

    Args:
        key: of the file, drawn at random.
        record: the vote.
    """
    if record.vote.voter is None:
        return hashlib.blake2b(
            b"%d/%d/%d" % (record.at, record.partition, record.offset), digest_size=_HASH_BYTES, person=b"record"
        ).digest()
    return hashlib.blake2b(record.vote.voter.encode(), key=key, digest_size=_HASH_BYTES, person=b"voter").digest()
