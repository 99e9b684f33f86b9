"""The HTTP server of the board: uvicorn in a thread of its own, which leaves the process's signals alone."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from prefstream.consumer.board.api.live import CUT
from prefstream.consumer.errors import HttpPortInUseError, UsageError

log = structlog.get_logger(__name__)

STOP_S: Final = 5
"""For answers that are under way; then their connections are cut."""

_KEEP_ALIVE_S: Final = 30
_MOST_REQUESTS: Final = 512
"""At a time, of connections that are open and of answers under way; more are told 503. Streams of events are at most
half of them (`live.broadcast.MOST_STREAMS`), so that pages that stay open keep nobody's probe out."""


class BoardServer:
    """Serves an app from entering the context to leaving it.

    Args:
        app: what answers.
        host: address to listen on.
        port: 0 picks a free one.
        on_end: called where the server ends by itself.

    Raises:
        HttpPortInUseError: another process listens there.
        UsageError: the address can't be listened on.
    """

    def __init__(
        self,
        app: FastAPI,
        *,
        host: str,
        port: int,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_end = on_end
        self._socket = _listen(host, port)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http=BoardConnection,
                log_config=None,
                access_log=False,  # a request line is a stranger's text
                server_header=False,
                proxy_headers=False,
                ws="none",
                lifespan="on",
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
                limit_concurrency=_MOST_REQUESTS,
            )
        )
        # Not in the main thread: there uvicorn takes SIGTERM and SIGINT over.
        self._thread = threading.Thread(target=self._run, name="prefstream-http", daemon=True)

    @property
    def url(self) -> str:
        """Where it is to be seen from this machine, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run([self._socket])
        except Exception:
            log.exception("serving failed")
        finally:
            if not self._server.should_exit:
                self._on_end()


class BoardConnection(H11Protocol):
    """A connection whose requests find the way under `CUT` in their state by which it is closed at once.

    A client that takes nothing would otherwise keep what is sent to it in memory, and the connection, for good.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """As h11's."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, CUT: transport.abort}


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"can't listen on {host}: {error.strerror}; choose another --http-host") from error
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise HttpPortInUseError(
                f"HTTP port {port} on {host} is taken by another process; choose another with --http-port, 0 for any "
                "free one"
            ) from error
        raise UsageError(
            f"can't listen on {host} port {port} for HTTP: {error.strerror}; choose another --http-host or --http-port"
        ) from error
    return listening
