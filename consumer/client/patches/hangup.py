"""The last words of a broker that hangs up are thrown away.

What goes wrong: a broker that refuses a login says so and closes the connection. Where both arrive together, as they
mostly do over TLS, kafka-python drops the answer: a wrong password looks like a broken network.

Versions: 3.0.0 to 3.0.12. Of master the plain transport; its one for TLS was written anew (pull request 3128 of
dpkp/kafka-python) and was not tried.

Upstream: no issue known.

Remove when: kafka-python hands on what it has received before it reports that the connection has ended.
"""

from __future__ import annotations

from typing import Any

from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from prefstream.consumer.client.patches.patch import Method, Patch


def _hearing_out(receive: Method) -> Method:
    """Hands on what was received before the end; the next read finds the end again."""

    def _sock_recv(self: Any) -> tuple[bytes, Exception | None]:
        received, end = receive(self)
        return received, None if received else end

    return _sock_recv


PATCHES = tuple(
    Patch(transport, "_sock_recv", (), _hearing_out) for transport in (KafkaTCPTransport, KafkaSSLTransport)
)
