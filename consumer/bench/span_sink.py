"""A collector of traces that keeps nothing: what a stream that is traced sends its spans to while it is measured."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from prefstream.scoring.extras import require

ENDPOINT: Final = "OTEL_EXPORTER_OTLP_ENDPOINT"


class SpanSink:
    """What came in. Counted when it is asked for, so that nothing is computed while a program is measured."""

    def __init__(self) -> None:
        self._bodies: list[bytes] = []

    def put(self, body: bytes) -> None:
        """Take a request, packed as OTLP has it."""
        self._bodies.append(body)

    def take(self) -> int:
        """How many spans came since this was asked last."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

        bodies, self._bodies = self._bodies, []
        return sum(
            len(scope.spans)
            for body in bodies
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in resource.scope_spans
        )


@contextmanager
def span_sink() -> Iterator[SpanSink]:
    """A collector on a free port, which processes that are started within the block send their spans to.

    Raises:
        MissingExtraError: what traces need is not installed.
    """
    require("prefstream bench overhead --traces", "traces")  # before minutes are spent
    sink = SpanSink()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # one connection for all, as collectors keep it

        def do_POST(self) -> None:
            sink.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    before = os.environ.get(ENDPOINT)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, name="span-sink", daemon=True).start()
        os.environ[ENDPOINT] = f"http://127.0.0.1:{server.server_port}"
        try:
            yield sink
        finally:
            server.shutdown()
            if before is None:
                del os.environ[ENDPOINT]
            else:
                os.environ[ENDPOINT] = before
