"""Liveness, readiness and metrics over HTTP, on one port: `/livez`, `/readyz`, `/metrics`.

`HealthState` is what the stream writes: heartbeats and whether it is ready. `HealthServer` is what a probe reads. The
server owns its threads, closes every connection after `CONNECTION_SECONDS`, and lets go of the oldest one that is
waiting for its client where a new one would be too many: so neither slow clients nor idle ones, however many, keep a
probe from its answer. Nothing it does touches the stream.
"""

from __future__ import annotations

import errno
import http.server
import math
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import orjson
import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from prefstream.consumer.errors import HttpPortInUseError, UsageError

_log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

CONNECTION_SECONDS: Final = 10.0
"""Whole life of a connection: Prometheus gives up after 10 s by default, a probe after 1 s."""

MAX_CONNECTIONS: Final = 64
"""Held at a time, each by a thread; one more takes the place of the oldest. Probes and two Prometheus servers need
five; a client that has not asked by the time that sixty others came is not about to."""

_TEXT: Final = "text/plain; charset=utf-8"

_POLL_SECONDS: Final = 0.1
"""How often the server looks for its own stop and for connections that are too old."""


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Answer to a probe: yes or no, and why not."""

    ok: bool
    reason: str


class HealthState:
    """Whether the process lives and is ready; written by the stream, read by probes, from any thread.

    It lives while every expected heartbeat came within its bound. It is ready from `set_ready` until `set_not_ready`,
    and only while it lives.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._not_ready_because: str | None = "starting"
        self._bounds_s: dict[str, float] = {}
        self._ready_bounds_s: dict[str, float] = {}
        self._last_beats: dict[str, float] = {}

    def expect_beat(self, name: str, within_s: float, ready_within_s: float = math.inf) -> None:
        """From now on the process lives only while `beat(name)` is called at least every `within_s` seconds.

        Args:
            name: of the loop.
            within_s: bound of its life.
            ready_within_s: bound of its readiness, where that is shorter: held up in a call, it does no work.
        """
        with self._lock:
            self._bounds_s[name] = within_s
            self._ready_bounds_s[name] = min(within_s, ready_within_s)
            self._last_beats[name] = self._clock()

    def beat(self, name: str) -> None:
        """Say that the loop called `name` goes round. Unless it is expected, this changes nothing."""
        with self._lock:
            self._last_beats[name] = self._clock()

    def set_ready(self) -> None:
        """The stream does its work."""
        with self._lock:
            self._not_ready_because = None

    def set_not_ready(self, reason: str) -> None:
        """The stream does no work, or is about to stop.

        Args:
            reason: shown to probes; a few words, such as "loading judges".
        """
        with self._lock:
            self._not_ready_because = reason

    @property
    def ready(self) -> bool:
        """Whether `/readyz` says yes."""
        return self.readiness().ok

    def liveness(self) -> ProbeAnswer:
        """Whether every expected heartbeat came in time; if not, which did not."""
        return self._heartbeats(self._bounds_s)

    def readiness(self) -> ProbeAnswer:
        """Whether the stream does its work; if not, why."""
        with self._lock:
            reason = self._not_ready_because
        if reason is not None:
            return ProbeAnswer(ok=False, reason=reason)
        return self._heartbeats(self._ready_bounds_s)

    def _heartbeats(self, bounds_s: Mapping[str, float]) -> ProbeAnswer:
        with self._lock:
            now = self._clock()
            late = [
                f"no heartbeat of {name} for {now - self._last_beats[name]:.1f} s, allowed are {bound_s:g} s"
                for name, bound_s in bounds_s.items()
                if now - self._last_beats[name] > bound_s
            ]
        return ProbeAnswer(ok=not late, reason="; ".join(late))


class HealthServer:
    """Serves `/livez`, `/readyz` and `/metrics` from `start` (or entering the context) to `stop`.

    Args:
        state: what probes are answered from.
        registry: what `/metrics` exposes.
        host: address to listen on; the default is reachable from this machine only.
        port: 0 picks a free one.

    Raises:
        HttpPortInUseError: another process listens there.
        UsageError: the address can't be listened on.
    """

    def __init__(
        self, state: HealthState, registry: CollectorRegistry, *, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        self._server = _listen(state, registry, host, port)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="prefstream-http", daemon=True
        )
        self.host = host
        self.port: int = self._server.server_address[1]

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Close the port and every connection, and wait for the threads. Stopping twice does no harm."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.close_connections()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _listen(state: HealthState, registry: CollectorRegistry, host: str, port: int) -> _Server:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        return _Server((host, port), family, state, registry)
    except OverflowError:
        raise UsageError(f"HTTP port {port} is none; choose one from 0 to 65535") from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise HttpPortInUseError(
                f"HTTP port {port} on {host} is taken by another process; choose another with --http-port, "
                "0 for any free one, or go without by --no-http"
            ) from error
        raise UsageError(
            f"can't listen on {host} port {port} for HTTP: {error.strerror}; choose another --http-host or --http-port"
        ) from error


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """A thread per connection, at most `MAX_CONNECTIONS` of them, none older than `CONNECTION_SECONDS`."""

    allow_reuse_address = True  # a restart must not wait for connections of the process before it to fade
    daemon_threads = False  # server_close waits for them
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], family: socket.AddressFamily, state: HealthState, registry: CollectorRegistry
    ) -> None:
        self.address_family = family
        self.state = state
        self.registry = registry
        self._open: dict[socket.socket, float] = {}
        self._answering: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(address, _Handler)

    def verify_request(self, request: object, client_address: object) -> bool:  # noqa: ARG002
        """Admit a connection; where too many are open, the oldest makes room, one that is being answered last."""
        if not isinstance(request, socket.socket):
            return False
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                oldest = min(self._open, key=lambda other: (other in self._answering, self._open[other]))
                self._forget(oldest)
                _cut(oldest)
            self._open[request] = time.monotonic()
        return True

    def answers(self, request: socket.socket) -> None:
        """A connection's request has arrived, and is being answered."""
        with self._lock:
            if request in self._open:
                self._answering.add(request)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection that was answered, or cut."""
        with self._lock:
            self._forget(request)  # type: ignore[arg-type]
        super().shutdown_request(request)

    def _forget(self, request: socket.socket) -> None:
        self._open.pop(request, None)
        self._answering.discard(request)

    def service_actions(self) -> None:
        """Between requests: cut connections that are too old, which wakes their threads with an end of file."""
        self.close_connections(time.monotonic() - CONNECTION_SECONDS)

    def close_connections(self, opened_before: float = float("inf")) -> None:
        """Cut connections that were opened before a time of the monotonic clock."""
        with self._lock:
            for connection, opened in self._open.items():
                if opened < opened_before:
                    _cut(connection)

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002
        """Log an error of ours; a client that went away in the middle of its answer is no event."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("http request failed")


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # its thread or its client was faster


def encoder(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """What writes the metrics in the form that a client accepts; in the oldest one, where it asks for none that is."""
    try:
        # The library repeats a version in its answer's header, where a folded line must not go.
        return choose_encoder(accept if accept.isprintable() else "")
    except (TypeError, ValueError):  # it compares versions as they come: `abc` with 1
        return choose_encoder("")


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    server_version = "prefstream"
    sys_version = ""
    timeout = CONNECTION_SECONDS

    def do_GET(self) -> None:
        """Answer a probe, a scrape, or a curious person."""
        try:
            path = urlsplit(self.path).path
        except ValueError:
            self._answer(HTTPStatus.BAD_REQUEST, _TEXT, b"not a URL\n")
            return
        match path:
            case "/livez":
                self._probe(self.server.state.liveness())
            case "/readyz":
                self._probe(self.server.state.readiness())
            case "/metrics":
                encode, content_type = encoder(self.headers.get("Accept", ""))
                self._answer(HTTPStatus.OK, content_type, encode(self.server.registry))
            case "/":
                self._answer(HTTPStatus.OK, _TEXT, b"prefstream: /livez /readyz /metrics\n")
            case _:
                self._answer(HTTPStatus.NOT_FOUND, _TEXT, b"not here; see /\n")

    def do_HEAD(self) -> None:
        """Answer as GET does, without the body."""
        self.do_GET()

    def parse_request(self) -> bool:
        """Read the request; refuse any method that could mean to change something."""
        if not super().parse_request():
            return False
        self.server.answers(self.connection)
        if self.command in {"GET", "HEAD"}:
            return True
        self._answer(HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"GET and HEAD only\n", allow="GET, HEAD")
        return False

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request, in a word; http.server's own page repeats it, and has no status line for some."""
        del message, explain
        self.request_version = "HTTP/1.0"
        self._answer(HTTPStatus(code), _TEXT, f"{HTTPStatus(code).phrase}\n".encode())

    def _probe(self, verdict: ProbeAnswer) -> None:
        body = {"status": "ok"} if verdict.ok else {"status": "failed", "reason": verdict.reason}
        status = HTTPStatus.OK if verdict.ok else HTTPStatus.SERVICE_UNAVAILABLE
        self._answer(status, "application/json", orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))

    def _answer(self, status: HTTPStatus, content_type: str, body: bytes, *, allow: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if allow is not None:
            self.send_header("Allow", allow)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep silent: a probe every second is no news, and a request line is a stranger's text."""
