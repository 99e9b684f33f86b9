"""The broker on the network: from a frame to a handler and back."""

from __future__ import annotations

import asyncio
import errno
import logging
import struct
from collections.abc import Callable
from typing import Final

from prefstream.consumer.broker.apis import APIS, Api, api_versions
from prefstream.consumer.broker.connection import Connection, HangUpError
from prefstream.consumer.broker.error_responses import reject
from prefstream.consumer.broker.faults import FaultKind, FaultPlan
from prefstream.consumer.broker.node.call import Call, Message
from prefstream.consumer.broker.node.errors import ErrorCode, PortInUseError
from prefstream.consumer.broker.node.settings import BrokerSettings
from prefstream.consumer.broker.node.state import BrokerState

_log = logging.getLogger(__name__)

_HEADER: Final = struct.Struct(">hhi")
_API_VERSIONS_KEY: Final = 18
# Turns of the event loop: accepting, making the transport, telling the protocol; one more for good measure.
_TURNS_TO_ACCEPT: Final = 4


class Dispatcher:
    """Decodes request frames, meets faults, calls handlers, encodes responses."""

    def __init__(self, state: BrokerState, faults: FaultPlan, host: str) -> None:
        self._state = state
        self._faults = faults
        self._host = host
        self.port = 0

    async def respond(self, frame: bytes, peer_host: str) -> bytes | bytearray | None:
        """The answer to one request frame, None for none.

        Raises:
            HangUpError: the connection should be closed.
        """
        if len(frame) < _HEADER.size:
            raise HangUpError("a frame too short for a request header")
        key, version, correlation_id = _HEADER.unpack_from(frame)
        api = APIS.get(key)
        if api is not None and api.speaks(version):
            response = await self._handle(api, self._decode(api, version, frame, peer_host))
        elif key == _API_VERSIONS_KEY:
            # The header of a version we don't know can't be read further; the answer tells what we do know.
            version = 0
            response = await api_versions(self._call(None, version, "", peer_host))
            response.error_code = ErrorCode.UNSUPPORTED_VERSION
        else:
            raise HangUpError(f"API {key} in version {version} is not served")
        if response is None:
            return None
        response.API_VERSION = version
        response.with_header(correlation_id=correlation_id)
        encoded: bytearray = response.encode(header=True, framed=True)
        return encoded

    def _decode(self, api: Api, version: int, frame: bytes, peer_host: str) -> Call:
        request = api.request_class.decode(frame, version=version, header=True)
        return self._call(request, version, request.header.client_id or "", peer_host)

    def _call(self, request: Message, version: int, client_id: str, peer_host: str) -> Call:
        return Call(
            state=self._state,
            request=request,
            version=version,
            client_id=client_id,
            client_host=f"/{peer_host}",
            node_host=self._host,
            node_port=self.port,
        )

    async def _handle(self, api: Api, call: Call) -> Message | None:
        fault = self._faults.take(api.name, call.client_id)
        if fault is None:
            return await api.handle(call)
        _log.debug("fault for %s from %s: %s", api.name, call.client_id, fault)
        response = await api.handle(call) if fault.after_apply else None
        if fault.kind is FaultKind.DROP:
            raise HangUpError("a planned fault")
        if fault.kind is FaultKind.FAIL:
            return reject(api.name, call, fault.error_code) if call.request.expect_response() else None
        await asyncio.sleep(fault.seconds)
        return response if fault.after_apply else await api.handle(call)


async def serve(
    settings: BrokerSettings,
    *,
    faults: FaultPlan | None = None,
    state: BrokerState | None = None,
    on_ready: Callable[[int], None] | None = None,
) -> None:
    """Run a broker until cancelled.

    Args:
        settings: where to listen and how to behave.
        faults: what should go wrong; may be changed while the broker runs.
        state: what the broker remembers from an earlier run.
        on_ready: called with the port once clients can connect.

    Raises:
        PortInUseError: something else listens on the address already.
    """
    if state is None:
        state = BrokerState(settings)
    dispatcher = Dispatcher(state, faults or FaultPlan(), settings.advertised_host or settings.host)
    connections: set[Connection] = set()
    server = await _listen(settings, dispatcher, connections)
    dispatcher.port = server.sockets[0].getsockname()[1]
    state.resume()
    if on_ready is not None:
        on_ready(dispatcher.port)
    try:
        while True:
            await asyncio.sleep(settings.tick_ms / 1000)
            state.expire()
    finally:
        await _stop_accepting(server)
        await _close_all(connections)


async def _stop_accepting(server: asyncio.Server) -> None:
    """Close the server once every connection that it has accepted is there to be closed, too.

    A server that is closed while asyncio still makes the transport of a connection leaks that transport.
    """
    loop = asyncio.get_running_loop()
    for listener in server.sockets:
        loop.remove_reader(listener.fileno())
    for _ in range(_TURNS_TO_ACCEPT):
        await asyncio.sleep(0)
    server.close()


async def _close_all(connections: set[Connection]) -> None:
    """Close every connection and wait for its end."""
    closing = list(connections)
    for connection in closing:
        connection.close()
    for connection in closing:
        await connection.wait_closed()


async def _listen(settings: BrokerSettings, dispatcher: Dispatcher, connections: set[Connection]) -> asyncio.Server:
    def connect() -> Connection:
        return Connection(dispatcher.respond, connections, max_request_bytes=settings.max_request_bytes)

    loop = asyncio.get_running_loop()
    try:
        return await loop.create_server(connect, settings.host, settings.port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortInUseError(
            f"{settings.host}:{settings.port} is in use by another process: "
            "stop that one, choose another port, or port 0 for any free one"
        ) from error
