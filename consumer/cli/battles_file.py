"""The argument of commands that read a file of battles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

BattlesFile: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        show_default=False,
        help="Battles: CSV in Kaggle's format (.csv) or a JSON object a line (.jsonl, .ndjson).",
    ),
]
