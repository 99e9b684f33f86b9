"""What battles and preferences may be wrapped in: frames of a schema registry, envelopes of CloudEvents."""

from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import SchemaRegistryError
from prefstream.schemas.dead_letter import HEADER_MESSAGE, header
from tests.support.schema_registry import schema_registry
from tests.support.streams import (
    assert_exactly_once,
    assert_reviews_exact,
    battle_events,
    produce,
    read_topic,
    running,
)

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MakeConfig = Callable[..., StreamConfig]


def test_framed_battles_come_out_as_framed_preferences_by_whose_number_the_schema_is_found(
    stream_config: MakeConfig,
) -> None:
    with schema_registry() as registry:
        config = stream_config(
            review_topic="yes",
            review_share=1.0,
            review_share_above=1.0,
            battles_framing="confluent",
            preferences_framing="confluent",
            schema_registry_url=registry.url,
        )
        sent = produce(
            config, [*(b"\0\0\0\0\7" + event for event in battle_events(3)), *battle_events(2, first=3), b"none"]
        )
        with running(config) as service:
            service.wait_published(len(sent))
        assert registry.asked == [("POST", f"/subjects/{config.preferences_topic}-value/versions")]
    assert assert_exactly_once(config, sent).reasons() == {"not_json": 1}
    assert len(assert_reviews_exact(config)) == 5
    for record in read_topic(config.bootstrap_servers, config.preferences_topic):
        assert record.value[0] == 0
        schema = json.loads(registry.schemas[int.from_bytes(record.value[1:5], "big")])
        jsonschema.validate(json.loads(record.value[5:]), schema)


def test_battles_in_envelopes_are_answered_with_their_trace_and_malformed_ones_are_dead_letters(
    stream_config: MakeConfig,
) -> None:
    config = stream_config(partitions=1)
    told = {"specversion": "1.0", "id": "e", "source": "/chats", "type": "battle", "traceparent": TRACE}
    good = [json.dumps({**told, "data": json.loads(event)}).encode() for event in battle_events(3)]
    bad = json.dumps({**told, "source": None, "data": json.loads(battle_events(1)[0])}).encode()
    sent = produce(config, [*good, bad], headers=[("content-type", b"application/cloudevents+json")])
    sent += produce(config, battle_events(1, first=9))
    with running(config) as service:
        service.wait_published(len(sent))
    outcome = assert_exactly_once(config, sent)
    assert [preference.id for preference in outcome.preferences] == ["battle-0", "battle-1", "battle-2", "battle-9"]
    records = read_topic(config.bootstrap_servers, config.preferences_topic)
    assert [dict(record.headers).get("traceparent") for record in records] == [TRACE.encode()] * 3 + [None]
    [letter] = outcome.dead_letters
    assert letter.value == bad
    assert dict(letter.headers)["content-type"] == b"application/cloudevents+json"
    assert header(letter, HEADER_MESSAGE) == "wrong_type: the CloudEvents envelope: field source should be a text"


def test_a_registry_that_refuses_ends_the_start_before_judges_are_loaded(stream_config: MakeConfig) -> None:
    with schema_registry() as registry:
        registry.answer = (409, b"{}")
        config = stream_config(preferences_framing="confluent", schema_registry_url=registry.url)
        with running(config, lambda: pytest.fail("judges were loaded")) as service:
            error = service.wait_ended()
    assert isinstance(error, SchemaRegistryError)
