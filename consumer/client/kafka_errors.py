"""The one translator of kafka-python's errors: what each means to us, what it becomes, what to do about it.

The table is looked through from the top: the first row that has the error's class counts. Who talks to Kafka has a
`Translator` of its own, which adds what was being done and which ACLs it takes. No text of kafka-python's errors is
passed on: it may quote a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from kafka import errors as kafka_errors
from kafka.errors import KafkaError, KafkaTimeoutError

from prefstream.consumer.broker_bounds import ASSIGNOR, SESSION, TRANSACTION
from prefstream.consumer.errors import (
    BrokerUnreachableError,
    DataLossError,
    FencedError,
    NotAuthorizedError,
    StreamError,
    TopicMissingError,
    UsageError,
)

__all__ = [
    "TABLE",
    "KafkaError",
    "KafkaTimeoutError",
    "Meaning",
    "Row",
    "Translator",
    "is_of",
    "is_retriable",
    "meaning_of",
    "row_of",
    "tells_of_fencing",
]


class Meaning(Enum):
    """What an error of kafka-python means to us."""

    DENIED = "an ACL is missing"
    FENCED = "another process took over what is ours"
    NO_OFFSET = "the group has committed no offset yet"
    OFFSET_OUT_OF_RANGE = "the record at our position is not there"
    LOG_TRUNCATED = "the log is shorter than what we have read of it"
    RECORD_DAMAGED = "a record can't be decoded"
    TOO_LARGE = "a record is larger than its topic takes"
    TOPIC_MISSING = "there is no such topic"
    LOGIN_REFUSED = "the broker refuses who we are"
    WRONG_SETTING = "a setting that the brokers or the client do not take"
    PASSING = "trying again may help"
    LASTING = "trying again does not help"


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table.

    Attributes:
        meaning: what the errors mean.
        kinds: the errors, with all that derive from them.
        becomes: our error.
        says: what is wrong, in our words.
        remedy: what to do, where the translator has no better advice.
    """

    meaning: Meaning
    kinds: tuple[type[KafkaError], ...]
    becomes: type[StreamError]
    says: str
    remedy: str


TABLE: Final = (
    Row(
        Meaning.DENIED,
        (kafka_errors.AuthorizationError, kafka_errors.ClusterAuthorizationFailedError),
        NotAuthorizedError,
        "the broker denies {acls}",
        "grant that to this user",
    ),
    Row(
        Meaning.FENCED,
        (
            kafka_errors.ProducerFencedError,
            kafka_errors.InvalidProducerEpochError,
            kafka_errors.FencedInstanceIdError,
        ),
        FencedError,
        "another process took over",
        "give every process an id of its own",
    ),
    Row(
        Meaning.NO_OFFSET,
        (kafka_errors.NoOffsetForPartitionError,),
        StreamError,
        "the group has committed no offset for a partition",
        "begin at its first record",
    ),
    Row(
        Meaning.OFFSET_OUT_OF_RANGE,
        (kafka_errors.OffsetOutOfRangeError,),
        DataLossError,
        "the record is no longer on the topic",
        "find out what was lost before going on",
    ),
    Row(
        Meaning.LOG_TRUNCATED,
        (kafka_errors.LogTruncationError,),
        DataLossError,
        "the topic was truncated behind our position (an unclean leader election?)",
        "compare the topic with the preferences before starting again",
    ),
    Row(
        Meaning.RECORD_DAMAGED,
        (kafka_errors.CorruptRecordError, kafka_errors.UnsupportedCodecError),
        StreamError,
        "a record is damaged and can't be decoded",
        "move the group's offsets past its record batch",
    ),
    Row(
        Meaning.TOO_LARGE,
        (kafka_errors.MessageSizeTooLargeError, kafka_errors.RecordListTooLargeError),
        StreamError,
        "a record is larger than its topic takes",
        "raise max.message.bytes of the topic",
    ),
    Row(
        Meaning.TOPIC_MISSING,
        (
            kafka_errors.UnknownTopicOrPartitionError,
            kafka_errors.UnknownTopicIdError,
            kafka_errors.InvalidTopicError,
        ),
        TopicMissingError,
        "there is no such topic, or it may not be seen",
        "check its name, create it (prefstream topics create), or grant Describe on it",
    ),
    Row(
        Meaning.LOGIN_REFUSED,
        (
            kafka_errors.SaslAuthenticationFailedError,
            kafka_errors.IllegalSaslStateError,
            kafka_errors.UnsupportedSaslMechanismError,
            kafka_errors.UnacceptableCredentialError,
        ),
        BrokerUnreachableError,
        "the broker refuses the login",
        "check security_protocol, sasl_mechanism and the login",
    ),
    Row(
        Meaning.WRONG_SETTING,
        (kafka_errors.InvalidSessionTimeoutError,),
        UsageError,
        "the brokers don't take this session_timeout_ms",
        SESSION.remedy,
    ),
    Row(
        Meaning.WRONG_SETTING,
        (kafka_errors.InvalidTransactionTimeoutError,),
        UsageError,
        "the brokers don't take this transaction_timeout_ms",
        TRANSACTION.remedy,
    ),
    Row(
        Meaning.WRONG_SETTING,
        (kafka_errors.InconsistentGroupProtocolError,),
        UsageError,
        f"the group's other members share partitions in another way than {ASSIGNOR}",
        "end them, or choose another group_id",
    ),
    Row(
        Meaning.WRONG_SETTING,
        (
            kafka_errors.KafkaConfigurationError,
            kafka_errors.UnrecognizedBrokerVersion,
            kafka_errors.InvalidGroupIdError,
            kafka_errors.InvalidConfigurationError,
        ),
        UsageError,
        "a setting is not taken",
        "prefstream doctor tells which",
    ),
    Row(
        Meaning.PASSING,
        (kafka_errors.RetriableError,),
        BrokerUnreachableError,
        "no answer in time, or none of use",
        "are the brokers up? try again",
    ),
    Row(
        Meaning.LASTING,
        (
            kafka_errors.CommitFailedError,
            kafka_errors.IllegalGenerationError,
            kafka_errors.UnknownMemberIdError,
        ),
        StreamError,
        "the group shares partitions anew, and no longer knows us as we were",
        "what is still ours is sent again once we have joined; else its new owner answers it",
    ),
    Row(Meaning.LASTING, (KafkaError,), StreamError, "the request failed", "the brokers' logs may say why"),
)
"""Most telling first: what derives from two of them means the upper one. Who may write to no topic at all is refused an
id for a producer, as not allowed on the cluster."""

_TOLD_IN_WORDS: Final = frozenset({Meaning.DENIED, Meaning.WRONG_SETTING})


def row_of(error: BaseException) -> Row:
    """The row of an error; what is not kafka-python's counts as lasting."""
    if type(error) is KafkaError:  # where a producer is refused its id, the text alone says why
        for row in TABLE:
            if row.meaning in _TOLD_IN_WORDS and any(kind.__name__ in str(error) for kind in row.kinds):
                return row
    return next((row for row in TABLE if isinstance(error, row.kinds)), TABLE[-1])


def meaning_of(error: BaseException) -> Meaning:
    """What an error means to us."""
    return row_of(error).meaning


def why_of(error: BaseException) -> str:
    """What is wrong in our words, and kafka-python's name of it; without advice, for what is tried again anyway."""
    return f"{row_of(error).says} ({type(error).__name__})"


def is_retriable(error: BaseException) -> bool:
    """Whether kafka-python itself calls the error one that may pass; a topic that is not known yet is among them."""
    return isinstance(error, kafka_errors.RetriableError)


def is_of(kind: type[KafkaError] | None, meaning: Meaning) -> bool:
    """Whether errors of this class have that meaning; kafka-python hands error codes out as classes."""
    return (
        kind is not None and next((row for row in TABLE if issubclass(kind, row.kinds)), TABLE[-1]).meaning is meaning
    )


def tells_of_fencing(error: BaseException) -> bool:
    """Whether a producer that is fenced says so: after the first time only in the text of a plain KafkaError."""
    if meaning_of(error) is Meaning.FENCED:
        return True
    fencing = next(row.kinds for row in TABLE if row.meaning is Meaning.FENCED)
    return any(kind.__name__ in str(error) for kind in fencing)


Acls: TypeAlias = Callable[[KafkaError], str]
"""From the error to the ACLs that it misses, as Kafka's tools spell them."""


@dataclass(frozen=True, slots=True)
class Translator:
    """Makes our errors of kafka-python's, for one kind of request.

    Attributes:
        doing: what is being done, such as `reading battles`; the message begins with it.
        acls: names the ACLs that are missing where the broker denies it.
        remedies: advice that fits better than the table's.
        otherwise: if given, our error whatever the row says, but for a missing ACL and a wrong setting: for requests
            whose failure means that nobody of use was reached.
    """

    doing: str
    acls: Acls = field(default=lambda _error: "it")
    remedies: Mapping[Meaning, str] = field(default_factory=dict)
    otherwise: type[StreamError] | None = None

    def error(self, error: BaseException, outcome: str = "") -> StreamError:
        """Our error for one of kafka-python's.

        Args:
            error: kafka-python's.
            outcome: what became of it all; stands before the advice.
        """
        row = row_of(error)
        remedy = self.remedies.get(row.meaning, row.remedy)
        if row.meaning is Meaning.DENIED:  # whatever was being done: the ACLs say it all
            denied = f"{row.says.format(acls=self.acls(error))}: {remedy}"
            return row.becomes("; ".join(filter(None, (denied, outcome))))
        parts = (f"{self.doing} failed: {row.says} ({type(error).__name__})", outcome, remedy)
        becomes = row.becomes if row.meaning is Meaning.WRONG_SETTING else self.otherwise or row.becomes
        return becomes("; ".join(filter(None, parts)))

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Errors of kafka-python that leave the block become ours.

        Raises:
            StreamError: what the table says; kafka-python's is its cause.
        """
        try:
            yield
        except KafkaError as error:
            raise self.error(error) from error
