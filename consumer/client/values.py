"""What a record's value says, for who reads preferences and votes; one that was withheld or is not there says nothing.

Nothing of what a value says is in an error.
"""

from __future__ import annotations

from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.consumer.client.protocols import ConsumerRecord, Placed
from prefstream.schemas import ContractError, InvalidEventError, Preference, Reason, decode_preference
from prefstream.schemas.vote import Vote
from prefstream.schemas.wire import decode_vote


def preference_of(record: ConsumerRecord) -> Preference:
    """The preference that a record holds.

    Raises:
        ContractError: it holds none.
    """
    value = record.value
    if isinstance(value, Withheld):
        raise ContractError(f"no preference: {value.why}")
    return decode_preference(value)


def vote_of(record: ConsumerRecord) -> Vote:
    """The vote that a record holds.

    Raises:
        InvalidEventError: it holds none.
    """
    return decode_vote(unpacked(record))


def unpacked(record: ConsumerRecord) -> bytes | None:
    """The value of a record that comes from outside.

    Raises:
        InvalidEventError: it was not unpacked.
    """
    value = record.value
    if isinstance(value, Withheld):
        raise InvalidEventError(Reason.NOT_UNPACKED if value.damaged else Reason.TOO_LARGE_UNPACKED, value.why)
    return value


def place_of(placed: Placed) -> str:
    """Where something stands, for people: topic/partition/offset."""
    return f"{placed.topic}/{placed.partition}/{placed.offset}"
