"""Errors of the stream and the command line.

    PrefstreamError
    └── StreamError
        ├── UsageError              what was asked can't be done as asked; exit code 2
        │   └── HttpPortInUse       the port of metrics and health is taken
        ├── BrokerUnreachable       no broker answers, or it refuses who we are
        │   └── NoToken             the token endpoint gives us no access token to log in with
        ├── TopicMissing            a topic does not exist, or was deleted
        ├── NotAuthorized           the broker denies an operation that the stream needs
        ├── Fenced                  another process took over our transactional or instance id
        ├── DataLoss                records were deleted unread, or the topic was made anew
        ├── DeadLetterFlood         too many records of a partition can't be scored
        ├── TransactionFailed       a transaction can't be committed
        └── Stalled                 a forward pass did not return in time; exit code 70

Any other `StreamError` ends the process with exit code 1, so that its supervisor restarts it.
"""

from __future__ import annotations

from prefstream.schemas.errors import PrefstreamError


class StreamError(PrefstreamError):
    """Root of the errors that end the stream."""


class UsageError(StreamError):
    """What was asked can't be done as asked; the message says what to change."""


class HttpPortInUse(UsageError):
    """The port of metrics and health is taken by another process."""


class BrokerUnreachable(StreamError):
    """No broker answers at the bootstrap addresses, or it refuses the credentials."""


class NoToken(BrokerUnreachable):
    """The token endpoint gives us no access token: it does not answer, or it refuses our client."""


class TopicMissing(StreamError):
    """A topic does not exist, or was deleted."""


class NotAuthorized(StreamError):
    """The broker denies an operation that the stream needs."""


class Fenced(StreamError):
    """Another process took over this one's transactional id or group instance id."""


class DataLoss(StreamError):
    """Records were deleted before they were scored, or the whole topic was, and made anew."""


class DeadLetterFlood(StreamError):
    """Too many of a partition's last records can't be scored: going on would empty the topic into dead letters."""


class TransactionFailed(StreamError):
    """A batch could not be committed for too long; or, sending dead letters again, not even be aborted."""


class Stalled(StreamError):
    """A forward pass did not return in time."""
