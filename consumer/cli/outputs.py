"""What commands share that write a few whole files at their end."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.scoring.atomic_file import try_to_write, write_atomically

ForceOption: TypeAlias = Annotated[bool, typer.Option("--force", help="Overwrite outputs that exist.")]


def check_outputs(outputs: Mapping[str, Path | None], inputs: Collection[Path], *, force: bool) -> None:
    """Refuse what would lose a file or make no sense, before anything costly starts.

    Args:
        outputs: by option; None for those that weren't asked for.
        inputs: files that the command reads.
        force: overwrite outputs that exist.

    Raises:
        UsageError: saying what to do instead.
    """
    taken = {path.resolve(): str(path) for path in inputs}
    for option, path in outputs.items():
        if path is None:
            continue
        if str(path) == "-":
            raise UsageError(f"{option} -: standard output takes the table; name a file")
        if path.resolve() in taken:
            raise UsageError(f"{option} {path} would overwrite {taken[path.resolve()]}; choose another name")
        taken[path.resolve()] = option
        if not path.parent.is_dir():
            raise UsageError(f"there is no folder {path.parent} to write {path.name} to")
        if path.is_dir():
            raise UsageError(f"{option} {path} is a folder; name a file in it")
        if path.exists() and not force:
            raise UsageError(f"{path} exists already: write it anew with --force, or choose another name")
        try:
            try_to_write(path)
        except OSError as error:
            raise UsageError(f"can't write {path}: {error.strerror}") from error


def write_output(path: Path, content: bytes) -> None:
    """Write a file; what stood there is replaced at once or not at all.

    Raises:
        StreamError: the disk is full, or fails otherwise.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise StreamError(f"can't write {path}: {error.strerror}") from error
