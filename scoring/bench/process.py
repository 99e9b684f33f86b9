"""What the benchmarks share: one side of a comparison in a process of its own, and a clock for it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final, Self

from prefstream.scoring.errors import ScoringError
from prefstream.scoring.runtime import MALLOC_SETTINGS

_FAST_SETTINGS: Final = frozenset({*MALLOC_SETTINGS, "GOMP_SPINCOUNT", "TOKENIZERS_PARALLELISM"})
"""What a process with `fast=False` must not inherit from a prefstream process: it gets malloc and threads as they
come."""

_TIMEOUT_S: Final = 7200.0
"""A run of one side takes minutes on two cores; one that takes hours hangs, or the machine is too small."""

_PACKAGES: Final = Path(__file__).absolute().parents[3]
"""Where `prefstream` lies; links to its rooms are not followed."""


class BenchError(ScoringError):
    """One side of the comparison failed."""


class Stopwatch:
    """Takes the time that passes, and that this process computes, in a `with` block."""

    seconds = 0.0
    cpu_seconds = 0.0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin; once."""
        self.seconds, self.cpu_seconds = -time.perf_counter(), -time.process_time()

    def stop(self) -> None:
        """End; once."""
        self.seconds += time.perf_counter()
        self.cpu_seconds += time.process_time()


def run_worker(
    module: str,
    task: str,
    request: Path,
    *,
    fast: bool = True,
    timeout_s: float = _TIMEOUT_S,
    python: Path | None = None,
) -> Any:
    """Run one task in a process of its own: `python -m MODULE TASK REQUEST ANSWER`.

    Args:
        module: the worker's.
        task: what it is to do.
        request: file for it to read; its answer is written beside it.
        fast: leave it the settings that this process has from `prefstream.scoring.runtime`.
        timeout_s: after which it hangs, or the machine is too small.
        python: another interpreter; None for this one.

    Returns:
        The JSON that the worker wrote.

    Raises:
        BenchError: it failed, or took too long.
    """
    answer = request.with_name("answer.json")
    search = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
    dropped = frozenset() if fast else _FAST_SETTINGS
    environment = {name: value for name, value in os.environ.items() if name not in dropped} | {"PYTHONPATH": search}
    command = [str(python or sys.executable), "-P", "-m", module, task, str(request), str(answer)]
    try:
        # Our own module, by our own interpreter or the operator's; the arguments are paths of ours.
        result = subprocess.run(  # noqa: S603
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise BenchError(f"bench: {task} did not run: {error}") from None
    except subprocess.TimeoutExpired:
        raise BenchError(f"bench: {task} took over {timeout_s:.0f} s; measure fewer battles") from None
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()
        reason = lines[-1] if lines else f"the process ended with code {result.returncode}"
        raise BenchError(f"bench: {task} failed: {reason}")
    return json.loads(answer.read_bytes())


def peak_memory_bytes() -> int:
    """Most memory that this process held so far.

    Not by `getrusage`, which counts what the process that started this one held when it did.
    """
    [kilobytes] = re.findall(
        r"^VmHWM:\s*(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE
    )
    return 1024 * int(kilobytes)
