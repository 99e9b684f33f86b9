"""`WITHOUT_PATCH=header_keys pytest tests/unit/consumer/client/patches` runs the tests without one of the patches.

What fails then needs it; what passes with a new version of kafka-python says that the patch may go.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from prefstream.consumer.client import patches


@pytest.fixture(scope="session", autouse=True)
def _without_one_patch() -> Iterator[None]:
    left_out = os.environ.get("WITHOUT_PATCH")
    kept = tuple(fault for fault in patches.FAULTS if fault.__name__.rpartition(".")[2] != left_out)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(patches, "FAULTS", kept)
        yield
