"""Each tutorial, command by command, as it stands: what a command writes is what the tutorial shows of it."""

from __future__ import annotations

import re
import shutil
import socket
from pathlib import Path
from typing import Final

import pytest

from tests.support.shells import Command, Shell, steps

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

BROKER, HTTP = "9092", "9464"
STOP: Final = "\n## Stop it\n"


def read(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder that looks like a checkout to a reader, and takes what the reader saves."""
    for name in ("consumer", "deploy", "scoring"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


@pytest.mark.parametrize("name", ["score-a-file", "train-a-judge"])
def test_a_tutorial_about_files_goes_as_it_says(name: str, checkout: Path) -> None:
    with Shell(checkout, settings={}, instead={}) as shell:
        shell.follow(read(name))


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_service_runs_and_is_read_as_the_tutorials_say(checkout: Path) -> None:
    """Only the ports differ: another test may have the usual ones."""
    broker, http = free_port(), free_port()
    settings = {
        "PREFSTREAM_BROKER_PORT": broker,
        "PREFSTREAM_BOOTSTRAP_SERVERS": f"localhost:{broker}",
        "PREFSTREAM_HTTP_PORT": http,
    }
    running, stop, stopping = read("run-a-service").partition(STOP)
    assert stop
    with Shell(checkout, settings=settings, instead={BROKER: broker, HTTP: http}) as shell:
        for document in (running, read("read-the-topics"), stopping):
            shell.follow(document)


def test_every_command_and_file_of_a_tutorial_is_one_of_those_that_are_tried() -> None:
    for path in DOCS.glob("*-*.md"):
        text = path.read_text(encoding="utf-8")
        tried = list(steps(text))
        assert sum(isinstance(step, Command) for step in tried) == len(re.findall(r"^\$ ", text, re.MULTILINE)) > 0
        assert len(re.findall(r"^```\w+$", text, re.MULTILINE)) == text.count("```console\n") + sum(
            not isinstance(step, Command) for step in tried
        )
