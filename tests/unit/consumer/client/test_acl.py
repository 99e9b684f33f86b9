"""Which ACL is missing, in words that a person can grant."""

from __future__ import annotations

from pathlib import Path

import pytest
from kafka import errors as kafka_errors

from prefstream.consumer.client.acl import (
    acls_of_lag,
    acls_of_stream,
    battle_operations,
    board_operations,
    calibrating_operations,
    topic_operations,
    watch_operations,
)
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


def test_a_review_topic_is_one_more_to_write() -> None:
    config = CONFIG.model_copy(update={"review_topic": "look"})
    assert topic_operations(config).items() - topic_operations(CONFIG).items() == {("look", "WRITE")}
    error = kafka_errors.TopicAuthorizationFailedError({"look"})
    assert acls_of_stream(config)(error) == "Write on topic look"


def test_a_shadow_writes_to_its_own_topic_alone() -> None:
    """Those who serve can keep it from theirs."""
    config = CONFIG.model_copy(update={"shadow": True, "review_topic": "look"})
    assert topic_operations(config) == {"in": "READ", "preferences.shadow": "WRITE"}
    follows = config.model_copy(update={"panels": Path()})
    assert topic_operations(follows).items() - topic_operations(config).items() == {("panels", "READ")}
    missing = acls_of_stream(config)
    assert missing(kafka_errors.GroupAuthorizationFailedError("g-shadow")) == "Read on group g-shadow"
    denied = kafka_errors.TransactionalIdAuthorizationFailedError()
    assert missing(denied) == "Write on transactional ids that start with g-shadow-"


def test_stream_and_board_share_nothing_but_the_preferences() -> None:
    """Each can have a user of its own, with rights that the other lacks."""
    stream, board = topic_operations(CONFIG), board_operations(CONFIG)
    assert stream.keys() & board.keys() == {"out"}
    assert board == {"out": "READ", "votes": "READ", "votes.dead-letters": "WRITE"}


def test_who_asks_for_the_lag_reads_which_right_is_missing() -> None:
    assert watch_operations(CONFIG) == {"in": "DESCRIBE", "dead": "READ"}
    missing = acls_of_lag(CONFIG, "g")
    assert missing(kafka_errors.GroupAuthorizationFailedError("g")) == "Describe on group g"
    assert missing(kafka_errors.TopicAuthorizationFailedError("in")) == "Describe on topic in"


@pytest.mark.parametrize("writes", [False, True])
@pytest.mark.parametrize("reads", [False, True])
def test_the_board_needs_rights_on_battles_only_for_what_its_page_may_do(*, writes: bool, reads: bool) -> None:
    needed = battle_operations(CONFIG, writes=writes, reads=reads)
    assert ({"in": "WRITE"} in needed, {"in": "READ"} in needed) == (writes, reads)
    assert len(needed) == writes + reads


def test_live_calibration_writes_choices_alone_and_in_a_dry_run_nothing() -> None:
    reads = {"out": "READ", "votes": "READ", "panels": "READ"}
    assert calibrating_operations(CONFIG, publishes=False) == [reads]
    assert calibrating_operations(CONFIG, publishes=True) == [reads, {"panels": "WRITE"}]
