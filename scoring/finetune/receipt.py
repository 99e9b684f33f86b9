"""What the folder of every trained judge holds beside its weights, whatever kind it is: receipt, card, predictions."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from prefstream.scoring.adapters.receipt import CARD, PREDICTIONS
from prefstream.scoring.atomic_file import write_atomically
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.files.submission import encode_submission
from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.probabilities import Triples


def data_record(path: Path, sha256: str, report: DataReport) -> dict[str, Any]:
    """What a receipt says of a file of pairs.

    Args:
        path: of the file.
        sha256: of it.
        report: what was found in it, or in the part of it that counted.
    """
    return {"file": printable(path.name), "sha256": sha256, **report.to_dict()}


def surroundings(packages: Iterable[str]) -> dict[str, Any]:
    """What a receipt says of machine and versions.

    Args:
        packages: names of those that decide what comes of a run.
    """
    return {
        "machine": {"python": platform.python_version(), "processor": platform.machine()},
        "versions": {name: version(name) for name in packages},
    }


def data_line(found: Mapping[str, Any]) -> str:
    """What a card says of a file: its name and the beginning of its hash."""
    return f"{found['file']}, SHA-256 {found['sha256'][:16]}…"


def metrics_table(metrics: Mapping[str, float]) -> list[str]:
    """What a card says of the dev pairs; nothing without them."""
    if not metrics:
        return []
    rows = [f"| {name} | {value:.4f} |" for name, value in metrics.items()]
    return ["On the dev data, as stored, uncalibrated:", "", "| metric | value |", "|---|---|", *rows, ""]


def write_card(folder: Path, lines: Sequence[str]) -> None:
    """Write the model card."""
    write_atomically(folder / CARD, "\n".join(lines).encode())


def write_predictions(folder: Path, dev: Pairs, probabilities: Triples) -> None:
    """Write the dev pairs' probabilities in Kaggle's submission format, for `prefstream evaluate --predictions`."""
    write_atomically(folder / PREDICTIONS, encode_submission(dev.ids, probabilities))


def drop_predictions(folder: Path) -> None:
    """Delete what the adapter that is about to be replaced said: nobody may take it for the new one's."""
    (folder / PREDICTIONS).unlink(missing_ok=True)
