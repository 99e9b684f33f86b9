"""`prefstream` in processes of its own, to be signalled and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from prefstream.consumer.config import StreamConfig
from tests.support.streams import MARKERS, wait_until

START_S: Final = 150.0
"""Longest start of a process, torch included, on a machine with other things to do."""

PREFSTREAM: Final = "from prefstream.consumer.cli import main; main()"
"""The command, for `python -c`."""

ANNOUNCES_SCORING: Final = """
from prefstream.scoring.judges.prior import PriorJudge
score = PriorJudge.score
PriorJudge.score = lambda *given: print("scoring", flush=True) or score(*given)
"""
"""Put before a program: it says on its standard output when a prior judge begins with a batch."""


def child_environment() -> dict[str, str]:
    """The environment of a `prefstream` in a process of its own: ours, without its settings."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PREFSTREAM_")}
    return environment | {
        "PREFSTREAM_NO_REEXEC": "1",  # starting twice for faster malloc pays for real judges only
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }


class Prefstream:
    """A running `prefstream` command.

    Args:
        arguments: of the command.
        log: file that gets what it writes to standard error; several processes may share one.
        program: Python that runs the command.
        environment: variables beside those of `child_environment`.
        python: the interpreter; one of another environment runs what that has.
    """

    def __init__(
        self,
        *arguments: str,
        log: Path,
        program: str = PREFSTREAM,
        environment: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self._log = log
        self._log_starts_at = log.stat().st_size if log.exists() else 0
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [python, "-c", program, *arguments],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env=child_environment() | dict(environment or {}),
                text=True,
            )

    @property
    def log(self) -> str:
        """What it wrote to standard error until now."""
        with self._log.open("rb") as file:
            file.seek(self._log_starts_at)
            return file.read().decode()

    def log_events(self, name: str) -> list[dict[str, Any]]:
        """The structured log lines of this name."""
        lines = [json.loads(line) for line in self.log.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == name]

    @property
    def published(self) -> int:
        """Records that it says readers can see."""
        return sum(int(line["battles"]) for line in self.log_events("batch published"))

    @property
    def failure(self) -> str:
        """What its last line says of the error that ended it."""
        failed = json.loads(self.log.splitlines()[-1])
        assert failed["event"] == "failed", self.log
        return str(failed["message"])

    def wait_streaming(self) -> dict[str, Any]:
        """Wait until it reads battles; its log line that says so."""
        wait_until(lambda: self.log_events("streaming") or self.ended, START_S, "the start of the stream")
        events = self.log_events("streaming")
        assert events, f"ended with {self.process.returncode}: {self.log}"
        return events[0]

    def wait_scoring(self) -> None:
        """Wait until a judge begins with a batch; needs a program that `ANNOUNCES_SCORING`."""
        assert self.process.stdout
        assert self.process.stdout.readline() == "scoring\n", self.log

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self.process.poll() is not None

    def wait(self, timeout_s: float = START_S) -> int:
        """Wait for its end; the exit code, negative for the number of a signal."""
        return self.process.wait(timeout_s)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once and take it off the process table."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


@contextmanager
def prefstream(*arguments: str, log: Path, program: str = PREFSTREAM) -> Iterator[Prefstream]:
    """Run a `prefstream` command; killed at the end if it still runs. What users wrote must not be in its log.

    Where the test fails, it shows how the process ended and the end of its log.
    """
    process = Prefstream(*arguments, log=log, program=program)
    try:
        yield process
    except BaseException as error:
        ended = process.process.poll()
        error.add_note(f"prefstream {arguments[0]}: exit code {ended}; its log's end:\n{process.log[-5000:]}")
        raise
    finally:
        process.kill()
    leaks = [marker for marker in MARKERS if marker in process.log]
    assert not leaks, f"text of battles in the log: {leaks}"


@contextmanager
def broker_process(log: Path) -> Iterator[str]:
    """Run the embedded broker in a process of its own; its address."""
    with prefstream("broker", "--port", "0", log=log) as broker:
        assert broker.process.stdout
        yield broker.process.stdout.readline().removeprefix("listening at ").strip()


def run_arguments(config: StreamConfig, panel: Path, **settings: object) -> list[str]:
    """The arguments of `prefstream run` for a configuration; `settings` override."""
    options: dict[str, object] = {
        "bootstrap-servers": config.bootstrap_servers,
        "group-id": config.group_id,
        "battles-topic": config.battles_topic,
        "preferences-topic": config.preferences_topic,
        "dead-letters-topic": config.dead_letters_topic,
        **({"review-topic": config.review_topic} if config.review_topic else {}),
        **({"shadow-topic": config.shadow_topic, "share": config.share} if config.shadow else {}),
        "panel": panel,
        "log-format": "json",
        "log-level": "debug",  # a line for each batch: `Prefstream.published` counts them
        **{name.replace("_", "-"): setting for name, setting in settings.items()},
    }
    arguments = ["run", *(part for name, setting in options.items() for part in (f"--{name}", str(setting)))]
    arguments += ["--shadow"] if config.shadow else []
    return arguments if "http-port" in options else [*arguments, "--no-http"]
