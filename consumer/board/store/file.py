"""The board's file: one process writes it, on a local disk, and it is of this version or refused."""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import psutil
from filelock import Timeout, UnixFileLock

from prefstream.consumer.board.store.tables import APPLICATION_ID, SCHEMA_VERSION, TABLES
from prefstream.consumer.errors import BoardFileError, BoardWriteError

IN_MEMORY: Final = ":memory:"
"""In place of a file: a board that is gone with its process."""

NETWORK_FILE_SYSTEMS: Final = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs"}
    | {"fuse.sshfs", "glusterfs", "gpfs", "lustre", "ncpfs", "nfs", "nfs4", "ocfs2", "smb3", "smbfs", "virtiofs"}
)
"""Where the memory that SQLite's WAL shares between processes, or its locks, can't be relied on."""

BUSY_S: Final = 10.0
"""How long SQLite waits where another connection holds it up: readers never do for long."""

CACHE_KIB: Final = 32 * 1024
"""Pages that a connection keeps in memory: the index by id of some hundred thousand battles."""

_KEY_BYTES: Final = 6
"""Of what tells a file's events from another's: no two boards of one address meet by chance."""

_OTHER_SETTINGS: Final = "choose another --file, or delete it: it is filled again as far back as the topics go"


class FileLock:
    """Holds a file for one process; the kernel gives it back even after SIGKILL.

    Args:
        path: the board's file.

    Raises:
        BoardFileError: another process has it, there is no such folder, or nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        if not path.parent.is_dir():
            raise BoardFileError(f"board file {path}: there is no folder {path.parent}; make it")
        # The kernel's lock or none, as in `client.instance`.
        place = path.with_name(path.name + ".lock")
        self._lock = UnixFileLock(place, mode=0o600, blocking=False, fallback_to_soft=False, thread_local=False)
        try:
            self._lock.acquire()
        except Timeout:
            raise BoardFileError(
                f"board file {path}: {_holder(place)} has it; one process writes a file: end that one, or choose "
                "another --file"
            ) from None
        except OSError as error:
            raise BoardFileError(f"board file {path}: no lock in its folder ({error.strerror})") from error
        with suppress(OSError):  # on a full disk nobody is told who has it; the lock holds
            place.write_text(f"{os.getpid()} {socket.gethostname()}\n")

    def release(self) -> None:
        """Give it back."""
        self._lock.release()


def open_for_writing(path: Path | None, settings: Mapping[str, str]) -> sqlite3.Connection:
    """Open the board's file, and make it where there is none.

    Args:
        path: the file; its lock is held. None: in memory.
        settings: what the file was made for, such as its topics; kept in `meta`.

    Raises:
        BoardFileError: the file is another program's, of another version, made for something else, on a network file
            system, or can't be opened.
    """
    if path is not None:
        _refuse_network(path)
    with _opening(path):
        if path is not None:
            # For its owner alone, before anything is in it; SQLite gives its other files the same mode.
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(
            IN_MEMORY if path is None else path, isolation_level=None, timeout=BUSY_S, check_same_thread=False
        )
        try:
            _prepare(connection, path, settings)
        except BaseException:
            connection.close()
            raise
        return connection


def identity(path: Path) -> tuple[int, int]:
    """What tells a file from another one that took its place."""
    found = path.stat()
    return found.st_dev, found.st_ino


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Open the board's file beside the process that writes it.

    Args:
        path: the file.

    Raises:
        BoardFileError: there is none, or not one of this version.
    """
    if not path.is_file():
        raise BoardFileError(f"board file {path}: there is none; `prefstream board` makes it")
    with _opening(path):
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=BUSY_S,
            check_same_thread=False,
        )
        try:
            _check_version(connection, path)
        except BaseException:
            connection.close()
            raise
        return connection


@contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """All of the block, or nothing of it.

    Raises:
        BoardWriteError: the disk is full, or the file is damaged; nothing of the block is in it.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    except sqlite3.Error as error:
        raise BoardWriteError(
            f"the board's file can't be written ({error}): is the disk full? A damaged file is to be deleted: it is "
            "filled again as far back as the topics go"
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path | None, settings: Mapping[str, str]) -> None:
    empty = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,)
    if not empty:
        _check_version(connection, path)
    connection.execute("PRAGMA journal_mode = WAL")
    # A power loss may take the last transactions, and with them the offsets of their records, which are then read
    # again; what a killed process has committed stays. `FULL` would only add a sync of the disk to each batch.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
    if empty:
        with writing(connection):
            for statement in TABLES.split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)",
                [
                    ("created_at", int(time.time() * 1000)),
                    ("voter_key", secrets.token_bytes(32)),
                    ("file_key", secrets.token_hex(_KEY_BYTES)),
                    *settings.items(),
                ],
            )
        return
    kept = dict(connection.execute("SELECT key, value FROM meta"))
    for name, value in settings.items():
        if kept.get(name) != value:
            raise BoardFileError(
                f"board file {path}: was made for {name} {kept.get(name)}, not {value}; {_OTHER_SETTINGS}"
            )


def _check_version(connection: sqlite3.Connection, path: Path | None) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise BoardFileError(f"board file {path}: is another program's, or not complete; choose another --file")
    if version != SCHEMA_VERSION:
        raise BoardFileError(
            f"board file {path}: has version {version} of the tables, this prefstream has {SCHEMA_VERSION}; "
            f"{_OTHER_SETTINGS}"
        )


@contextmanager
def _opening(path: Path | None) -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise BoardFileError(f"board file {path}: can't be opened ({error}); {_OTHER_SETTINGS}") from error
    except OSError as error:
        raise BoardFileError(f"board file {path}: can't be opened ({error.strerror})") from error


def _refuse_network(path: Path) -> None:
    kind = file_system(path)
    if kind in NETWORK_FILE_SYSTEMS:
        raise BoardFileError(
            f"board file {path}: lies on a network file system ({kind}), where locks and shared memory can't be relied "
            "on; choose a --file on a local disk"
        )


def file_system(path: Path) -> str | None:
    """The kind of file system that a path lies on; None where the system does not tell."""
    try:
        mounts = {Path(mount.mountpoint): mount.fstype for mount in psutil.disk_partitions(all=True)}
    except OSError:
        return None
    resolved = path.resolve()
    return next((mounts[place] for place in (resolved, *resolved.parents) if place in mounts), None)


def _holder(lock: Path) -> str:
    """Who holds a lock, as they wrote into it."""
    try:
        pid, host = lock.read_text().split()
    except (OSError, ValueError):
        return "another process"
    return f"process {pid} on {host}"
