"""A second client's word on the preferences topic: kcat, where it is installed (Debian and Ubuntu have a package)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from typing import Final

READ_S: Final = 120.0
"""Longest reading of a topic; fifty thousand records take a second."""


def kcat_installed() -> bool:
    """Whether there is a kcat to ask."""
    return shutil.which("kcat") is not None


def places_by_kcat(bootstrap_servers: str, preferences_topic: str) -> Counter[tuple[int, int]]:
    """How many preferences each input record, by partition and offset, has as kcat reads the topic.

    Args:
        bootstrap_servers: the brokers.
        preferences_topic: read from its beginning to its end, as a read_committed reader.

    Raises:
        subprocess.SubprocessError: kcat failed, or took too long.
    """
    reading = ["kcat", "-C", "-b", bootstrap_servers, "-t", preferences_topic, "-o", "beginning", "-e", "-q"]
    answer = subprocess.run(
        [*reading, "-X", "isolation.level=read_committed", "-f", "%s\n"],
        capture_output=True,
        check=True,
        timeout=READ_S,
    )
    sources = [json.loads(line).get("source", {}) for line in answer.stdout.splitlines()]
    return Counter((source["partition"], source["offset"]) for source in sources if source)
