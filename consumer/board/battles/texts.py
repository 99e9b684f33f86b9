"""The texts of one battle: one record of the battles topic, found by its place. Nothing of it is kept.

A preference says where its battle stood, not that it still does: topics forget by age and by size, are compacted,
deleted, and recreated with the same offsets. So what is read must be the battle of that id; else it is told why there
are no texts.
"""

from __future__ import annotations

import threading
from typing import Final

from prefstream.consumer.board.battles.payloads import BattleTexts
from prefstream.consumer.client.acl import spell
from prefstream.consumer.client.clients import make_consumer
from prefstream.consumer.client.kafka_errors import Meaning, Translator
from prefstream.consumer.client.offsets import read_ranges
from prefstream.consumer.client.patches.unbounded_unpacking import Withheld
from prefstream.consumer.client.protocols import ConsumerRecord, GroupConsumer, TopicPartition
from prefstream.consumer.client.values import place_of
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokerUnreachableError, TextsMissingError
from prefstream.schemas import InvalidEventError, decode_battle
from prefstream.schemas.cloud_event import content_type_of

TURN_S: Final = 3.0
"""So long somebody waits for another's record to be read; reading one takes milliseconds."""

CONNECT_MS: Final = 3_000
"""For the first record alone, and after a failure."""

ASK_MS: Final = 2_000
"""For each question; brokers that are there answer in milliseconds, and a person waits."""

FETCH_BYTES: Final = 64 * 1024
"""One record is wanted, and what stands behind it is fetched in vain; a larger record batch comes whole."""


class TextReader:
    """Reads battles by their place, with a consumer of its own that is made for the first one. Thread-safe.

    Args:
        names: the topic, and where it is.
    """

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._topic = names.battles_topic
        self._turn = threading.Lock()
        self._consumer: GroupConsumer | None = None
        self._closed = False
        self._translator = Translator(
            f"reading {self._topic}",
            acls=lambda _: spell("READ", self._topic),
            remedies={Meaning.RECORD_DAMAGED: "its texts can't be shown"},
            otherwise=BrokerUnreachableError,
        )

    @property
    def topic(self) -> str:
        """The only one that is read."""
        return self._topic

    def read(self, battle_id: str, partition: int, offset: int) -> BattleTexts:
        """The texts of a battle.

        Args:
            battle_id: whose texts are wanted.
            partition: where it stands.
            offset: likewise.

        Raises:
            TextsMissingError: that battle does not stand there.
            StreamError: nobody can say.
        """
        if not self._turn.acquire(timeout=TURN_S):
            raise BrokerUnreachableError(f"reading {self._topic} takes long for others, too; try again")
        try:
            record = self._record(TopicPartition(self._topic, partition), offset)
        finally:
            self._turn.release()
        return _texts(record, battle_id)

    def close(self) -> None:
        """Let go of the consumer, once nobody reads."""
        with self._turn:
            self._closed = True
            self._let_go()

    def _record(self, partition: TopicPartition, offset: int) -> ConsumerRecord:
        if self._closed:
            raise BrokerUnreachableError("the board is stopping")
        try:
            with self._translator.translating():
                return self._read(self._knowing(partition), partition, offset)
        except BrokerUnreachableError:
            self._let_go()  # a new one knows nothing of how things were
            raise

    def _knowing(self, partition: TopicPartition) -> GroupConsumer:
        """A consumer that knows the partition; one that does not may be older than the partition."""
        for _ in range(2):
            consumer = self._connected()
            if partition.partition in (consumer.partitions_for_topic(partition.topic) or ()):
                return consumer
            self._let_go()
        raise TextsMissingError(
            f"{partition.topic} has no partition {partition.partition}: the topic was deleted or recreated, or may not "
            "be seen"
        )

    def _connected(self) -> GroupConsumer:
        if self._consumer is None:
            self._consumer = make_consumer(
                self._names,
                client_id="prefstream-board-texts",
                bootstrap_timeout_ms=CONNECT_MS,
                request_timeout_ms=ASK_MS,
                fetch_max_wait_ms=100,
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_bytes=FETCH_BYTES,
            )
        return self._consumer

    def _read(self, consumer: GroupConsumer, partition: TopicPartition, offset: int) -> ConsumerRecord:
        place = f"{partition.topic}/{partition.partition}/{offset}"
        begin = consumer.beginning_offsets([partition], timeout_ms=ASK_MS)[partition]
        if offset < begin:
            raise TextsMissingError(f"{place} was deleted: the topic keeps battles from offset {begin} on (retention)")
        end = consumer.end_offsets([partition], timeout_ms=ASK_MS)[partition]
        if offset >= end:
            raise TextsMissingError(f"nothing stands at {place} (yet): was the topic recreated?")
        try:
            found = list(read_ranges(consumer, {partition: range(offset, offset + 1)}, silence_s=ASK_MS / 1000))
        finally:
            consumer.assign([])
            consumer.forget_fetched()  # texts of others, too
        if not found:
            raise TextsMissingError(
                f"no record stands at {place}: it was compacted away, or its transaction was aborted, or is no record "
                "but a transaction's marker"
            )
        return found[0]

    def _let_go(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close(autocommit=False)


def _texts(record: ConsumerRecord, battle_id: str) -> BattleTexts:
    place = place_of(record)
    if isinstance(record.value, Withheld):
        raise TextsMissingError(f"{place} can't be read: {record.value.why}")
    try:
        # A value without a frame is read as it is, so that nobody has to say here what `run` was told.
        battle = decode_battle(record.value, framing="confluent", content_type=content_type_of(record))
    except InvalidEventError as error:
        raise TextsMissingError(f"what stands at {place} is no battle: {error}") from None
    if battle.id != battle_id:
        raise TextsMissingError(
            f"another battle stands at {place}: the topic was recreated, or the preference is of another topic"
        )
    return BattleTexts.of(battle)
