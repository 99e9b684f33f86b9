"""What all tests share that speak to a broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaAdminClient

from prefstream.consumer.client import patches
from tests.conftest import Kafka


@pytest.fixture(scope="session", autouse=True)
def _patched() -> None:
    """Clients that tests make themselves are mended, whichever tests ran before: ours mend them for the process.

    Unmended ones that are polled for moments join for ever, and how long others wait for them is left to chance.
    """
    patches.apply()


@pytest.fixture
def admin(kafka: Kafka) -> Iterator[Any]:
    """An admin client of the broker at hand; as bare as others have it."""
    with closing(KafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)) as client:
        yield client
