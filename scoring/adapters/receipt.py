"""The files beside an adapter that tell how it came about."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

RECEIPT: Final = "train.json"
CARD: Final = "README.md"
CURVES: Final = "curves.png"

PREDICTIONS: Final = "dev-predictions.csv"
"""What a run said of the pairs that it was measured on, in Kaggle's submission format."""


def read_receipt(folder: Path) -> dict[str, Any] | None:
    """What training said of an adapter; None where there is none, or another program wrote it."""
    try:
        fields = json.loads((folder / RECEIPT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return fields if isinstance(fields, dict) else None


def training_hash(folder: Path) -> str | None:
    """SHA-256 of the file that an adapter learnt from; None where nobody tells.

    Args:
        folder: of the adapter.
    """
    fields: Any = read_receipt(folder)
    for name in ("data", "train", "sha256"):
        fields = fields.get(name) if isinstance(fields, dict) else None
    return fields if isinstance(fields, str) else None
