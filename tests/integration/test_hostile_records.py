"""Records that are hostile in what surrounds their values: header keys that are no text, batches that are bombs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
from kafka import KafkaProducer

from prefstream.consumer.client.patches.header_keys import HeaderKey
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import ERROR_HEADERS
from prefstream.schemas.dead_letter import HEADER_VALUE_SIZE, header
from tests.support.streams import assert_exactly_once, battle_event, produce, running

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
