"""The changelog's section of a release."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Final

CHANGELOG: Final = "CHANGELOG.md"

_UNRELEASED: Final = "## Unreleased\n"


def section(root: Path, version: str) -> str:
    """What changed with a version, without its headline.

    Raises:
        ValueError: the changelog does not say.
    """
    text = (root / CHANGELOG).read_text(encoding="utf-8")
    found = re.search(
        rf"^## {re.escape(version)} - \d{{4}}-\d\d-\d\d\n(?P<body>.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    body = found["body"].strip() if found else ""
    if not body:
        raise ValueError(f"{CHANGELOG}: has no section ## {version} - DATE: python -m tests.release set {version}")
    return body + "\n"


def release(root: Path, version: str, date: dt.date) -> None:
    """Make what is unreleased the section of a version, above which nothing is unreleased.

    Raises:
        ValueError: nothing is, or the version has a section.
    """
    path = root / CHANGELOG
    text = path.read_text(encoding="utf-8")
    if f"\n## {version} - " in text:
        raise ValueError(f"{CHANGELOG}: {version} has a section")
    before, heading, after = text.partition(_UNRELEASED)
    if not heading or not after.partition("\n## ")[0].strip():
        raise ValueError(f"{CHANGELOG}: nothing stands under {_UNRELEASED.strip()}")
    path.write_text(f"{before}{heading}\n## {version} - {date.isoformat()}\n{after}", encoding="utf-8")
