"""A process ends without taking apart what it has loaded, and yet with everything done that belongs to its end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import atexit, os, sys, threading, time
class Told:
    def __del__(self, write=os.write): write(2, b"taken apart")
told = Told()
from prefstream.consumer.process.quick_end import end_quickly_after
def command():
    atexit.register(print, "registered")
    threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
    print("command")
    {end}
{run}
"""


def ended(end: str, run: str = "end_quickly_after(command)") -> tuple[int, list[str], bool]:
    """Exit code of a command that ends so, what it printed, and whether its modules were taken apart."""
    program = [sys.executable, "-c", PROGRAM.format(end=end, run=run)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stdout.splitlines(), "taken apart" in done.stderr


@pytest.mark.parametrize(("end", "code"), [("pass", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit(0)", 0)])
def test_threads_are_waited_for_and_what_is_registered_is_called_but_nothing_is_taken_apart(
    end: str, code: int
) -> None:
    assert ended(end) == (code, ["command", "thread", "registered"], False)


@pytest.mark.parametrize(
    ("end", "run"),
    [
        ("raise ValueError", "end_quickly_after(command)"),
        ("sys.exit('a word')", "end_quickly_after(command)"),
        # Who runs a command as a part of a program: what fails afterwards is not hidden by the command's success.
        ("pass", "end_quickly_after(command); raise ValueError"),
    ],
)
def test_what_fails_ends_as_ever(end: str, run: str) -> None:
    assert ended(end, run) == (1, ["command", "thread", "registered"], True)


def test_output_that_can_not_be_written_is_not_taken_for_written() -> None:
    program = [sys.executable, "-c", PROGRAM.format(end="pass", run="end_quickly_after(command)")]
    buffered = {name: text for name, text in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.DEVNULL, env=buffered, check=False)
    assert done.returncode == 120
