"""The last words of a broker that hangs up, which kafka-python throws away.

A broker that refuses a login says so and closes the connection. Where both arrive together, as they mostly do over TLS,
kafka-python 3.0.12 drops the answer: a wrong password looks like a broken network.
"""

from __future__ import annotations

from kafka.net import manager
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport


class _HearingOut:
    """Hands on what was received before the end; the next read finds the end again."""

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        received: bytes
        end: Exception | None
        received, end = super()._sock_recv()  # type: ignore[misc]
        return received, None if received else end


class _TCPTransport(_HearingOut, KafkaTCPTransport):  # type: ignore[misc]  # kafka-python has no types
    pass


class _SSLTransport(_HearingOut, KafkaSSLTransport):  # type: ignore[misc]  # kafka-python has no types
    pass


def hear_brokers_out() -> None:
    """Make kafka-python's connections read to the end what a broker says."""
    manager.KafkaTCPTransport = _TCPTransport
    manager.KafkaSSLTransport = _SSLTransport
