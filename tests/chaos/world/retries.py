"""`dead-letters retry`, as an operator runs it: again and again until it says that it is done."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

from prefstream.consumer.cli.exit_codes import EXIT_FAULT, EXIT_REJECTED
from prefstream.consumer.client.watchdog import EXIT_STALLED
from prefstream.consumer.config import StreamConfig
from tests.chaos.inside.clock import ENV_CLOCK
from tests.chaos.inside.trap import ENV_TRAP, Trap
from tests.chaos.world.fleet import PROGRAM
from tests.support.processes import Prefstream
from tests.support.streams import MARKERS

MOST: Final = 100
"""So many dead letters are sent back at once: each of them becomes one again."""

PASSING: Final = frozenset({EXIT_FAULT, EXIT_STALLED, -signal.SIGKILL})
"""How it may end where it is to be run again: brokers that are away, a call that hung, what a fault did."""

DONE: Final = frozenset({0, EXIT_REJECTED})


class Retries:
    """Runs of the command, one at a time.

    Args:
        config: of the stream whose dead letters are sent back.
        folder: for the log and the trap.

    Attributes:
        group: which remembers what was sent.
        trap: makes the command do something to itself at a point.
        exits: how often it ended with which code.
        log: what all runs wrote.
    """

    def __init__(self, config: StreamConfig, folder: Path) -> None:
        self.group = f"{config.group_id}.retries"
        self.trap = Trap(trap := folder / "retry.trap")
        self.exits: Counter[int] = Counter()
        self.log = folder / "retry.log"
        self._environment = {ENV_TRAP: str(trap), ENV_CLOCK: str(folder / "retry.clock")}
        self._arguments = [
            # What failed again is sent again, too: there is to be something to send at every fault.
            *("dead-letters", "retry", "--all", "--yes", "--limit", str(MOST), "--max-retries", str(1_000)),
            *("--bootstrap-servers", config.bootstrap_servers),
            *("--topic", config.dead_letters_topic),
            *("--group", self.group),
        ]
        self._process: Prefstream | None = None

    def start(self) -> None:
        """Run the command."""
        self._process = Prefstream(*self._arguments, log=self.log, program=PROGRAM, environment=self._environment)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._process is not None and not self._process.ended:
            self._process.signal(number)

    @property
    def has_ended(self) -> bool:
        """Whether the last run is over."""
        return self._process is None or self._process.ended

    def finish(self, wait: Callable[[Callable[[], bool], float], bool], seconds: float) -> None:
        """Run it again until it has done what it was asked to.

        Args:
            wait: waits for a condition for so many seconds, and does other work meanwhile.
            seconds: longest time for a run.

        Raises:
            AssertionError: a run crashed, or did not end.
        """
        while self._process is not None:
            assert wait(lambda: self.has_ended, seconds), f"a retry runs for {seconds:.0f} s: {self.last_words()}"
            code = self._process.wait()
            self.kill()
            self.exits[code] += 1
            assert code in DONE | PASSING, f"a retry ended with {code}: {self.last_words()}"
            if code in PASSING:
                self.start()

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def last_words(self, length: int = 3_000) -> str:
        """The end of its log."""
        return self.log.read_text()[-length:] if self.log.exists() else ""

    def leaks(self) -> list[str]:
        """Words of users that stand in its log."""
        log = self.log.read_text() if self.log.exists() else ""
        return [marker for marker in MARKERS if marker in log]
