"""Processes of `prefstream run` under a supervisor, which starts each again whenever it ends."""

from __future__ import annotations

import json
import signal
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prefstream.consumer.client.watchdog import EXIT_STALLED
from tests.chaos.inside.clock import ENV_CLOCK, Clock
from tests.chaos.inside.points import ENV_PARTITIONS
from tests.chaos.inside.trap import ENV_TRAP, Trap
from tests.support.processes import Prefstream
from tests.support.streams import MARKERS

PROGRAM: Final = "from tests.chaos.inside.points import main; main()"

STOP_S: Final = 120.0
"""A stop drains for 20 s at most, and then closes its clients, which may wait for a broker that is away."""

EXPECTED_EXITS: Final = frozenset({0, 1, EXIT_STALLED, -signal.SIGKILL, -signal.SIGTERM})
"""Done, a lasting fault, a hanging call, and what the faults do. A crash (2, or another signal) is none of these."""


@dataclass(frozen=True)
class Version:
    """An installation of prefstream to run.

    Attributes:
        name: for people.
        python: its interpreter.
        environment: variables by which that finds prefstream, and our tests.
        options: of `run`, beside those that all versions have.
    """

    name: str = "this one"
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ()


class Supervised:
    """One process, over all its lives.

    Args:
        name: its instance id.
        arguments: of the command.
        folder: for its log, its trap and its clock.

    Attributes:
        name: as given.
        trap: makes it do something to itself at a point.
        clock: the wall clock that it sees.
        version: what the next start runs.
        exits: how often it ended with which code.
    """

    def __init__(self, name: str, arguments: Sequence[str], folder: Path) -> None:
        self.name = name
        self.trap = Trap(trap := folder / f"{name}.trap")
        self.clock = Clock(clock := folder / f"{name}.clock")
        self.version = Version()
        self.exits: Counter[int] = Counter()
        self._arguments = arguments
        self._log = folder / f"{name}.log"
        self._partitions = folder / f"{name}.partitions"
        self._environment = {ENV_TRAP: str(trap), ENV_CLOCK: str(clock), ENV_PARTITIONS: str(self._partitions)}
        self._process: Prefstream | None = None
        self._sick: int | None = None
        self._wanted = False

    @property
    def alive(self) -> bool:
        """Whether its process runs, or is paused."""
        process = self._process
        return process is not None and not process.ended

    @property
    def pid(self) -> int | None:
        """Number of its process, while there is one."""
        process = self._process  # another thread may look while it ends
        return process.process.pid if process is not None else None

    def fall_sick(self) -> None:
        """Count as unfit for work until the next start."""
        self._sick = self.pid

    def serves(self) -> frozenset[int]:
        """The partitions that it reads; none where it is not fit for work. Callable from any thread."""
        pid = self.pid
        if pid is None or not self.alive or self._sick == pid or self.trap.is_set or _is_frozen(pid):
            return frozenset()
        try:
            report = json.loads(self._partitions.read_text())
        except FileNotFoundError:
            return frozenset()
        return frozenset(report["partitions"]) if report["pid"] == pid else frozenset()

    def start(self) -> None:
        """Have it run from now on."""
        self._wanted = True
        if not self.alive:
            version = self.version
            self._process = Prefstream(
                *self._arguments,
                *version.options,
                log=self._log,
                program=PROGRAM,
                environment={**self._environment, **version.environment},
                python=version.python,
            )

    def keep_up(self) -> None:
        """Start it again if it ended and should not have.

        Raises:
            AssertionError: it crashed.
        """
        if self._process is None or self.alive:
            return
        code = self._process.wait()
        self._process.kill()  # closes its pipe
        self._process = None
        self.exits[code] += 1
        assert code in EXPECTED_EXITS, f"{self.name} ended with {code}: {self.last_words()}"
        if self._wanted:
            self.start()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs; callable from any thread."""
        process = self._process
        if process is not None and not process.ended:
            process.signal(number)

    def stop(self) -> None:
        """Let it finish, for good."""
        self._wanted = False
        self.trap.clear()
        self.send(signal.SIGCONT)
        self.send(signal.SIGTERM)
        if self._process is not None:
            self._process.wait(STOP_S)
        self.keep_up()

    def kill(self) -> None:
        """End it at once, for good."""
        self._wanted = False
        if self._process is not None:
            self._process.kill()

    def last_words(self, length: int = 3_000) -> str:
        """The end of its log."""
        return self._log.read_text()[-length:] if self._log.exists() else ""

    def leaks(self) -> list[str]:
        """Words of users that stand in its log."""
        log = self._log.read_text() if self._log.exists() else ""
        return [marker for marker in MARKERS if marker in log]


def _is_frozen(pid: int) -> bool:
    """Whether a process of this machine is stopped by a signal."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] == "T"  # the name of the program, in brackets, may hold anything
