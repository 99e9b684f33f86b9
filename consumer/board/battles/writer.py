"""Battles that are tried out, on their way to the topic: written as any producer writes them.

Whoever sends one is told how that ended, within `WRITE_S`. A broker that does not confirm it in time may have written
it all the same, or may find it in its socket when it wakes up: then it is told as unconfirmed, with its id. What was
not handed to a broker by then is never written: the producer that has it is closed, and the next battle gets another
one.
"""

from __future__ import annotations

import secrets
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from prefstream.consumer.board.battles.payloads import ID_PREFIX, BattleDraft, SentBattle
from prefstream.consumer.client.acl import spell
from prefstream.consumer.client.clients import make_producer
from prefstream.consumer.client.kafka_errors import KafkaError, Meaning, Translator, meaning_of, why_of
from prefstream.consumer.client.protocols import Producer
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokerUnreachableError, UnconfirmedError
from prefstream.schemas import KafkaSource, encode_battle

WRITE_S: Final = 8.0
"""From the question to its answer: a person waits, and what is asked of proxies, 10 s, is not far."""

CONNECT_MS: Final = 3_000
"""For the first battle alone: leaves more than half of the time to the writing."""

TOPIC_MS: Final = 2_000
"""To find the topic's partitions; brokers that answer do in milliseconds."""

DELIVERY_MS: Final = 6_000
"""kafka-python tries a record again for so long."""

REQUEST_MS: Final = 2_500
"""A broker that does not answer is asked again, twice at most within the delivery's time."""

CLOSE_S: Final = 1.0
"""For the producer's thread to end; what it has not sent is given up at once."""

_REFUSED: Final = frozenset({Meaning.DENIED, Meaning.TOO_LARGE, Meaning.TOPIC_MISSING, Meaning.LOGIN_REFUSED})
"""What these mean was not written; of all else nobody knows."""


class BattleWriter:
    """Writes battles to their topic, by a producer that is made for the first one. Thread-safe.

    Args:
        names: the topic, and where it is.
    """

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._topic = names.battles_topic
        self._lock = threading.Lock()
        self._producer: Producer | None = None
        self._closed = False
        self._translator = Translator(
            f"writing to {self._topic}", acls=lambda _: spell("WRITE", self._topic), otherwise=BrokerUnreachableError
        )

    def write(self, draft: BattleDraft) -> SentBattle:
        """Write one battle, and wait until the brokers have it; `WRITE_S` at most.

        Raises:
            UnconfirmedError: nobody knows whether it was written.
            StreamError: it was not.
        """
        deadline = time.monotonic() + WRITE_S
        sent_at = datetime.now(UTC)
        battle = draft.battle(ID_PREFIX + secrets.token_hex(8), sent_at)
        producer = self._ready_producer(deadline)
        try:
            under_way = producer.send(self._topic, value=encode_battle(battle), key=battle.id.encode())
        except KafkaError as error:  # no buffer has it
            self._give_up(producer)
            raise self._translator.error(error, "nothing was written") from error
        try:
            placed = under_way.get(timeout=max(0.0, deadline - time.monotonic()))
        except KafkaError as error:
            self._give_up(producer)
            if meaning_of(error) in _REFUSED:
                raise self._translator.error(error, "nothing was written") from error
            raise UnconfirmedError(
                f"no broker confirmed the battle ({why_of(error)}): it may be written all the same; look for "
                f"{battle.id} among the verdicts before you send it again",
                battle.id,
            ) from error
        return SentBattle(id=battle.id, sent_at=sent_at, source=_source(placed))

    def close(self) -> None:
        """Let go of the producer; what is under way is unconfirmed."""
        with self._lock:
            self._closed = True
            producer = self._producer
        if producer is not None:
            self._give_up(producer)

    def _ready_producer(self, deadline: float) -> Producer:
        """The producer, which knows the topic: from here on a record is handed over at once."""
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise BrokerUnreachableError("the brokers are still being connected to; nothing was written, try again")
        try:
            if self._closed:
                raise BrokerUnreachableError("the board is stopping; nothing was written")
            if self._producer is None:
                made = make_producer(
                    self._names,
                    client_id="prefstream-board-try",
                    bootstrap_timeout_ms=CONNECT_MS,
                    max_block_ms=TOPIC_MS,
                    request_timeout_ms=REQUEST_MS,
                    delivery_timeout_ms=DELIVERY_MS,
                    linger_ms=0,  # one battle waits for no other
                )
                try:
                    with self._translator.translating():
                        made.partitions_for(self._topic)
                except BaseException:
                    made.close(timeout=CLOSE_S)
                    raise
                self._producer = made
            return self._producer
        finally:
            self._lock.release()

    def _give_up(self, producer: Producer) -> None:
        """Close a producer, with whatever it has not sent; the next battle gets another one.

        After a failure an idempotent one is of no use: sequence numbers of what failed are missing to the brokers.
        """
        with self._lock:
            if self._producer is producer:
                self._producer = None
        with suppress(KafkaError):  # who sent something is told of it
            producer.close(timeout=CLOSE_S)


def _source(placed: object) -> KafkaSource | None:
    """Where a record stands; a broker that had it already does not say."""
    offset = getattr(placed, "offset", None)
    if not isinstance(offset, int) or offset < 0:
        return None
    return KafkaSource.model_validate(placed, from_attributes=True)
