"""Errors of the stream and the command line.

    PrefstreamError
    └── StreamError
        ├── UsageError               what was asked can't be done as asked; exit code 2
        │   ├── HttpPortInUseError   the port of metrics and health is taken
        │   └── BoardFileError       the board's file is another process's, or can't be used as it is
        ├── BoardWriteError          the board's file can't be written
        ├── BrokerUnreachableError   no broker answers, or it refuses who we are
        │   ├── BrokersSilentError   brokers that were there don't answer any more
        │   └── NoTokenError         the token endpoint gives us no access token to log in with
        ├── TopicMissingError        a topic does not exist, or was deleted
        ├── SchemaRegistryError      the schema registry gives no number for a schema
        ├── UnconfirmedError         nobody knows whether a record was written
        ├── TextsMissingError        the record of a battle is not there, or is not that battle
        ├── NotAuthorizedError       the broker denies an operation that the stream needs
        ├── FencedError              another process took over our transactional or instance id
        ├── DataLossError            records were deleted unread, or the topic was recreated
        ├── OffsetsLostError        the group has answers, and no committed offsets
        ├── DeadLetterFloodError     too many records of a partition can't be scored
        ├── GoldenFaultError         the panel that serves does not give its known answers any more
        ├── TransactionFailedError   a transaction can't be committed
        └── StalledError             a forward pass did not return in time; `run` ends with 70

    PrefstreamError
    ├── NoLiveEventsError            a page gets no events now; it may come back
    └── BoardBusyError               the board computes too many answers to begin with another

Any other `StreamError` ends the process with exit code 1, so that its supervisor restarts it.
"""

from __future__ import annotations

from prefstream.schemas.errors import PrefstreamError


class StreamError(PrefstreamError):
    """Root of the errors that end the stream."""


class UsageError(StreamError):
    """What was asked can't be done as asked; the message says what to change."""


class HttpPortInUseError(UsageError):
    """The port of metrics and health is taken by another process."""


class BoardFileError(UsageError):
    """The board's file is held by another process, of another version, another program's, or not on a local disk."""


class BoardWriteError(StreamError):
    """The board's file can't be written: the disk is full, or the file is damaged."""


class NoLiveEventsError(PrefstreamError):
    """A page gets no events as they happen: too many have them, or the board ends."""


class BoardBusyError(PrefstreamError):
    """The board computes, or is still to compute, so many answers that it begins with no other."""


class BrokerUnreachableError(StreamError):
    """No broker answers at the bootstrap addresses, or it refuses the credentials."""


class BrokersSilentError(BrokerUnreachableError):
    """Brokers that were there don't answer any more, whatever they are asked."""


class NoTokenError(BrokerUnreachableError):
    """The token endpoint gives us no access token: it does not answer, or it refuses our client."""


class TopicMissingError(StreamError):
    """A topic does not exist, or was deleted."""


class SchemaRegistryError(StreamError):
    """The schema registry gives no number for a schema: it does not answer, or it refuses us or the schema."""


class UnconfirmedError(StreamError):
    """No broker confirmed a record: nobody knows whether it was written.

    Args:
        message: what was wrong, and what to do.
        record_id: of what may have been written; empty where it has none.
    """

    def __init__(self, message: str, record_id: str = "") -> None:
        super().__init__(message)
        self.record_id = record_id


class TextsMissingError(StreamError):
    """The record of a battle is not (or no longer) there, or it is another's, or no battle."""


class NotAuthorizedError(StreamError):
    """The broker denies an operation that the stream needs."""


class FencedError(StreamError):
    """Another process took over this one's transactional id or group instance id."""


class DataLossError(StreamError):
    """Records were deleted before they were scored, or the whole topic was, and recreated."""


class OffsetsLostError(StreamError):
    """The group has no committed offsets for partitions that it has answered: it would answer them again."""


class DeadLetterFloodError(StreamError):
    """Too many of a partition's last records can't be scored: going on would empty the topic into dead letters."""


class GoldenFaultError(StreamError):
    """The panel that serves does not give the answers any more that it is known to give."""


class TransactionFailedError(StreamError):
    """A batch could not be committed for too long; or, sending dead letters again, not even be aborted."""


class StalledError(StreamError):
    """A forward pass did not return in time."""
