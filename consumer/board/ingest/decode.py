"""Records of the topics as what the store takes in; what is no preference or no vote is set aside with its reason."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from prefstream.consumer.board.store.facts import require_storable
from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.client.protocols import ConsumerRecord
from prefstream.consumer.client.values import preference_of, vote_of
from prefstream.schemas import ContractError, InvalidEventError

LATEST_MS: Final = 253_402_300_799_999
"""The end of the year 9999."""


@dataclass(frozen=True, slots=True)
class BadPreference:
    """A record on the preferences topic that is no preference: none of ours."""

    record: ConsumerRecord = field(repr=False)
    error: ContractError


@dataclass(frozen=True, slots=True)
class BadVote:
    """A record on the votes topic that is no vote; it becomes a dead letter."""

    record: ConsumerRecord = field(repr=False)
    error: InvalidEventError


@dataclass(frozen=True, slots=True)
class Decoded:
    """A batch of records, read.

    Attributes:
        preferences: in the order of each partition.
        votes: likewise.
        bad_preferences: to be told.
        bad_votes: to become dead letters.
    """

    preferences: list[PreferenceRecord] = field(default_factory=list)
    votes: list[VoteRecord] = field(default_factory=list)
    bad_preferences: list[BadPreference] = field(default_factory=list)
    bad_votes: list[BadVote] = field(default_factory=list)


def decode(preferences: Iterable[ConsumerRecord], votes: Iterable[ConsumerRecord]) -> Decoded:
    """Read a batch of records.

    Args:
        preferences: from the preferences topic.
        votes: from the votes topic.
    """
    decoded = Decoded()
    for record in preferences:
        try:
            preference = preference_of(record)
            require_storable(preference)
        except ContractError as error:
            decoded.bad_preferences.append(BadPreference(record, error))
        else:
            decoded.preferences.append(PreferenceRecord(preference, timestamp(record), record.partition, record.offset))
    for record in votes:
        try:
            vote = vote_of(record)
        except InvalidEventError as error:
            decoded.bad_votes.append(BadVote(record, error))
        else:
            decoded.votes.append(VoteRecord(vote, timestamp(record), record.partition, record.offset))
    return decoded


def timestamp(record: ConsumerRecord) -> int:
    """When a record was written, ms since the epoch, within what dates can say; now, where the record does not say."""
    return min(record.timestamp, LATEST_MS) if record.timestamp >= 0 else int(time.time() * 1000)
