"""A name for this process that is stable over restarts and unique among live processes of its group.

Transactional ids and static membership are built on it. With a random name, a process that was killed leaves an open
transaction that holds readers up until it times out; with a stable one its successor ends it at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from filelock import Timeout, UnixFileLock

from prefstream.consumer.errors import UsageError

MAX_SLOTS: Final = 1_000
"""More processes of one group on one host than any machine has cores."""


def client_id(group_id: str, instance_id: str) -> str:
    """The name of a process's clients, for people who look at brokers."""
    return f"{group_id}-{instance_id}"


def transactional_id(group_id: str, instance_id: str) -> str:
    """The transactional id of a process: that of no other group and instance.

    Group and instance alone do not tell `x` with `y-z` from `x-y` with `z`, who would fence each other: the length of
    the group's name does. It stands at the end, so that the id begins with the group and a hyphen, as ACLs have it,
    behind a character that no instance id has.
    """
    return f"{group_id}-{instance_id}~{len(group_id)}"


class InstanceName:
    """Holds the name as long as the process lives; the kernel frees it even after SIGKILL.

    Args:
        group_id: the consumer group in which the name must be unique.
        name: a name that the operator vouches for; None takes the host's name and its first free slot.

    Raises:
        UsageError: no slot is free.
    """

    def __init__(self, group_id: str, name: str | None = None) -> None:
        self._lock: UnixFileLock | None = None
        self.name = name or self._take_slot(group_id)

    def release(self) -> None:
        """Give the slot back."""
        if self._lock:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _take_slot(self, group_id: str) -> str:
        host = re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "host"
        group = hashlib.sha256(group_id.encode()).hexdigest()[:16]
        folder = Path(tempfile.gettempdir()) / f"prefstream-{os.getuid()}"
        for slot in range(MAX_SLOTS):
            # The kernel's lock or none: a marker in its place would outlive a killed process. Not bound to the thread
            # that takes it: the name is the process's.
            lock = UnixFileLock(folder / f"{group}.{slot}", blocking=False, fallback_to_soft=False, thread_local=False)
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                lock.acquire()
            except Timeout:
                continue
            except OSError as error:
                raise UsageError(f"no slot file in {folder} ({error.strerror}); set instance_id") from error
            self._lock = lock
            return f"{host}-{slot}"
        raise UsageError(f"{MAX_SLOTS} processes of group {group_id} run on this host; set instance_id")
