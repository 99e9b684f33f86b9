"""The errors of kafka-python, all of them."""

from __future__ import annotations

import inspect

from kafka import errors as kafka_errors


def kafka_error_classes() -> list[type[kafka_errors.KafkaError]]:
    """Every class of error that kafka-python can raise on purpose, by name."""
    found = [kind for _, kind in inspect.getmembers(kafka_errors, inspect.isclass)]
    return sorted({kind for kind in found if issubclass(kind, kafka_errors.KafkaError)}, key=lambda kind: kind.__name__)
