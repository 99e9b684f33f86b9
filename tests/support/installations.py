"""prefstream as people install it: its wheel, with some extras, in a virtual environment of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.support.only import only
from tests.support.processes import PREFSTREAM, Prefstream, child_environment

ROOT: Final = Path(__file__).parents[2]

INSTALL_S: Final = 1_500.0
"""torch is gigabytes where no index has its CPU build."""

_REFUSING: Final = "from tests.support.only import main; main()"


@dataclass(frozen=True)
class Installation:
    """Where commands run.

    Attributes:
        python: its interpreter.
        program: Python that runs the command.
        environment: variables beside those of `child_environment`.
    """

    python: str
    program: str
    environment: Mapping[str, str]

    def run(self, *arguments: str | Path, program: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, or another program with these arguments."""
        return subprocess.run(
            [self.python, "-c", program or self.program, *map(str, arguments)],
            cwd=ROOT.parent,  # nothing of the checkout is found from here
            env=child_environment() | dict(self.environment),
            capture_output=True,
            text=True,
            timeout=200,
        )

    def start(self, *arguments: str, log: Path, environment: Mapping[str, str] | None = None) -> Prefstream:
        """Start a command."""
        variables = dict(self.environment) | dict(environment or {})
        return Prefstream(*arguments, log=log, program=self.program, environment=variables, python=self.python)


def refusing(*extras: str) -> Installation:
    """This environment without the packages that these extras don't bring."""
    return Installation(sys.executable, _REFUSING, {"REFUSED_MODULES": only(*extras)["REFUSED_MODULES"]})


def install(wheel: Path, folder: Path, extras: Iterable[str] = ()) -> Installation:
    """Make a virtual environment and install a wheel there, with what pip's index has of its dependencies.

    Args:
        wheel: of prefstream.
        folder: for the environment; it does not exist yet.
        extras: their names.
    """
    named = f"[{','.join(extras)}]" if extras else ""
    run([sys.executable, "-m", "venv", folder], folder.parent)
    python = folder / "bin" / "python"
    pip: list[str | Path] = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, f"{wheel}{named}"], folder.parent, timeout_s=INSTALL_S)
    return Installation(str(python), PREFSTREAM, {"PYTHONPATH": ""})


def build(source: Path, kind: str, folder: Path) -> Path:
    """Build a `wheel` or an `sdist` by the installed hatchling: no network, no environment of its own."""
    before = set(folder.glob("*"))
    run([sys.executable, "-m", "hatchling", "build", "--target", kind, "--directory", folder], source)
    [built] = set(folder.glob("*")) - before
    return built


def run(
    command: Iterable[str | Path],
    folder: Path,
    environment: Mapping[str, str] | None = None,
    *,
    timeout_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the test's own way of finding modules; it must succeed."""
    clean = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        list(command),
        cwd=folder,
        env=clean | dict(environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
    assert done.returncode == 0, done.stderr
    return done
