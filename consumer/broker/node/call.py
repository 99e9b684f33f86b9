"""One request on its way through the broker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from prefstream.consumer.broker.node.state import BrokerState

# kafka-python builds its protocol classes from Kafka's JSON schemas at run time and ships no types for them.
Message = Any


@dataclass(frozen=True, slots=True)
class Call:
    """A decoded request and who sent it.

    Attributes:
        state: the broker's state.
        request: the request, a kafka-python protocol object.
        version: the API version it came in, and the response goes out in.
        client_id: the client's name for itself.
        client_host: where it runs.
        node_host: the host clients are told to connect to.
        node_port: the port clients are told to connect to.
    """

    state: BrokerState
    request: Message
    version: int
    client_id: str
    client_host: str
    node_host: str
    node_port: int


# A handler returns the response, or None when the client wants none (a produce with acks=0).
Handler = Callable[[Call], Awaitable[Message | None]]
