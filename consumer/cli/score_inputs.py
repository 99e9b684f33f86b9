"""The files that `score` is given, and where the output of each goes."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from prefstream.consumer.cli.battles_file import STANDARD_INPUT, input_file
from prefstream.consumer.errors import UsageError
from prefstream.consumer.files.object_store import StoredFile, is_uri, stored_files
from prefstream.consumer.files.score_output import STANDARD_OUTPUT, ScorePaths
from prefstream.consumer.files.score_rows import ENDINGS, OutputFormat
from prefstream.scoring.errors import FileError

_INPUT_ENDINGS: Final = {".csv", ".jsonl", ".ndjson", ".parquet", ".gz", ".zst"}


@dataclass(frozen=True, slots=True)
class ScoreInput:
    """One input.

    Attributes:
        name: for people, and to name it again.
        path: where it is read.
        place: its folders and its name, for that of its output.
        stored: the same in an object store, from which it is fetched to `path`; None for one of this machine.
    """

    name: str
    path: Path
    place: PurePosixPath
    stored: StoredFile | None = None

    @property
    def present(self) -> Callable[[], AbstractContextManager[None]]:
        """Entered while `path` is needed."""
        return self.stored.fetched if self.stored else nullcontext

    @property
    def size(self) -> int:
        """In bytes."""
        return self.stored.size if self.stored else self.path.stat().st_size


def score_inputs(names: Sequence[str], folder: Path) -> list[ScoreInput]:
    """The files that arguments name, each once, in the order of the arguments; those of a pattern by name.

    Args:
        names: paths, patterns of paths, and URIs of object stores; `-` is standard input.
        folder: for what is fetched.

    Raises:
        FileError: a pattern fits no file, or a store can't be asked.
        UsageError: a file is named twice.
    """
    found = [one for name in names for one in _named(name, folder)]
    twice = [name for name, count in Counter(one.name for one in found).items() if count > 1]
    if twice:
        raise UsageError(f"{', '.join(twice)}: named more than once; name each file once")
    return found


def _named(name: str, folder: Path) -> list[ScoreInput]:
    if is_uri(name):
        return [ScoreInput(one.uri, one.local, one.path, one) for one in stored_files(name, folder)]
    if not glob.has_magic(name) or os.path.lexists(name):
        path = input_file(name)
        return [ScoreInput(name if path == STANDARD_INPUT else str(path), path, _place(path))]
    paths = [Path(found) for found in sorted(glob.glob(name, recursive=True))]  # noqa: PTH207 - absolute ones, too
    files = [path for path in paths if path.is_file()]
    if not files:
        raise FileError(f"{name}: no file fits this pattern")
    return [ScoreInput(str(path), path, _place(path)) for path in files]


def _place(path: Path) -> PurePosixPath:
    return PurePosixPath(path.absolute())


def score_paths(inputs: Sequence[ScoreInput], output: Path, output_format: OutputFormat | None) -> list[ScorePaths]:
    """Where each input is written to: one to the output itself, several to a folder, named and laid as they are.

    Args:
        inputs: at least one.
        output: a file, for one input; a folder, which is made where it is missing, for any number.
        output_format: what was asked for.

    Raises:
        UsageError: several inputs and no folder, or two of them would get one output.
    """
    if len(inputs) == 1 and not output.is_dir():
        return [ScorePaths(output, source=inputs[0].path, asked_format=output_format)]
    if output == STANDARD_OUTPUT or output.suffix.lower() in ENDINGS:
        raise UsageError(f"{output}: several files are written to a folder, each under its own name; name a folder")
    if any(one.path == STANDARD_INPUT for one in inputs):
        raise UsageError("standard input has no name for an output in a folder: score it alone, to a file")
    common = os.path.commonpath([one.place.parent for one in inputs])
    ending = {"lmsys": ".csv", "wsdm": ".csv", "jsonl": ".jsonl"}[output_format or "jsonl"]
    outs = [output / one.place.relative_to(common).with_name(_stem(one.place.name) + ending) for one in inputs]
    for out, count in Counter(outs).items():
        if count > 1:
            both = ", ".join(one.name for one, own in zip(inputs, outs, strict=True) if own == out)
            raise UsageError(f"{both}: would all be written to {out}; score them one by one, to files of other names")
    for out in outs:
        out.parent.mkdir(parents=True, exist_ok=True)
    return [ScorePaths(out, source=one.path, asked_format=output_format) for one, out in zip(inputs, outs, strict=True)]


def _stem(name: str) -> str:
    """A name without the endings that say what is in the file."""
    path = PurePosixPath(name)
    while path.suffix.lower() in _INPUT_ENDINGS:
        path = path.with_suffix("")
    return path.name
