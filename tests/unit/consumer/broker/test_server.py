"""From a frame to an answer: every API in every version that is advertised."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from kafka.protocol.api_header import ResponseClassRegistry

from prefstream.consumer.broker.apis import APIS, Api
from prefstream.consumer.broker.connection import HangUpError
from prefstream.consumer.broker.faults import FaultPlan
from prefstream.consumer.broker.node.clock import ManualClock
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.node.state import BrokerState
from prefstream.consumer.broker.server import Dispatcher


@pytest.fixture
def dispatcher(clock: ManualClock) -> Dispatcher:
    return Dispatcher(BrokerState(BrokerSettings(), clock), FaultPlan(), "127.0.0.1")


def respond(dispatcher: Dispatcher, frame: bytes) -> bytes | bytearray | None:
    return asyncio.run(dispatcher.respond(frame, "127.0.0.1"))


@pytest.mark.parametrize("api", APIS.values(), ids=lambda api: api.name)
def test_every_api_answers_in_every_version_it_advertises(
    dispatcher: Dispatcher, api: Api, sample_request: Callable[[Api, int], Any]
) -> None:
    for version in range(api.min_version, api.max_version + 1):
        request = sample_request(api, version)
        request.with_header(correlation_id=7, client_id="me")
        answer = respond(dispatcher, bytes(request.encode(header=True)))
        assert answer is not None
        assert struct.unpack_from(">ii", answer) == (len(answer) - 4, 7)
        response_class = ResponseClassRegistry.get_response_class(request.header)
        decoded = response_class.decode(bytes(answer[4:]), header=True)
        assert decoded.header.correlation_id == 7


def test_advertised_versions_end_where_the_implementation_does(dispatcher: Dispatcher) -> None:
    for api in APIS.values():
        header = struct.pack(">hhih", api.key, api.max_version + 1, 1, -1)
        if api.name == "ApiVersions":
            assert respond(dispatcher, header) is not None
        else:
            with pytest.raises(HangUpError):
                respond(dispatcher, header)
