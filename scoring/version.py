"""Which prefstream this is."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version


@functools.cache
def own_version() -> str:
    """Prefstream's version, as it was installed."""
    try:
        return version("prefstream")
    except PackageNotFoundError:
        return "unknown"  # run from a source tree that was never installed
