"""The argument of commands that read a file of battles."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from prefstream.scoring.errors import FileError
from prefstream.scoring.files.winner import SPELLINGS_HELP

STANDARD_INPUT: Final = Path("/dev/stdin")

FORMATS_HELP: Final = (
    "CSV (.csv), a JSON object a line (.jsonl, .ndjson) or Parquet; compressed ones (.gz, .zst) are unpacked; "
    "- is standard input"
)


def input_file(name: str) -> Path:
    """The file that an argument names, as one that can be read more than once.

    Commands read a file more than once: to check it before anything costly, then row by row. Standard input and pipes
    are read to their end first, into a file without a name that goes with this process.

    Args:
        name: of a file; `-` is standard input.

    Raises:
        FileError: a pipe can't be read, or kept.
    """
    path = STANDARD_INPUT if name == "-" else Path(name)
    if not (path.is_fifo() or path.is_char_device() or path.is_socket()):
        return path
    try:
        source = os.fdopen(0, "rb", closefd=False) if path == STANDARD_INPUT else path.open("rb")
        with source as pipe, tempfile.TemporaryFile(prefix="prefstream-") as kept:
            shutil.copyfileobj(pipe, kept)
            kept.flush()
            if path == STANDARD_INPUT:
                os.dup2(kept.fileno(), 0)
                return path
            return Path(f"/dev/fd/{os.dup(kept.fileno())}")
    except OSError as error:
        folder = f"{tempfile.gettempdir()} (TMPDIR names another folder)"
        raise FileError(f"can't keep what comes from {path} in {folder}: {error.strerror}") from error


BattlesFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        parser=input_file,
        show_default=False,
        help=f"Battles: {FORMATS_HELP}. The fields are the contract's, Kaggle's (LMSYS, WSDM Cup) or LMArena's.",
    ),
]

LabelledFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        parser=input_file,
        show_default=False,
        help=f"Battles that people judged: {FORMATS_HELP}. What they said stands in winner ({SPELLINGS_HELP}), in "
        "Kaggle's columns winner_model_a, winner_model_b and winner_tie, or in votes.",
    ),
]
