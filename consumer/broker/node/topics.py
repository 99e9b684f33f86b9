"""Topics and their settings."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prefstream.consumer.broker.node.errors import ErrorCode, RequestRefusedError
from prefstream.consumer.broker.node.log import PartitionLog
from prefstream.consumer.broker.node.settings import BrokerSettings

_LEGAL_NAME: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
# Enough for any test, small enough that a typing error can't fill the memory.
_MAX_PARTITIONS: Final = 10_000

# The settings a topic may have, with Kafka's defaults. Only `max.message.bytes`, `message.timestamp.after.max.ms`
# and, unless `cleanup.policy` is `compact` alone, `retention.ms` change what this broker does; the others are kept
# and shown, so that whoever creates topics with them sees what Kafka would show.
CONFIG_DEFAULTS: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "compression.type": "producer",
    "delete.retention.ms": "86400000",
    "max.message.bytes": "1048588",
    "message.timestamp.after.max.ms": "3600000",
    "message.timestamp.before.max.ms": "9223372036854775807",
    "message.timestamp.type": "CreateTime",
    "min.insync.replicas": "1",
    "retention.bytes": "-1",
    "retention.ms": "604800000",
    "segment.bytes": "1073741824",
    "segment.ms": "604800000",
}
_NUMERIC_CONFIGS: Final = frozenset(name for name, value in CONFIG_DEFAULTS.items() if value.lstrip("-").isdigit())


@dataclass(slots=True)
class Topic:
    """A topic: its partitions and the settings that differ from the defaults."""

    name: str
    partitions: list[PartitionLog]
    overrides: dict[str, str] = field(default_factory=dict)
    id: uuid.UUID = field(default_factory=uuid.uuid4)

    @property
    def max_message_bytes(self) -> int | None:
        """The topic's own limit for a record batch, if it has one."""
        value = self.overrides.get("max.message.bytes")
        return None if value is None else int(value)

    @property
    def max_ahead_ms(self) -> int:
        """How far in the future a record's timestamp may lie."""
        return int(self._setting("message.timestamp.after.max.ms"))

    @property
    def retention_ms(self) -> int | None:
        """How long its records are kept; None for ever."""
        retention_ms = int(self._setting("retention.ms"))
        deletes = "delete" in self._setting("cleanup.policy")
        return retention_ms if deletes and retention_ms >= 0 else None

    def _setting(self, name: str) -> str:
        return self.overrides.get(name, CONFIG_DEFAULTS[name])


class TopicRegistry:
    """All topics of a broker."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._topics: dict[str, Topic] = {}

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self._topics.values()))

    def get(self, name: str) -> Topic | None:
        """The topic of this name, if there is one."""
        return self._topics.get(name)

    def require(self, name: str) -> Topic:
        """The topic of this name.

        Raises:
            RequestRefusedError: there is none.
        """
        topic = self._topics.get(name)
        if topic is None:
            raise RequestRefusedError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no topic {name}")
        return topic

    def find_id(self, topic_id: uuid.UUID | None) -> Topic | None:
        """The topic with this id, if there is one."""
        return next((topic for topic in self._topics.values() if topic.id == topic_id), None)

    def log(self, name: str, partition: int) -> PartitionLog:
        """The log of one partition.

        Raises:
            RequestRefusedError: there is no such topic or partition.
        """
        if not self.has(name, partition):
            raise RequestRefusedError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"there is no partition {name}/{partition}")
        return self._topics[name].partitions[partition]

    def has(self, name: str, partition: int) -> bool:
        """Whether this partition exists."""
        topic = self._topics.get(name)
        return topic is not None and 0 <= partition < len(topic.partitions)

    def max_message_bytes(self, topic: Topic) -> int:
        """The largest record batch that this topic takes."""
        own = topic.max_message_bytes
        return self._settings.max_message_bytes if own is None else own

    def create(
        self,
        name: str,
        *,
        partitions: int = -1,
        replication_factor: int = -1,
        overrides: Mapping[str, str | None] | None = None,
        validate_only: bool = False,
    ) -> Topic:
        """Create a topic; -1 stands for the broker's default.

        Raises:
            RequestRefusedError: it exists already, or something about it is not allowed.
        """
        if not _LEGAL_NAME.fullmatch(name) or name in {".", ".."}:
            raise RequestRefusedError(
                ErrorCode.INVALID_TOPIC_EXCEPTION,
                "a topic's name has 1 to 249 ASCII letters, digits, dots, underscores and hyphens",
            )
        if name in self._topics:
            raise RequestRefusedError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{name}' already exists.")
        count = self._settings.default_partitions if partitions == -1 else partitions
        if not 1 <= count <= _MAX_PARTITIONS:
            raise RequestRefusedError(
                ErrorCode.INVALID_PARTITIONS, f"{count} partitions: must be 1 to {_MAX_PARTITIONS}"
            )
        if replication_factor not in {-1, 1}:
            raise RequestRefusedError(
                ErrorCode.INVALID_REPLICATION_FACTOR,
                f"replication factor {replication_factor}: there is only one broker",
            )
        topic = Topic(name, [PartitionLog() for _ in range(count)])
        topic.overrides = _merged(topic.overrides, overrides or {})
        if not validate_only:
            self._topics[name] = topic
        return topic

    def delete(self, topic: Topic) -> None:
        """Delete a topic and wake whoever waits for its records."""
        del self._topics[topic.name]
        for log in topic.partitions:
            log.wake_all()

    def expire(self, now_ms: int) -> None:
        """Delete records that are older than their topic keeps them."""
        for topic in self._topics.values():
            if (retention_ms := topic.retention_ms) is not None:
                for log in topic.partitions:
                    log.delete_older_than(now_ms - retention_ms)

    def grow(self, name: str, count: int, *, validate_only: bool = False) -> None:
        """Raise a topic's number of partitions to `count`.

        Raises:
            RequestRefusedError: there is no such topic, or it would not grow.
        """
        topic = self.require(name)
        if not len(topic.partitions) < count <= _MAX_PARTITIONS:
            raise RequestRefusedError(
                ErrorCode.INVALID_PARTITIONS,
                f"topic {name} has {len(topic.partitions)} partitions; {count} is no larger number "
                f"up to {_MAX_PARTITIONS}",
            )
        if not validate_only:
            topic.partitions.extend(PartitionLog() for _ in range(count - len(topic.partitions)))

    def configure(self, name: str, changes: Mapping[str, str | None], *, validate_only: bool = False) -> None:
        """Change a topic's settings; None resets one to its default.

        Raises:
            RequestRefusedError: there is no such topic or setting.
        """
        topic = self.require(name)
        merged = _merged(topic.overrides, changes)
        if not validate_only:
            topic.overrides = merged


def _merged(overrides: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """`overrides` after `changes`, checked."""
    merged = dict(overrides)
    for name, value in changes.items():
        if name not in CONFIG_DEFAULTS:
            raise RequestRefusedError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
        if value is None:
            merged.pop(name, None)
        elif name in _NUMERIC_CONFIGS and not value.removeprefix("-").isdigit():
            raise RequestRefusedError(ErrorCode.INVALID_CONFIG, f"Invalid value for {name}: not a number")
        else:
            merged[name] = value
    return merged
