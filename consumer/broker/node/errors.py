"""Errors of the embedded broker, and the codes that travel on the wire.

PrefstreamError
└── BrokerError
    ├── PortInUseError          the address to listen on is taken
    ├── BrokerNotRunningError   an embedded broker was asked for its address while stopped
    ├── UnknownApiError         a fault names an API that the broker doesn't serve
    └── RequestRefusedError     a request is answered with an error code (never leaves the broker)
"""

from __future__ import annotations

from enum import IntEnum

from prefstream.schemas.errors import PrefstreamError


class ErrorCode(IntEnum):
    """Kafka's error codes, as far as this broker answers with them, by itself or for a planned fault."""

    NONE = 0
    OFFSET_OUT_OF_RANGE = 1
    CORRUPT_MESSAGE = 2
    UNKNOWN_TOPIC_OR_PARTITION = 3
    REQUEST_TIMED_OUT = 7
    MESSAGE_TOO_LARGE = 10
    OFFSET_METADATA_TOO_LARGE = 12
    COORDINATOR_LOAD_IN_PROGRESS = 14
    COORDINATOR_NOT_AVAILABLE = 15
    NOT_COORDINATOR = 16
    INVALID_TOPIC_EXCEPTION = 17
    ILLEGAL_GENERATION = 22
    INCONSISTENT_GROUP_PROTOCOL = 23
    INVALID_GROUP_ID = 24
    UNKNOWN_MEMBER_ID = 25
    INVALID_SESSION_TIMEOUT = 26
    REBALANCE_IN_PROGRESS = 27
    TOPIC_AUTHORIZATION_FAILED = 29
    CLUSTER_AUTHORIZATION_FAILED = 31
    INVALID_TIMESTAMP = 32
    UNSUPPORTED_VERSION = 35
    TOPIC_ALREADY_EXISTS = 36
    INVALID_PARTITIONS = 37
    INVALID_REPLICATION_FACTOR = 38
    INVALID_REPLICA_ASSIGNMENT = 39
    INVALID_CONFIG = 40
    INVALID_REQUEST = 42
    UNSUPPORTED_FOR_MESSAGE_FORMAT = 43
    OUT_OF_ORDER_SEQUENCE_NUMBER = 45
    INVALID_PRODUCER_EPOCH = 47
    INVALID_TXN_STATE = 48
    INVALID_PRODUCER_ID_MAPPING = 49
    INVALID_TRANSACTION_TIMEOUT = 50
    CONCURRENT_TRANSACTIONS = 51
    OPERATION_NOT_ATTEMPTED = 55
    UNKNOWN_PRODUCER_ID = 59
    NON_EMPTY_GROUP = 68
    GROUP_ID_NOT_FOUND = 69
    MEMBER_ID_REQUIRED = 79
    FENCED_INSTANCE_ID = 82
    GROUP_SUBSCRIBED_TO_TOPIC = 86
    INVALID_RECORD = 87
    UNSTABLE_OFFSET_COMMIT = 88
    PRODUCER_FENCED = 90
    UNKNOWN_TOPIC_ID = 100


class BrokerError(PrefstreamError):
    """Root of the embedded broker's errors."""


class PortInUseError(BrokerError):
    """The address the broker should listen on is taken by another process."""


class BrokerNotRunningError(BrokerError):
    """The embedded broker has no address because it is not running."""


class UnknownApiError(BrokerError):
    """A fault was planned for an API that the broker doesn't serve."""


class RequestRefusedError(BrokerError):
    """A request, or a part of it, is answered with an error code.

    Attributes:
        code: what the client gets to see.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
