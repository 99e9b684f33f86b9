"""Files of battles in object stores: found there, and fetched when it is their turn.

By Arrow's file systems, as Ray's readers have them: s3://, gs://, abfs://, hdfs://, hf://, file://, and fsspec+SCHEME://
for what fsspec knows. Credentials are those that the store's own tools take. A file is copied to this machine's disk
before it is read: it is read more than once, and by seeking.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any, Final

from prefstream.scoring.errors import FileError
from prefstream.scoring.extras import explained

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_BLOCK_BYTES: Final = 8 << 20
"""Of one request to a store: they are slow to begin."""


def is_uri(name: str) -> bool:
    """Whether a name is one of an object store, and no path."""
    return _URI.match(name) is not None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in an object store.

    Attributes:
        uri: its name, as it was given but for patterns.
        path: within the store.
        size: in bytes.
        store: Arrow's file system.
        folder: where it is copied to, under its own name.
    """

    uri: str
    path: PurePosixPath
    size: int
    store: Any = field(repr=False, compare=False)
    folder: Path = field(repr=False)

    @property
    def local(self) -> Path:
        """Where it lies once it is fetched."""
        return self.folder / self.path.name

    @contextmanager
    def fetched(self) -> Iterator[None]:
        """Copy it here, for as long as the context lasts; errors within name the file by its URI.

        Raises:
            FileError: it can't be fetched.
        """
        with TemporaryDirectory(dir=self.folder.parent) as draft:
            self._copy(Path(draft) / "copy")
            self.folder.mkdir(exist_ok=True)
            (Path(draft) / "copy").replace(self.local)
        try:
            yield
        except FileError as error:
            raise FileError(str(error).replace(str(self.local), self.uri)) from error
        finally:
            self.local.unlink()

    def _copy(self, to: Path) -> None:
        try:
            # Left to itself, Arrow unpacks what its name says is packed.
            with self.store.open_input_stream(str(self.path), compression=None) as stream, to.open("wb") as file:
                shutil.copyfileobj(stream, file, _BLOCK_BYTES)
        except OSError as error:
            raise _unreadable(self.uri, error) from error


def stored_files(uri: str, folder: Path) -> list[StoredFile]:
    """The files that a URI names.

    Args:
        uri: of one file, or with * (in one name), ** (any folders) or [abc] in its path.
        folder: exists; each file is copied to a folder in it.

    Raises:
        FileError: there is none, the store can't be asked, or pyarrow is not installed.
    """
    with explained(uri, "ray"):
        import pyarrow as pa
        from pyarrow import fs
    path, mark, query = uri.partition("?")
    fixed, pattern = _fixed_part(path)
    try:
        store, base = fs.FileSystem.from_uri(fixed + mark + query)
        if pattern:
            entries = store.get_file_info(fs.FileSelector(base, recursive="/" in pattern, allow_not_found=True))
        else:
            entries = store.get_file_info([base])
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(uri, error) from error
    wanted = re.compile(_regex(pattern)) if pattern else None
    found = sorted(
        (entry.path, entry.size)
        for entry in entries
        if entry.is_file and (wanted is None or wanted.fullmatch(entry.path.removeprefix(base).lstrip("/")))
    )
    if not found:
        raise FileError(f"{uri}: there is no such file in the store")
    return [
        _stored(fixed + entry.removeprefix(base.rstrip("/")) if pattern else uri, entry, size, store, folder)
        for entry, size in found
    ]


def _stored(uri: str, entry: str, size: int, store: Any, folder: Path) -> StoredFile:
    own = folder / hashlib.sha256(uri.encode()).hexdigest()[:16]
    return StoredFile(uri=uri, path=PurePosixPath(entry), size=size, store=store, folder=own)


def _fixed_part(path: str) -> tuple[str, str]:
    """The folders of a path in front of its first pattern, and the rest; no rest where there is no pattern."""
    begin = re.search(r"[*\[]", path)
    if begin is None:
        return path, ""
    end = path.rindex("/", 0, begin.start())
    return path[:end], path[end + 1 :]


def _regex(pattern: str) -> str:
    parts = re.split(r"(\*\*/|\*\*|\*|\[[^]/]+\])", pattern)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*"}
    return "".join(meaning.get(part, part if place % 2 else re.escape(part)) for place, part in enumerate(parts))


def _unreadable(uri: str, error: Exception) -> FileError:
    return FileError(f"can't read {uri}: {' '.join(str(error).split())}")
