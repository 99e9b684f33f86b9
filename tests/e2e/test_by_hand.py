"""The README's steps by hand, word for word: broker, topics, battles, service, with our own commands alone."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.support.processes import PREFSTREAM, Prefstream, child_environment
from tests.support.streams import WAIT_S, wait_until

ROOT: Final = Path(__file__).parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")


def steps() -> list[list[str]]:
    """The words of each step, after `prefstream`."""
    [block] = re.findall(r"\n\n((?:    prefstream .+\n)+)", README[: README.index("Every option has")])
    return [shlex.split(line)[1:] for line in block.splitlines()]


def test_the_steps_by_hand_lead_to_answers(tmp_path: Path) -> None:
    """Only the port differs: another test may have the usual one."""
    broker_words, topics, replay, run = steps()
    assert broker_words == ["broker"]
    port = {"PREFSTREAM_BROKER_PORT": "0"}
    broker = Prefstream(*broker_words, log=tmp_path / "broker.log", environment=port)
    try:
        assert broker.process.stdout
        servers = broker.process.stdout.readline().removeprefix("listening at ").strip()
        environment = {
            "PREFSTREAM_BOOTSTRAP_SERVERS": servers,
            "PREFSTREAM_HTTP_PORT": "0",
            "PREFSTREAM_LOG_FORMAT": "json",
            "PREFSTREAM_LOG_LEVEL": "debug",  # tells each batch
        }
        for words in (topics, replay):
            done = subprocess.run(
                [sys.executable, "-c", PREFSTREAM, *words],
                cwd=ROOT,
                env=child_environment() | environment,
                capture_output=True,
                text=True,
                timeout=WAIT_S,
            )
            assert done.returncode == 0, done.stderr
        [sent] = re.findall(r"([\d,]+) records delivered to battles", done.stderr)
        service = Prefstream(*run, log=tmp_path / "run.log", environment=environment)
        try:
            wait_until(lambda: service.published == int(sent) or service.ended, what="the answers")
            service.signal(signal.SIGTERM)
            assert service.wait() == 0, service.log
        finally:
            service.kill()
    finally:
        broker.kill()
