"""Where the version stands: `pyproject.toml` says it, and the other places, which no build can reach, repeat it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

VERSION: Final = re.compile(r"\d+\.\d+\.\d+")
"""Of a release: no candidates, which nobody has asked for."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place that tells the version.

    Attributes:
        path: from the repository's root.
        pattern: what stands there; its group `version` is the version, and it fits once.
    """

    path: str
    pattern: re.Pattern[str]

    def told(self, root: Path) -> str:
        """The version that stands there.

        Raises:
            ValueError: there is none, or several.
        """
        return self._match((root / self.path).read_text(encoding="utf-8"))["version"]

    def write(self, root: Path, version: str) -> None:
        """Put another version there.

        Raises:
            ValueError: there is none, or several.
        """
        text = (root / self.path).read_text(encoding="utf-8")
        begin, end = self._match(text).span("version")
        (root / self.path).write_text(text[:begin] + version + text[end:], encoding="utf-8")

    def _match(self, text: str) -> re.Match[str]:
        matches = list(self.pattern.finditer(text))
        if len(matches) != 1:
            raise ValueError(f"{self.path}: should tell prefstream's version once, and tells it {len(matches)} times")
        return matches[0]


SOURCE: Final = Place("pyproject.toml", re.compile(r'^version = "(?P<version>[^"]+)"$', re.MULTILINE))
"""What the wheel, `prefstream --version`, metrics, traces and preferences tell comes from here."""

COPIES: Final = (
    Place("deploy/Dockerfile", re.compile(r'org\.opencontainers\.image\.version="(?P<version>[^"]+)"')),
    Place("deploy/chart/Chart.yaml", re.compile(r'^appVersion: "(?P<version>[^"]+)"$', re.MULTILINE)),
    Place(
        "deploy/sbom.cdx.json",
        re.compile(r'"name": "prefstream",\s+"type": "application",\s+"version": "(?P<version>[^"]+)"'),
    ),
)


def disagreements(root: Path) -> Iterator[str]:
    """What the copies say otherwise than the source; one sentence each."""
    version = SOURCE.told(root)
    for place in COPIES:
        if (told := place.told(root)) != version:
            yield f"{place.path} says {told}, {SOURCE.path} says {version}: python -m tests.release set {version}"
