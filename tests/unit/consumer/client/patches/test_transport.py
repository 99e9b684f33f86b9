"""What a broker says before it hangs up is heard."""

from __future__ import annotations

import socket

import pytest
from kafka.errors import KafkaConnectionError
from kafka.net import manager

from prefstream.consumer.client.patches.transport import hear_brokers_out


@pytest.mark.parametrize("name", ["KafkaTCPTransport", "KafkaSSLTransport"])
def test_kafka_python_takes_our_transports(name: str) -> None:
    hear_brokers_out()
    assert getattr(manager, name).__module__ == "prefstream.consumer.client.patches.transport"


def test_what_was_said_comes_before_the_end() -> None:
    hear_brokers_out()
    broker, client = socket.socketpair()
    with broker, client:
        client.setblocking(False)
        transport = manager.KafkaTCPTransport(None, client)
        broker.sendall(b"you are not alice")
        broker.close()
        assert transport._sock_recv() == (b"you are not alice", None)
        received, end = transport._sock_recv()
        assert received == b""
        assert isinstance(end, KafkaConnectionError)


def test_silence_is_no_end() -> None:
    hear_brokers_out()
    broker, client = socket.socketpair()
    with broker, client:
        client.setblocking(False)
        assert manager.KafkaTCPTransport(None, client)._sock_recv() == (b"", None)
