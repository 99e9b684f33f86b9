"""The clients' defaults, and what a person reads when a broker does not answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from kafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from pydantic import SecretStr

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client import clients as kafka_client
from prefstream.consumer.client.clients import (
    admin_client,
    connection_settings,
    make_admin,
    make_consumer,
    make_group_consumer,
    make_producer,
    make_transactional_producer,
    patiently,
)
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.connection import KafkaConnection
from prefstream.consumer.errors import BrokerUnreachableError, UsageError

MakeClient = Callable[[KafkaConnection], Any]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "CONNECT_TIMEOUT_MS", 1_000)


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as broker:
        yield broker


def test_several_brokers_are_a_list() -> None:
    settings = connection_settings(KafkaConnection.load(bootstrap_servers="a:1, b:2"))
    assert settings["bootstrap_servers"] == ["a:1", "b:2"]


def test_without_login_nothing_is_said_about_one() -> None:
    assert not [name for name in connection_settings(KafkaConnection.load()) if name.startswith(("sasl", "ssl"))]


def test_a_login_reaches_the_client() -> None:
    connection = KafkaConnection.load(
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="me",
        sasl_password=SecretStr("password"),
    )
    settings = connection_settings(connection)
    assert {name: text for name, text in settings.items() if name.startswith(("sasl", "ssl", "security"))} == {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "me",
        "sasl_plain_password": "password",
        "sasl_oauth_token_provider": None,
    }


def test_clients_of_one_login_share_its_tokens() -> None:
    def settings() -> dict[str, Any]:
        return connection_settings(
            KafkaConnection.load(
                security_protocol="SASL_PLAINTEXT",
                sasl_mechanism="OAUTHBEARER",
                sasl_oauth_token_url="https://login.test/token",  # noqa: S106 - an address
                sasl_oauth_client_id="me",
                sasl_oauth_client_secret=SecretStr("password"),
            )
        )

    assert settings()["sasl_oauth_token_provider"] is settings()["sasl_oauth_token_provider"]


def test_a_consumer_never_commits_or_skips_by_itself(broker: EmbeddedBroker) -> None:
    consumer = make_consumer(KafkaConnection.load(bootstrap_servers=broker.bootstrap_servers))
    try:
        assert consumer.config["enable_auto_commit"] is False
        assert consumer.config["isolation_level"] == "read_committed"
        assert consumer.config["auto_offset_reset"] == "none"
    finally:
        consumer.close()


@pytest.mark.parametrize("given", ["one", None])
def test_a_group_consumer_is_cooperative_and_static_only_where_the_operator_named_it(
    broker: EmbeddedBroker, given: str | None
) -> None:
    """A name that was made from the host's may never come back."""
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, instance_id=given)
    consumer = make_group_consumer(config, "one")
    try:
        assert [kind.name for kind in consumer.config["partition_assignment_strategy"]] == ["cooperative-sticky"]
        assert consumer.config["group_instance_id"] == given
    finally:
        consumer.close()


def test_a_transactional_producer_waits_for_all_replicas(broker: EmbeddedBroker) -> None:
    config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers, transaction_timeout_ms=5_000)
    producer = make_transactional_producer(config, "one")
    try:
        assert producer.config["acks"] == -1
        assert producer.config["transactional_id"] == "prefstream-one~10"
        assert producer.config["transaction_timeout_ms"] == 5_000
    finally:
        producer.close()


@pytest.mark.parametrize(
    "make",
    [lambda config: make_transactional_producer(config, "one"), partial(make_producer, transactional_id="rescore-one")],
)
def test_a_transactional_producer_asks_again_as_soon_as_javas_client(
    broker: EmbeddedBroker, make: Callable[[StreamConfig], Any]
) -> None:
    with closing(make(StreamConfig.load(bootstrap_servers=broker.bootstrap_servers))) as producer:
        assert producer.config["retry_backoff_ms"] <= 20


@pytest.mark.parametrize("make", [make_admin, make_consumer, make_producer])
def test_where_nothing_listens_the_address_is_named(make: MakeClient) -> None:
    with pytest.raises(BrokerUnreachableError, match=r"127\.0\.0\.1:1 .*nothing listens there"):
        make(KafkaConnection.load(bootstrap_servers="127.0.0.1:1"))


def test_a_port_that_does_not_speak_kafka_is_told_within_the_time_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(BrokerUnreachableError, match=str(port)):
            make_admin(KafkaConnection.load(bootstrap_servers=f"127.0.0.1:{port}"))


def test_tls_towards_a_port_without_it_says_so(broker: EmbeddedBroker) -> None:
    connection = KafkaConnection.load(bootstrap_servers=broker.bootstrap_servers, security_protocol="SSL")
    with pytest.raises(BrokerUnreachableError, match="TLS"):
        make_admin(connection)


def test_a_refused_login_says_so_and_not_with_what(broker: EmbeddedBroker) -> None:
    connection = KafkaConnection.load(
        bootstrap_servers=broker.bootstrap_servers,
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="me",
        sasl_password=SecretStr("correct-horse"),
    )
    with pytest.raises(BrokerUnreachableError) as refusal:
        make_admin(connection)
    assert "correct-horse" not in str(refusal.value)


def test_an_address_that_is_none_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="localhost:many"):
        make_admin(KafkaConnection.load(bootstrap_servers="localhost:many"))


def test_a_certificate_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.pem"):
        KafkaConnection.load(security_protocol="SSL", ssl_cafile=tmp_path / "nowhere.pem")


def test_an_admin_client_is_closed_at_the_end(broker: EmbeddedBroker) -> None:
    with admin_client(KafkaConnection.load(bootstrap_servers=broker.bootstrap_servers)) as admin:
        assert admin.list_topics() == []
    assert admin._closed


def asked_of(*answers: Exception | str) -> Callable[[], str]:
    """Answers in turn; the last one for ever."""
    left = list(answers)

    def ask() -> str:
        answer = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_a_question_is_asked_again_while_a_broker_is_away() -> None:
    assert patiently(asked_of(KafkaConnectionError("refused"), "answer")) == "answer"


def test_a_question_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_client, "PATIENCE_S", 0.1)
    with pytest.raises(KafkaConnectionError):
        patiently(asked_of(KafkaConnectionError("refused")))


def test_a_refusal_is_final() -> None:
    with pytest.raises(TopicAuthorizationFailedError):
        patiently(asked_of(TopicAuthorizationFailedError(), "answer"))


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_start_waits_for_brokers_no_longer_than_the_service_would(share: float) -> None:
    usual_ms = kafka_client.CONNECT_TIMEOUT_MS
    assert connection_settings(KafkaConnection())["bootstrap_timeout_ms"] == usual_ms
    config = StreamConfig(broker_timeout_s=share * usual_ms / 1000)
    assert connection_settings(config)["bootstrap_timeout_ms"] == min(share, 1) * usual_ms
