"""Faults of kafka-python that are mended here, one module each, until it mends them itself.

Each module says what goes wrong, which versions of kafka-python have the fault, what upstream knows of it, and when
the module can go; its `PATCHES` are the methods that it replaces. They are applied in one place, `apply`, for the whole
process: who makes a client calls it first. Whatever a patch relies on is looked for before: a version of kafka-python
without it is refused by name, and no patch is dropped in silence.

The versions named are those whose sources were read: 2.3.3, 3.0.0, 3.0.1, 3.0.5, 3.0.8 to 3.0.12 and, for what is to
come, the master branch at commit a3b3836f (3.1.0.dev, August 2026). The tests of all modules pass with 3.0.9 to 3.0.12.
Each module's own fail with 3.0.9 and with 3.0.12 where they are run without its patches, as
`WITHOUT_PATCH=header_keys pytest tests/unit/consumer/client/patches` does for one module, and the long tests of that
folder for each.
"""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Final

from prefstream.consumer.client.patches import (
    auto_created_topics,
    dead_coordinator,
    eager_deliveries,
    fenced_members,
    hangup,
    header_keys,
    late_offsets,
    leaderless_offsets,
    lost_requests,
    past_generations,
    pending_joins,
    recreated_topics,
    returning_leaders,
    sleeping_sender,
    slow_sends,
    stale_snapshots,
    unbounded_unpacking,
    unended_sender,
    unfair_polls,
    unknown_topics,
    wordy_waits,
)
from prefstream.consumer.client.patches.patch import Patch

FAULTS: Final[tuple[ModuleType, ...]] = (
    auto_created_topics,
    dead_coordinator,
    eager_deliveries,
    fenced_members,
    hangup,
    header_keys,
    late_offsets,
    leaderless_offsets,
    lost_requests,
    past_generations,
    pending_joins,
    recreated_topics,
    returning_leaders,
    sleeping_sender,
    slow_sends,
    stale_snapshots,
    unbounded_unpacking,
    unended_sender,
    unfair_polls,
    unknown_topics,
    wordy_waits,
)

_applying = threading.Lock()
_applied: list[Patch] = []


def apply() -> None:
    """Mend kafka-python in this process; the second time and later, nothing happens. Callable from any thread.

    Raises:
        UsageError: the installed version of kafka-python is not what a patch was written for; nothing was replaced.
    """
    with _applying:
        if _applied:
            return
        patches: list[Patch] = [patch for fault in FAULTS for patch in fault.PATCHES]
        for patch in patches:
            patch.check()
        for patch in patches:
            patch.install()
        _applied.extend(patches)
