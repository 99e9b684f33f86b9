"""What tests of other languages run by Node.js: TypeScript's compiler, installed once for all of a session's tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from filelock import FileLock

TYPESCRIPT: Final = Path(__file__).parent / "typescript"
"""What is installed, to the last version; a reader of the topics; and how the page's scripts are checked."""

NPM_S: Final = 200
"""Sixteen small packages, some seconds; npm keeps them, so that they are downloaded once on each machine."""

NO_NPM: Final = "npm is not installed (Debian: nodejs, npm)"
OFFLINE: Final = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "ENOTCACHED")

_INSTALL: Final = ("npm", "ci", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund")


def installed(folder: Path) -> Path:
    """The packages' programs, such as `tsc`; the test is skipped where they can't be had.

    Args:
        folder: that all of a session's processes share.
    """
    if shutil.which("npm") is None:
        pytest.skip(NO_NPM)
    programs = folder / "node_modules" / ".bin"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not (folder / "installed").exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(TYPESCRIPT / name, folder)
            run(*_INSTALL, folder=folder)
            (folder / "installed").touch()
    return programs


def run(*command: str, folder: Path) -> str:
    """What a command says; the test is skipped where that takes a network that is not there."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=NPM_S)
    if done.returncode and any(code in done.stderr for code in OFFLINE):
        pytest.skip("the npm registry can't be reached, and npm has not kept what is needed")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
