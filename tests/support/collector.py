"""A collector of traces: takes OTLP over HTTP as OpenTelemetry's own does, and keeps the spans for the test."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.support.threaded_server import serving

ERROR = trace_pb2.Status.STATUS_CODE_ERROR
CONSUMER = trace_pb2.Span.SPAN_KIND_CONSUMER
CLIENT = trace_pb2.Span.SPAN_KIND_CLIENT


@dataclass(frozen=True)
class SentSpan:
    """A span as it was sent.

    Attributes:
        service: of the process that sent it.
        links: span ids, in their order.
        error: the description of its status, where that is an error; else None.
        events: name and attributes of each.
    """

    service: str
    name: str
    kind: int
    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    links: tuple[bytes, ...]
    attributes: Mapping[str, Any]
    error: str | None
    events: tuple[tuple[str, Mapping[str, Any]], ...]
    start_ns: int
    end_ns: int

    @property
    def traceparent(self) -> bytes:
        """The header by which others go on with its trace, up to its flags."""
        return f"00-{self.trace_id.hex()}-{self.span_id.hex()}".encode()


@dataclass
class Collector:
    """What was sent to it.

    Attributes:
        url: for OTEL_EXPORTER_OTLP_ENDPOINT.
        bodies: of all requests, unpacked.
        asked: set when a request comes.
        answers: cleared where it takes requests and answers nobody, until it is set again.
    """

    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    answers: threading.Event = field(default_factory=threading.Event)

    @property
    def spans(self) -> list[SentSpan]:
        """All spans, in the order in which they came."""
        return [span for body in self.bodies for span in _spans_of(ExportTraceServiceRequest.FromString(body))]

    def named(self, name: str) -> list[SentSpan]:
        """Those of a name, in the order of their begin."""
        return sorted((span for span in self.spans if span.name == name), key=lambda span: span.start_ns)


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of this machine."""
    collector = Collector()
    collector.answers.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.asked.set()
            collector.answers.wait()
            assert self.path == "/v1/traces"
            collector.bodies.append(gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
            said = ExportTraceServiceResponse().SerializeToString()
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        try:
            yield collector
        finally:
            collector.answers.set()


def tree_of(spans: Iterable[SentSpan]) -> str:
    """Spans as a tree, each under its parent (`└`) or under what it links (`~`), with times from the first one on."""
    ordered = sorted(spans, key=lambda span: (span.start_ns, -span.end_ns))
    ids = {span.span_id for span in ordered}
    began = min(span.start_ns for span in ordered)
    lines = []
    told = set()

    def add(span: SentSpan, depth: int, mark: str) -> None:
        told.add(span.span_id)
        start, took = (span.start_ns - began) / 1e6, (span.end_ns - span.start_ns) / 1e6
        error = f"  ERROR {span.error}" if span.error is not None else ""
        text = f"{'   ' * depth}{mark}{span.service}: {span.name}"
        lines.append(f"{text:<52} at {start:7.1f} ms, {took:6.1f} ms{error}")
        for name, attributes in span.events:
            said = ", ".join(f"{key.rpartition('.')[2]}={value}" for key, value in attributes.items())
            lines.append(f"{'   ' * (depth + 1)}* {name}: {said}")
        for other in ordered:
            if other.span_id in told:
                continue
            if other.parent_id == span.span_id:
                add(other, depth + 1, "└ ")
            elif span.span_id in other.links:
                add(other, depth + 1, "~ ")

    for span in ordered:
        if span.parent_id not in ids and not ids.intersection(span.links):
            add(span, 0, "")
    return "\n".join(lines)


def _spans_of(request: ExportTraceServiceRequest) -> Iterator[SentSpan]:
    for resource in request.resource_spans:
        service = _plain(resource.resource.attributes)["service.name"]
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield SentSpan(
                    service=service,
                    name=span.name,
                    kind=span.kind,
                    trace_id=span.trace_id,
                    span_id=span.span_id,
                    parent_id=span.parent_span_id,
                    links=tuple(link.span_id for link in span.links),
                    attributes=_plain(span.attributes),
                    error=span.status.message if span.status.code == ERROR else None,
                    events=tuple((event.name, _plain(event.attributes)) for event in span.events),
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                )


def _plain(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value") or "") for one in attributes}
