"""Which right is missing, in words that a person can grant."""

from __future__ import annotations

from typing import Any

import pytest
from kafka import errors as kafka_errors

from prefstream.consumer.client.acl import missing_on_topics, rights_of_stream
from prefstream.consumer.config import StreamConfig

CONFIG = StreamConfig(battles_topic="in", preferences_topic="out", dead_letters_topic="dead", group_id="g")


def described(name: str, operations: list[str] | None, error_code: int = 0) -> dict[str, Any]:
    return {"name": name, "error_code": error_code, "authorized_operations": operations}


def test_no_right_is_missing_where_all_are_told() -> None:
    told = [described("in", ["READ"]), described("out", ["WRITE", "DESCRIBE"]), described("dead", ["WRITE"])]
    assert missing_on_topics(CONFIG, told) == []


def test_seeing_a_topic_is_not_writing_it() -> None:
    assert missing_on_topics(CONFIG, [described("dead", ["DESCRIBE"])]) == ["Write on topic dead"]


def test_a_topic_that_may_not_be_seen_may_not_be_read() -> None:
    error_code = kafka_errors.TopicAuthorizationFailedError.errno
    assert missing_on_topics(CONFIG, [described("in", None, error_code)]) == ["Read on topic in"]


def test_a_broker_that_does_not_tell_is_trusted() -> None:
    assert missing_on_topics(CONFIG, [described("in", None), described("out", None)]) == []


@pytest.mark.parametrize(
    ("error", "rights"),
    [
        (kafka_errors.TopicAuthorizationFailedError({"out"}), "Write on topic out"),
        (kafka_errors.TopicAuthorizationFailedError("dead"), "Write on topic dead"),
        (kafka_errors.TopicAuthorizationFailedError({"in"}), "Read on topic in"),
        (kafka_errors.TopicAuthorizationFailedError(), "Write on topic out, Write on topic dead"),
        (kafka_errors.GroupAuthorizationFailedError("g"), "Read on group g"),
        (kafka_errors.TransactionalIdAuthorizationFailedError(), "Write on transactional ids that start with g-"),
        (kafka_errors.ClusterAuthorizationFailedError(), "what we ask for"),
    ],
    ids=repr,
)
def test_an_error_of_the_client_names_operation_and_resource(
    error: kafka_errors.AuthorizationError, rights: str
) -> None:
    assert rights_of_stream(CONFIG, ["out", "dead"])(error) == rights
