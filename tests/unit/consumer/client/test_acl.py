"""Which ACL is missing, in words that a person can grant."""

from __future__ import annotations

import pytest
from kafka import errors as kafka_errors

from prefstream.consumer.client.acl import acls_of_stream
from prefstream.consumer.config import StreamConfig

CONFIG = StreamConfig(battles_topic="in", preferences_topic="out", dead_letters_topic="dead", group_id="g")


@pytest.mark.parametrize(
    ("error", "acls"),
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
def test_an_error_of_the_client_names_operation_and_resource(error: kafka_errors.AuthorizationError, acls: str) -> None:
    assert acls_of_stream(CONFIG, ["out", "dead"])(error) == acls
