"""Spans to a collector, by OTLP over HTTP, as OpenTelemetry's own variables say (OTEL_*).

They are exported from a thread of their own, out of a queue that drops what it has no room for: a collector that is
slow or away costs spans, and never holds the stream up.
"""

from __future__ import annotations

import os
import socket
import threading
from typing import Final

import structlog
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_SDK_DISABLED,
    OTEL_SPAN_LINK_COUNT_LIMIT,
    OTEL_TRACES_SAMPLER,
)
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from prefstream.consumer.errors import UsageError
from prefstream.scoring.version import own_version

log = structlog.get_logger(__name__)

CLOSE_S: Final = 2.0
"""How long the last spans are waited for: less than half of what closing may take after the time to drain."""


def open_provider(instance: str | None, most_links: int) -> TracerProvider | None:
    """Make what makes and exports spans; None where OTEL_SDK_DISABLED is true.

    Args:
        instance: this process's name, where it has one of its own. OTEL_RESOURCE_ATTRIBUTES overrides what is made
            of it, and OTEL_SERVICE_NAME what the service is called.
        most_links: battles of a batch, whose span links all of them; OTEL_SPAN_LINK_COUNT_LIMIT overrides it.

    Raises:
        UsageError: a variable holds what OpenTelemetry can't read.
    """
    if os.environ.get(OTEL_SDK_DISABLED, "").strip().lower() == "true":
        log.warning("traces are off", why=f"{OTEL_SDK_DISABLED} is true")
        return None
    if OTEL_TRACES_SAMPLER in os.environ:
        log.warning("setting without effect", detail=f"{OTEL_TRACES_SAMPLER}: traces_ratio is what counts")
    own = {
        "service.name": "prefstream",
        "service.version": own_version(),
        "service.instance.id": instance or f"{socket.gethostname()}-{os.getpid()}",
    }
    try:
        limits = SpanLimits(max_links=None if OTEL_SPAN_LINK_COUNT_LIMIT in os.environ else most_links)
        provider = TracerProvider(
            # Who is sampled is decided before there is a span.
            sampler=ALWAYS_ON,
            resource=Resource.create({**own, **OTELResourceDetector().detect().attributes}),
            shutdown_on_exit=False,
            span_limits=limits,
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        raise UsageError(f"traces: a variable OTEL_... can't be read: {error}") from error
    return provider


def close_provider(provider: TracerProvider) -> None:
    """Export the last spans, for `CLOSE_S` at most; what a collector does not take by then is lost."""
    closing = threading.Thread(target=provider.shutdown, name="close-traces", daemon=True)
    closing.start()
    closing.join(CLOSE_S)
    if closing.is_alive():
        log.warning("the last spans are lost, the collector did not take them", waited_s=CLOSE_S)
