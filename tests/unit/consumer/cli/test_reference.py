"""The reference of the command line is what the commands say, whole, and the same on every machine."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.cli.reference import FILE, GENERATE, reference
from tests.support.commands import every_command, own_options

COMMANDS = every_command()

TEXT = FILE.read_text(encoding="utf-8")


def section(heading: str) -> str:
    """From a heading to the next one."""
    return TEXT.partition(f"# {heading}\n")[2].partition("\n#")[0]


def test_the_reference_is_what_the_commands_say() -> None:
    assert reference() == TEXT, f"run: {GENERATE}"


@pytest.mark.parametrize(("name", "command"), COMMANDS, ids=[name for name, _ in COMMANDS])
def test_every_option_is_in_it(name: str, command: Any) -> None:
    own = section(f"`prefstream {name}`")
    for option in own_options(command):
        group = getattr(option, "rich_help_panel", None)
        told = section(group) if group else own
        [line] = [line for line in told.splitlines() if re.match(rf"\* `(.*, )?{option.opts[0]}(?![\w-])", line)]
        assert all(spelling in line for spelling in (*option.opts, *option.secondary_opts))
        assert not group or f"[{group}](#" in own


def test_it_depends_neither_on_the_terminal_nor_on_the_user(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "COLUMNS": "40",
        "LANG": "C.UTF-8",
        "PREFSTREAM_PANEL": "mine.yaml",
        "PREFSTREAM_GROUP_ID": "mine",
        "PYTHONPATH": str(Path(__file__).parents[4]),
    }
    code = "import sys; from prefstream.consumer.cli.reference import reference; sys.stdout.write(reference())"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.decode() == TEXT
