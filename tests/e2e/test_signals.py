"""Signals while a command starts: heard from the first moment on, also as process 1, where the kernel drops others."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.priors import write_prior_panel
from tests.support.processes import child_environment
from tests.support.streams import WAIT_S, wait_until

COMMAND = [sys.executable, "-m", "prefstream"]
AS_PROCESS_1 = ["unshare", "--pid", "--fork", "--kill-child"]
STARTS = 8
"""Random moments of a start, which takes a second or more."""


def hears(pid: int) -> bool:
    """Whether the process handles SIGTERM itself, by the word of the kernel."""
    status = Path(f"/proc/{pid}/status").read_text()
    (mask,) = (int(line.split()[1], 16) for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(mask >> (signal.SIGTERM - 1) & 1)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def starting(
    *arguments: str, before: tuple[str, ...] = (), **environment: str
) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command that has just begun to hear signals, and the id of its process."""
    process = subprocess.Popen(
        [*before, *COMMAND, *arguments],
        env=child_environment() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        if before:
            wait_until(lambda: bool(children(process.pid)), what="process 1")
        pid = children(process.pid)[0] if before else process.pid
        wait_until(lambda: hears(pid), what="the handlers")
        yield process, pid
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> tuple[int, list[str]]:
    """Its exit code, and what it wrote to standard error but for the client's lines on the broker that is away."""
    _, errors = process.communicate(timeout=WAIT_S)
    return process.returncode, [line for line in errors.splitlines() if '"logger":"kafka' not in line]


@pytest.mark.skipif(
    subprocess.run([*AS_PROCESS_1, "true"], capture_output=True).returncode != 0, reason="needs namespaces of its own"
)
@pytest.mark.parametrize("restarts", [False, True], ids=["as it is", "starts itself again"])
def test_run_as_process_1_is_stopped_at_any_moment_of_its_start(
    tmp_path: Path, seeded: random.Random, *, restarts: bool
) -> None:
    """Its broker is away, so that the start never ends by itself within the bound."""
    arguments = ["run", "--panel", str(write_prior_panel(tmp_path)), "--no-http", "--bootstrap-servers", "127.0.0.1:1"]
    for _ in range(STARTS):
        number = seeded.choice([signal.SIGTERM, signal.SIGINT])
        again = {"PREFSTREAM_NO_REEXEC": "0"} if restarts else {}
        with starting(*arguments, before=tuple(AS_PROCESS_1), **again) as (process, pid):
            time.sleep(seeded.uniform(0, 1.5))
            os.kill(pid, number)
            code, lines = ended(process)
        assert code == 0, lines
        *before, end = map(json.loads, lines)
        assert [line["event"] for line in before] in ([], ["starting"])
        assert (end["event"], end["signal"]) == ("stopped while it started, nothing was begun", number.name)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_another_command_is_interrupted_by_one_line(
    number: signal.Signals, tmp_path: Path, seeded: random.Random
) -> None:
    fifo = tmp_path / "panel.yaml"
    os.mkfifo(fifo)  # the start waits for a panel that nobody writes
    battles = tmp_path / "battles.jsonl"
    battles.write_text('{"id": "1", "prompt": "p", "response_a": "a", "response_b": "b"}\n')
    for _ in range(STARTS // 2):
        with starting("score", str(battles), "-o", str(tmp_path / "o.csv"), "--panel", str(fifo)) as (process, _pid):
            time.sleep(seeded.uniform(0, 1.0))
            process.send_signal(number)
            code, lines = ended(process)
        assert code == 130, lines
        assert [line for line in lines if line] in (
            [f"prefstream: stopped while it started, nothing was begun ({number.name})"],
            ["prefstream: interrupted"],
        )


HEARING = """
import signal, sys
known = set(sys.modules)
signal.pthread_sigmask = lambda *_: (print(*set(sys.modules) - known), sys.exit())
from prefstream.__main__ import main
main()
"""
"""The command, which at the moment when it hears signals prints what it has imported, and ends."""


def test_signals_are_heard_before_anything_that_takes_time_is_imported() -> None:
    done = subprocess.run([sys.executable, "-c", HEARING], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {name for name in imported if name.startswith("prefstream")} == {
        "prefstream",
        "prefstream.__main__",
        "prefstream.consumer",
        "prefstream.consumer.early_signals",
    }
    assert not imported & {"asyncio", "kafka", "logging", "numpy", "pydantic", "rich", "structlog", "typer", "yaml"}


HOLDING = """
import os, signal
os.execve = lambda *_: (print(*signal.pthread_sigmask(signal.SIG_BLOCK, ())), os._exit(0))
from prefstream.__main__ import main
main()
"""
"""The command, which where it would start itself again prints the signals that are held back, and ends."""


def test_a_start_again_loses_no_signal() -> None:
    environment = child_environment() | {"PREFSTREAM_NO_REEXEC": "0", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", HOLDING, "run"], capture_output=True, text=True, check=True, env=environment
    )
    assert set(map(int, done.stdout.split())) == {signal.SIGTERM, signal.SIGINT}
