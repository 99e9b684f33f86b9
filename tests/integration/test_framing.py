"""Frames of a schema registry, in and out: what readers of its kind find, and that our own read past them."""

from __future__ import annotations

import json
from collections.abc import Callable

import jsonschema
import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import SchemaRegistryError
from tests.support.schema_registry import schema_registry
from tests.support.streams import (
    assert_exactly_once,
    assert_reviews_exact,
    battle_events,
    produce,
    read_topic,
    running,
)

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


def test_a_registry_that_refuses_ends_the_start_before_judges_are_loaded(stream_config: MakeConfig) -> None:
    with schema_registry() as registry:
        registry.answer = (409, b"{}")
        config = stream_config(preferences_framing="confluent", schema_registry_url=registry.url)
        with running(config, lambda: pytest.fail("judges were loaded")) as service:
            error = service.wait_ended()
    assert isinstance(error, SchemaRegistryError)
