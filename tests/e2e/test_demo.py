"""`prefstream demo`, as a user starts it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.models import make_tiny_panel

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
    assert "67 records on battles, later 64 on votes" in result.stdout
    assert "67 = 64 on preferences + 3 on battles.dead-letters" in result.stdout
    assert "0 lost, 0 twice" in result.stdout
    assert "on 64 judged battles" in " ".join(result.stdout.split())
    assert "dead letter" in result.stdout
    assert picture.read_text(encoding="utf-8").startswith("<svg")


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
    assert "judged battles" not in result.stdout  # these have no labels


def test_a_file_without_battles_is_refused_in_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    result = demo("--battles", str(empty))
    assert result.returncode == 2
    assert "holds no battle" in result.stderr
    assert "Traceback" not in result.stderr
