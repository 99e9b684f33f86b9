"""Records that are hostile in what surrounds their values: header keys that are no text, batches that are bombs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Final

import lz4.frame
import pytest
from kafka import KafkaProducer

from prefstream.consumer.client.patches.header_keys import HeaderKey
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import ERROR_HEADERS, Reason
from prefstream.schemas.dead_letter import HEADER_VALUE_SIZE, header
from tests.support.packed_batches import batch_of, pack, produce_batch, records_of
from tests.support.streams import assert_exactly_once, battle_event, battle_events, produce, running

MakeConfig = Callable[..., StreamConfig]

KEY = HeaderKey(b"zq\xff\xfe\x00")


def test_a_header_key_that_is_not_utf8_stops_nothing_and_is_passed_on_as_it_was(stream_config: MakeConfig) -> None:
    config = stream_config(partitions=1, dead_letter_limit=1)
    headers = [("before", b"1"), (KEY, b"\xff"), ("behind", b"2")]
    sent = produce(config, [battle_event(0), b"no JSON"], headers=headers) + produce(config, [battle_event(1)])
    with running(config) as service:
        service.wait_published(len(sent))
        outcome = assert_exactly_once(config, sent)
    assert sorted(preference.id for preference in outcome.preferences) == ["battle-0", "battle-1"]
    (letter,) = outcome.dead_letters
    own = [(name.encode(), value) for name, value in letter.headers if name not in ERROR_HEADERS]
    assert own == [(name.encode(), value) for name, value in headers]


@pytest.mark.parametrize("codec", ["gzip", "lz4", "zstd"])
def test_a_batch_that_unpacks_to_a_thousandfold_becomes_a_dead_letter_without_its_value(
    stream_config: MakeConfig, codec: str
) -> None:
    """Small enough for the broker, but when unpacked larger than anything that could be sent on."""
    config = stream_config(partitions=1, dead_letter_limit=1)
    bomb = b'{"id": "' + b" " * (24 << 20)
    with closing(
        KafkaProducer(
            bootstrap_servers=config.bootstrap_servers, compression_type=codec, max_request_size=2 * len(bomb)
        )
    ) as to:
        at = to.send(config.battles_topic, bomb, b"zqkey").get(100)
    sent = [(at.topic, at.partition, at.offset), *produce(config, [battle_event(1)])]
    with running(config) as service:
        service.wait_published(len(sent))
        outcome = assert_exactly_once(config, sent)
    (letter,) = outcome.dead_letters
    assert (letter.key, letter.value, header(letter, HEADER_VALUE_SIZE)) == (b"zqkey", b"", str(len(bomb)))


TAKEN: Final = {
    "bytes behind gzip's last member": ("gzip", b"\0\0garbage"),
    "bytes behind snappy's last block": ("snappy", b"\0\0"),
}
"""What Apache Kafka takes, and Python's libraries do not."""


@pytest.mark.parametrize("name", TAKEN)
def test_a_batch_that_its_broker_can_unpack_is_read_as_the_broker_does(stream_config: MakeConfig, name: str) -> None:
    config = stream_config(partitions=1)
    codec, rest = TAKEN[name]
    packed = pack(codec, records_of([battle_event(0), battle_event(1)])) + rest
    sent = [*produce_batch(config, batch_of(codec, packed, 2), 2), *produce(config, [battle_event(2)])]
    with running(config) as service:
        service.wait_published(len(sent))
        outcome = assert_exactly_once(config, sent)
    assert len(outcome.preferences) == 3


def test_a_batch_that_only_its_broker_can_unpack_becomes_dead_letters(stream_config: MakeConfig) -> None:
    """Apache Kafka does not look at the checksum of an lz4 frame's content."""
    config = stream_config(partitions=1, dead_letter_limit=1)
    records = b"".join(records_of([battle_event(0), battle_event(1)]))
    packed = lz4.frame.compress(records, content_checksum=True, block_linked=False)[:-4] + b"\1\2\3\4"
    sent = [*produce_batch(config, batch_of("lz4", packed, 2), 2), *produce(config, [battle_event(2)])]
    with running(config) as service:
        service.wait_published(len(sent))
        outcome = assert_exactly_once(config, sent)
    assert outcome.reasons() == {Reason.NOT_UNPACKED: 2}
    assert len(outcome.preferences) == 1


def test_a_lone_battle_does_not_wait_for_the_backlog_of_another_partition(stream_config: MakeConfig) -> None:
    """Batches of ten; a thousand battles of the other partition fit into one fetch."""
    config = stream_config(partitions=2, max_batch_battles=10)
    sent = produce(config, battle_events(1_000), partition=0)
    (lone,) = produce(config, [battle_event(1_000)], partition=1)
    with running(config) as service:
        service.wait_published(len(sent) + 1)
        assert_exactly_once(config, [*sent, lone])
    before = 0
    for batch in service.committed:
        if any(message.event.record.partition == 1 for message in batch.messages):
            break
        before += len(batch.messages)
    assert before < 500, "it came with the first fetch, and waits for what was read before"
