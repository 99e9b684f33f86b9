"""`prefstream demo`, as a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.support.models import make_tiny_panel
from tests.support.priors import write_prior_panel
from tests.support.processes import Prefstream, prefstream
from tests.support.streams import wait_until

pytestmark = pytest.mark.timeout(900)
"""Real weights, and processes that load torch: minutes on a machine with twenty times the work."""

COMMAND = [sys.executable, "-c", "from prefstream.consumer.cli import main; main()", "demo"]


def demo(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=800, env=environment)


def test_every_sample_battle_is_answered_and_every_malformed_event_is_a_dead_letter(tmp_path: Path) -> None:
    picture = tmp_path / "demo.svg"
    result = demo("--panel", str(make_tiny_panel(tmp_path)), "--svg", str(picture))
    assert result.returncode == 0, result.stderr
    assert "67 records on battles, 64 on votes: what the samples' authors expect" in result.stdout
    assert "67 = 64 on preferences + 3 on battles.dead-letters" in result.stdout
    assert "0 lost, 0 twice" in result.stdout
    told = " ".join(result.stdout.replace("│", " ").split())
    assert "of the 32 samples that have a wrong one" in told
    assert "64 hard cases, written for this project; by what their authors expect" in told
    assert "people said" not in told  # nobody judged these battles,
    assert "people's verdicts" not in told  # and this panel has no card
    assert "dead letter" in result.stdout
    assert picture.read_text(encoding="utf-8").startswith("<svg")
    assert result.stdout.startswith("The live page: http://127.0.0.1:")


def test_without_a_board_there_is_no_page(tmp_path: Path) -> None:
    result = demo("--no-board", "--panel", str(write_prior_panel(tmp_path)))
    assert result.returncode == 0, result.stderr
    assert "0 lost, 0 twice" in result.stdout
    assert "page" not in result.stdout


def test_the_page_is_filled_and_stays_until_ctrl_c_which_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (temporary := tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    panel = write_prior_panel(tmp_path)
    with prefstream("demo", "--keep-running", "--panel", str(panel), log=tmp_path / "log") as process:
        url = wait_told(process, r"The live page: (http://127\.0\.0\.1:\d+/)")
        wait_told(process, "(Ctrl-C) ends it")

        def asked(what: str) -> Any:
            with urllib.request.urlopen(f"{url}api/v1/{what}", timeout=100) as answer:  # noqa: S310 - an address of ours
                return json.load(answer)

        wait_until(lambda: asked("models?style_control=true")["votes"] == 64, what="all votes on the board")
        table = asked("models?style_control=true")
        assert len(table["models"]) == 5
        assert all(row["lower"] < row["rating"] < row["upper"] for row in table["models"])
        assert table["style_control"]
        assert "votes are what the authors expect" in asked("status")["notice"]
        assert list(temporary.glob("prefstream-demo-*"))
        process.signal(signal.SIGINT)
        assert process.wait() == 0, process.log
    assert not list(temporary.glob("prefstream-demo-*"))


def wait_told(process: Prefstream, pattern: str) -> str:
    """Read what it tells up to a line that has the pattern; its first group."""
    assert process.process.stdout
    for line in process.process.stdout:
        if match := re.search(pattern, line):
            return match[1]
    raise AssertionError(f"ended without telling {pattern}: {process.log}")


def test_the_real_judges_score_the_users_own_battles(tmp_path: Path) -> None:
    """Weights of the demo judges are fetched and converted if they are not in the cache yet."""
    battles = tmp_path / "mine.jsonl"
    battles.write_text(
        '{"id": "mine-1", "prompt": "What is 2 + 2?", "response_a": "4", "response_b": "It is 5."}\n'
        '{"id": "mine-2", "prompt": ["Hi", "Bye"], "response_a": ["Hello!", "Bye!"], "response_b": ["Hey", null]}\n'
        "this is no battle\n",
        encoding="utf-8",
    )
    result = demo("--battles", str(battles))
    assert result.returncode == 0, result.stderr
    assert "3 = 2 on preferences + 1 on battles.dead-letters (not_json)" in result.stdout
    assert "0 lost, 0 twice" in result.stdout
    assert "untrained" not in result.stdout
    assert "Against people's verdicts on prompts that are new to them" in result.stdout
    assert "meant for" in result.stdout
    assert "what people said of" not in result.stdout  # these have no labels
    assert "samples" not in result.stdout


def test_a_file_without_battles_is_refused_in_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    result = demo("--battles", str(empty))
    assert result.returncode == 2
    assert "holds no battle" in result.stderr
    assert "Traceback" not in result.stderr
