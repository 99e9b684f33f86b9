"""What all tests share that speak to a broker."""

from __future__ import annotations

import pytest

from prefstream.consumer.client import patches


@pytest.fixture(scope="session", autouse=True)
def _patched() -> None:
    """Clients that tests make themselves are mended, whichever tests ran before: ours mend them for the process.

    Unmended ones that are polled for moments join for ever, and how long others wait for them is left to chance.
    """
    patches.apply()
