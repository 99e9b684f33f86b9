"""What tests of the board on a broker share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient

from tests.conftest import Kafka


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Any]:
    """Changes topics under the board's feet."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as client:
        yield client
