"""The chart, as Helm makes manifests of it."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.helm.binary import helm, helm_environment

CHART: Final = Path(__file__).parents[3] / "deploy" / "chart"
EXAMPLES: Final = {path.stem: path for path in sorted((CHART / "examples").glob("*.yaml"))}
RELEASE: Final = "demo"
NAMESPACE: Final = "chat"

_SAID: Final = re.compile(r"^(level=INFO .*symbolic link|coalesce).*\n", re.MULTILINE)
"""Helm tells of each link that it follows."""


@dataclass(frozen=True)
class Rendered:
    """What Helm made.

    Attributes:
        documents: the manifests, those of hooks among them.
        error: what it said where it made none; empty otherwise.
    """

    documents: Sequence[dict[str, Any]]
    error: str = ""

    def of(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """The one manifest of a kind, or of a kind and name."""
        [found] = [one for one in self.all_of(kind) if name in {None, one["metadata"]["name"]}]
        return found

    def all_of(self, kind: str) -> list[dict[str, Any]]:
        """The manifests of a kind."""
        return [document for document in self.documents if document["kind"] == kind]

    def pod(self, kind: str, name: str | None = None) -> dict[str, Any]:
        """The specification of a workload's pods, found as `of` does; of a pod itself, where that is the kind."""
        spec: dict[str, Any] = self.of(kind, name)["spec"]
        return spec if kind == "Pod" else spec["template"]["spec"]


def run_helm(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Helm; what it says of links is left out."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(helm()), *map(str, arguments)],
            env=helm_environment(Path(folder)),
            capture_output=True,
            text=True,
            timeout=120,
        )
    done.stderr = _SAID.sub("", done.stderr)
    return done


def render(values: Path | Mapping[str, Any], *settings: str) -> Rendered:
    """Make manifests.

    Args:
        values: a file of values, or values.
        settings: further ones, as `--set-json` takes them.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = values if isinstance(values, Path) else Path(folder, "values.yaml")
        if not isinstance(values, Path):
            file.write_text(yaml.safe_dump(dict(values)), encoding="utf-8")
        further = [word for setting in settings for word in ("--set-json", setting)]
        done = run_helm("template", RELEASE, CHART, "--namespace", NAMESPACE, "--values", file, *further)
    if done.returncode:
        return Rendered((), done.stderr)
    return Rendered([document for document in yaml.safe_load_all(done.stdout) if document])


@cache
def example(name: str) -> Rendered:
    """The manifests of one of the shipped sets of values."""
    rendered = render(EXAMPLES[name])
    assert not rendered.error
    return rendered
