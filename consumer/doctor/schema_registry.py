"""Check of the schema registry: it answers, and knows the schema of preferences, or may be given it."""

from __future__ import annotations

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, ok
from prefstream.consumer.schema_registry.client import find_schema


def check_schema_registry(config: StreamConfig) -> Finding:
    """Whether the registry can number the schema; registers nothing."""
    subject = f"{config.answers_topic}-value"
    number = find_schema(config, subject)
    if number is not None:
        return ok("schema registry", f"{config.schema_registry_url} has the schema of subject {subject} as {number}")
    return ok("schema registry", f"{config.schema_registry_url} answers; run registers subject {subject}")
