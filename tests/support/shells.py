"""A document's commands, typed into a shell as a reader types them, and held against what the document shows."""

from __future__ import annotations

import doctest
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.processes import child_environment
from tests.support.streams import WAIT_S, wait_until

STEP: Final = re.compile(
    r"[Ss]ave this as `(?P<name>\S+)`[^`]*\n\n```\w+\n(?P<text>.*?)^```$|^```console\n(?P<session>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
COMMAND: Final = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)

ASKS: Final = ("curl ", "prefstream dead-letters list")
"""Commands that only ask. A test is faster than a reader, so they are typed again until the answer is there."""


@dataclass(frozen=True)
class File:
    """What the reader is asked to save."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A line that the reader is asked to type.

    Attributes:
        line: as it is typed; one that ends in `&` goes on in the background.
        shown: what it writes, with `...` for what differs from run to run.
    """

    line: str
    shown: str

    def shows(self, written: str) -> bool:
        """Whether what was written is what is shown, whatever blanks its lines end with."""
        written = re.sub(" +$", "", written, flags=re.MULTILINE)
        return doctest.OutputChecker().check_output(self.shown, written, doctest.ELLIPSIS)


def steps(document: str) -> Iterator[File | Command]:
    """What a document asks for, from top to bottom."""
    for found in STEP.finditer(document):
        if found["name"]:
            yield File(found["name"], found["text"])
        else:
            yield from (Command(*command) for command in COMMAND.findall(found["session"]))


class Shell:
    """A shell in a folder; what still runs in it ends with the context.

    Args:
        folder: where it begins.
        settings: variables beside those of `child_environment`.
        instead: texts of documents, such as ports, and what stands for them here.
    """

    def __init__(self, folder: Path, *, settings: Mapping[str, str], instead: Mapping[str, str]) -> None:
        self._folder = folder
        self._instead = instead
        self._typed = 0
        self._screen = folder / "screen"
        environment = child_environment() | dict(settings)
        environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
        with self._screen.open("wb") as screen:
            self._bash = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=screen,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def follow(self, document: str) -> None:
        """Do what a document asks for.

        Raises:
            AssertionError: a command writes something else than the document shows.
        """
        for text, stands_here in self._instead.items():
            document = document.replace(text, stands_here)
        for step in steps(document):
            if isinstance(step, File):
                (self._folder / step.name).write_text(step.text, encoding="utf-8")
            else:
                self._run(step)

    def _run(self, command: Command) -> None:
        deadline = time.monotonic() + WAIT_S
        written = self._type(command)
        while command.line.startswith(ASKS) and not command.shows(written) and time.monotonic() < deadline:
            written = self._type(command)
        assert command.shows(written), f"$ {command.line}\n{written}\nis shown as\n\n{command.shown}"

    def _type(self, command: Command) -> str:
        """What the command writes until it ends, or, in the background, until it has written what is shown."""
        self._typed += 1
        begin, end = self._screen.stat().st_size, f"<{self._typed}>\n"

        def written() -> str:
            return self._screen.read_bytes()[begin:].decode()

        assert self._bash.stdin
        self._bash.stdin.write(f"{command.line}\necho '{end.strip()}'\n")
        self._bash.stdin.flush()
        wait_until(lambda: end in written(), what=f"the end of: {command.line}")
        if command.line.endswith("&"):
            wait_until(lambda: command.shows(written().replace(end, "")), what=f"what is shown of: {command.line}")
        return written().replace(end, "")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bash.communicate('jobs=$(jobs -p); test -z "$jobs" || kill -KILL $jobs\n', timeout=WAIT_S)
