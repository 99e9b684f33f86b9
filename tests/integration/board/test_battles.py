"""Battles that are tried out, on their way to the topic; and the texts of one, read from there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import TopicAlreadyExistsError

from prefstream.consumer.board.battles.payloads import BattleDraft
from prefstream.consumer.board.battles.texts import TextReader
from prefstream.consumer.board.battles.writer import WRITE_S, BattleWriter
from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.config import TopicNames
from prefstream.consumer.errors import BrokerUnreachableError, TextsMissingError, UnconfirmedError
from prefstream.schemas import KafkaSource, decode_battle
from tests.conftest import Kafka
from tests.support.board_topics import board_names
from tests.support.streams import battle_event, read_topic, wait_until

DRAFT = BattleDraft(prompt='["one", "turn"]', response_a="[]", response_b="")
CLIENT = "prefstream-board-try"
FOR_EVER = 1_000


@pytest.fixture
def names(kafka: Kafka) -> TopicNames:
    return board_names(kafka.bootstrap_servers, partitions=2)


@pytest.fixture
def reader(names: TopicNames) -> Iterator[TextReader]:
    with closing(TextReader(names)) as reader:
        yield reader


def send(names: TopicNames, *values: bytes | None, transaction: str | None = None, commit: bool = True) -> list[int]:
    """Write records to partition 1 of the battles topic; their offsets."""
    settings = {"transactional_id": transaction} if transaction else {}
    with closing(KafkaProducer(bootstrap_servers=names.bootstrap_servers, **settings)) as producer:
        if transaction:
            producer.init_transactions()
            producer.begin_transaction()
        sent = [producer.send(names.battles_topic, value, key=b"k", partition=1) for value in values]
        producer.flush()
        if transaction:
            producer.commit_transaction() if commit else producer.abort_transaction()
        return [one.get(100).offset for one in sent]


# --- trying one out ------------------------------------------------------------------------------------------------


def test_a_battle_stands_on_the_topic_as_a_producer_writes_it(names: TopicNames) -> None:
    with closing(BattleWriter(names)) as writer:
        sent = writer.write(DRAFT)
        other = writer.write(DRAFT)
    first, _ = sorted(read_topic(names.bootstrap_servers, names.battles_topic), key=lambda record: record.timestamp)
    battle = decode_battle(first.value)
    assert re.fullmatch("try-[0-9a-f]{16}", sent.id)
    assert sent.id != other.id
    assert (first.key.decode(), battle.id, battle.occurred_at) == (sent.id, sent.id, sent.sent_at)
    # What looks like a list of turns is the text that was typed.
    assert (battle.prompt, battle.response_a, battle.response_b) == (('["one", "turn"]',), ("[]",), ("",))
    assert sent.source == KafkaSource(topic=first.topic, partition=first.partition, offset=first.offset)


def test_brokers_that_are_away_are_told_and_nothing_is_written_when_they_are_back() -> None:
    broker = EmbeddedBroker()
    with broker:
        names = board_names(broker.bootstrap_servers, partitions=1)
    with closing(BattleWriter(names)) as writer:
        with pytest.raises(BrokerUnreachableError, match="no connection to"):
            writer.write(DRAFT)
        with broker:
            sent = writer.write(DRAFT)
            broker.stop()
            with pytest.raises(UnconfirmedError, match="may be written all the same") as told:
                writer.write(DRAFT)
            assert told.value.record_id != sent.id
            broker.start()
            later = writer.write(DRAFT)
            found = read_topic(broker.bootstrap_servers, names.battles_topic)
    assert [record.key.decode() for record in found] == [sent.id, later.id]


def test_what_a_broker_wrote_without_saying_so_is_told_as_unconfirmed() -> None:
    with EmbeddedBroker() as broker:
        names = board_names(broker.bootstrap_servers, partitions=1)
        broker.faults.delay("Produce", seconds=2 * WRITE_S, client_id=CLIENT, after_apply=True, times=FOR_EVER)
        with closing(BattleWriter(names)) as writer, pytest.raises(UnconfirmedError) as told:
            writer.write(DRAFT)
        (record,) = read_topic(broker.bootstrap_servers, names.battles_topic)
    assert record.key.decode() == told.value.record_id
    assert told.value.record_id in str(told.value)


def test_a_topic_that_is_not_there_is_named() -> None:
    with EmbeddedBroker() as broker:
        names = TopicNames.load(bootstrap_servers=broker.bootstrap_servers, battles_topic="nowhere")
        with closing(BattleWriter(names)) as writer, pytest.raises(BrokerUnreachableError, match="writing to nowhere"):
            writer.write(DRAFT)


def test_who_stops_writes_nothing_any_more(names: TopicNames) -> None:
    writer = BattleWriter(names)
    writer.write(DRAFT)
    writer.close()
    with pytest.raises(BrokerUnreachableError, match="is stopping"):
        writer.write(DRAFT)


# --- texts ---------------------------------------------------------------------------------------------------------


def test_texts_are_those_of_the_record_at_the_place(names: TopicNames, reader: TextReader) -> None:
    many = [battle_event(number, prompt=[f"p{number}", ""]) for number in range(3)]
    turns = {"response_a": ["a", "<b>"], "response_b": ["\u202eb", ""]}
    offsets = send(names, *many[:2], battle_event(7, prompt=["one", "two"], **turns), transaction=names.battles_topic)
    texts = reader.read("battle-7", 1, offsets[2])
    assert (texts.prompt, texts.response_a, texts.response_b) == (("one", "two"), ("a", "<b>"), ("\u202eb", ""))
    (framed,) = send(names, b"\0\0\0\0\x07" + battle_event(8))
    assert reader.read("battle-8", 1, framed).prompt == ("zqprompt 8",)


def test_where_that_battle_is_not_it_is_told_why(names: TopicNames, reader: TextReader) -> None:
    committed, tombstone, none = send(names, battle_event(1), None, b"no battle", transaction=names.battles_topic)
    (aborted,) = send(names, battle_event(2), transaction=names.battles_topic, commit=False)
    (last,) = send(names, battle_event(3))
    for offset, why in {
        committed: "another battle stands at",
        tombstone: "no battle: null_value",
        none: "no battle: not_json",
        none + 1: "or is no record but a transaction's marker",
        aborted: "its transaction was aborted",
        aborted + 1: "or is no record but a transaction's marker",
        last + 1: "nothing stands at",
    }.items():
        with pytest.raises(TextsMissingError, match=why):
            reader.read("battle-2", 1, offset)
    with pytest.raises(TextsMissingError, match="has no partition 2"):
        reader.read("battle-1", 2, 0)


def test_what_retention_deleted_is_told(names: TopicNames, reader: TextReader) -> None:
    offsets = send(names, *map(battle_event, range(3)))
    with closing(KafkaAdminClient(bootstrap_servers=names.bootstrap_servers)) as admin:
        admin.delete_records({TopicPartition(names.battles_topic, 1): offsets[2]})
    with pytest.raises(TextsMissingError, match=f"the topic keeps battles from offset {offsets[2]} on"):
        reader.read("battle-0", 1, offsets[0])
    assert reader.read("battle-2", 1, offsets[2]).id == "battle-2"


def test_a_topic_that_was_recreated_has_other_battles(names: TopicNames, reader: TextReader) -> None:
    (offset,) = send(names, battle_event(1))
    assert reader.read("battle-1", 1, offset).id == "battle-1"
    with closing(KafkaAdminClient(bootstrap_servers=names.bootstrap_servers)) as admin:
        admin.delete_topics([names.battles_topic])
        made_again(admin, names)
    (again,) = send(names, battle_event(5))
    assert again == offset
    with pytest.raises(TextsMissingError, match="the topic was recreated"):
        found(reader, offset)


def test_brokers_that_are_back_are_asked_anew() -> None:
    broker = EmbeddedBroker()
    with broker:
        names = board_names(broker.bootstrap_servers, partitions=2)
        (offset,) = send(names, battle_event(1))
    with closing(TextReader(names)) as reader:
        with pytest.raises(BrokerUnreachableError, match="no connection to"):
            reader.read("battle-1", 1, offset)
        with broker:
            assert reader.read("battle-1", 1, offset).id == "battle-1"
            broker.stop()
            with pytest.raises(BrokerUnreachableError, match=r"reading .* failed"):
                reader.read("battle-1", 1, offset)
            broker.start()
            assert reader.read("battle-1", 1, offset).id == "battle-1"


def made_again(admin: KafkaAdminClient, names: TopicNames) -> None:
    """Until the brokers have let go of the one before."""

    def make() -> bool:
        try:
            admin.create_topics({names.battles_topic: {"num_partitions": 2, "replication_factor": 1}})
        except TopicAlreadyExistsError:
            return False
        return True

    wait_until(make, what="the topic")


def found(reader: TextReader, offset: int) -> None:
    """Until the reader, or its broker, has heard of the new topic."""

    def look() -> bool:
        try:
            reader.read("battle-1", 1, offset)
        except BrokerUnreachableError:
            return False
        return True

    wait_until(look, what="an answer")
