"""What a broker says before it hangs up is heard."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import trustme
from kafka.errors import KafkaConnectionError
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from prefstream.consumer.client import patches

HOST = "broker.test"


@pytest.fixture(autouse=True)
def _patched() -> None:
    patches.apply()


@pytest.fixture(params=["plain", "TLS"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any]]:
    """The broker's end of a connection, and kafka-python's transport at the other."""
    broker, client = socket.socketpair()
    with broker, client:
        yield (broker, _plain(client)) if request.param == "plain" else _encrypted(broker, client)


def _plain(client: socket.socket) -> Any:
    client.setblocking(False)
    return KafkaTCPTransport(None, client)


def _encrypted(broker: socket.socket, client: socket.socket) -> tuple[ssl.SSLSocket, Any]:
    authority = trustme.CA()
    offered, trusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert(HOST).configure_cert(offered)
    authority.configure_trust(trusted)
    greeted: list[ssl.SSLSocket] = []
    greeting = threading.Thread(target=lambda: greeted.append(offered.wrap_socket(broker, server_side=True)))
    greeting.start()
    transport = KafkaSSLTransport(None, client, host=HOST, ssl_context=trusted)
    transport._sock.do_handshake()
    greeting.join()
    transport._sock.setblocking(False)
    return greeted[0], transport


def test_what_was_said_comes_before_the_end(ends: tuple[Any, Any]) -> None:
    broker, transport = ends
    broker.sendall(b"you are not alice")
    broker.close()
    assert transport._sock_recv() == (b"you are not alice", None)
    received, end = transport._sock_recv()
    assert received == b""
    assert isinstance(end, KafkaConnectionError)


def test_silence_is_no_end(ends: tuple[Any, Any]) -> None:
    _, transport = ends
    assert transport._sock_recv() == (b"", None)
