"""One client's connection: frames in, responses out, in order."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

_log = logging.getLogger(__name__)

# Requests that a client may pipeline before the broker stops reading from it.
_MAX_WAITING: Final = 32
_LENGTH_BYTES: Final = 4

# Answers a request frame; None for no answer. Raises `HangUpError` to close the connection.
Respond = Callable[[bytes, str], Awaitable[bytes | bytearray | None]]


class HangUpError(Exception):
    """The connection is closed instead of an answer."""


class Connection(asyncio.Protocol):
    """Splits the byte stream into frames and answers them one after the other.

    As in Apache Kafka, a client's next request is looked at when the one before is answered, so a fetch that
    waits for records holds up its own connection and no other.
    """

    def __init__(self, respond: Respond, open_connections: set[Connection], *, max_request_bytes: int) -> None:
        self._respond = respond
        self._open = open_connections
        self._max_request_bytes = max_request_bytes
        self._buffer = bytearray()
        self._frames: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None
        self._worker: asyncio.Task[None] | None = None
        self._peer_host = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start answering."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError(f"a stream transport is needed, not {type(transport).__name__}")
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self._peer_host = str(peer[0]) if peer else ""
        self._open.add(self)
        self._worker = asyncio.get_running_loop().create_task(self._answer_all(transport))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason changes nothing
        """Stop answering: whatever the client still waits for, it will not hear it here."""
        self._open.discard(self)
        if self._worker is not None:
            self._worker.cancel()

    def data_received(self, data: bytes) -> None:
        """Collect bytes and cut them into frames."""
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= _LENGTH_BYTES:
            (length,) = struct.unpack_from(">i", self._buffer, position)
            if not 0 < length <= self._max_request_bytes:
                _log.warning("closing a connection from %s: request of %d bytes", self._peer_host, length)
                self.close()
                return
            end = position + _LENGTH_BYTES + length
            if end > len(self._buffer):
                break
            self._frames.append(bytes(self._buffer[position + _LENGTH_BYTES : end]))
            position = end
        if position:
            del self._buffer[:position]
            self._arrived.set()
        if len(self._frames) > _MAX_WAITING and self._transport is not None:
            self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The client reads slower than we write: wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()

    def close(self) -> None:
        """Close at once; answers not sent yet are lost, as they would be if a broker died."""
        if self._transport is not None:
            self._transport.abort()

    async def wait_closed(self) -> None:
        """Wait until nothing of this connection is running any more."""
        if self._worker is not None:
            await asyncio.wait([self._worker])

    async def _answer_all(self, transport: asyncio.Transport) -> None:
        try:
            while True:
                frame = await self._next_frame(transport)
                answer = await self._respond(frame, self._peer_host)
                if answer is not None:
                    await self._writable.wait()
                    transport.write(answer)
        except HangUpError as reason:
            _log.debug("closing a connection from %s: %s", self._peer_host, reason)
        except Exception:  # noqa: BLE001 - logged, and ends only this connection
            # One request that the broker can't cope with must not end the others' service.
            _log.exception("closing a connection from %s: a request could not be handled", self._peer_host)
        finally:
            transport.abort()

    async def _next_frame(self, transport: asyncio.Transport) -> bytes:
        while not self._frames:
            self._arrived.clear()
            await self._arrived.wait()
        frame = self._frames.popleft()
        if len(self._frames) <= _MAX_WAITING // 2 and not transport.is_closing():
            transport.resume_reading()
        return frame
