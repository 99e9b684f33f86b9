"""README says what is so: its commands are those that CI runs, its code runs, its files exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from prefstream.consumer.cli import COMMANDS, EXTRAS, app
from prefstream.scoring.extras import EXTRAS as MODULES
from tests.chaos.table import read_runs, with_tables

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROMISES = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_test_command_word_for_word() -> None:
    [command] = [line.strip() for line in README.splitlines() if line.strip().endswith(".venv/bin/pytest")]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_the_first_screen_holds_the_demo_command_and_its_picture() -> None:
    first_screen = "\n".join(README.splitlines()[:20])
    assert "pip install -e '.[demo]' && .venv/bin/prefstream demo" in first_screen
    assert ".assets/demo.svg" in first_screen


@pytest.mark.parametrize(
    "link",
    sorted({*re.findall(r"\]\((?!https?://|#)([^)#]+)", README), *re.findall(r'src(?:set)?="([^"]+)"', README)}),
)
def test_every_file_it_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()


def test_every_command_is_in_its_table() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in commands:
        assert f"`prefstream {name}" in README


def test_every_command_stands_beside_the_extra_that_it_needs() -> None:
    rows = re.findall(r"^\| (`prefstream(?:\[.*)?`) \| (.*) \|$", README, re.MULTILINE)
    told: dict[str, tuple[str, ...]] = {}
    for installed, purpose in rows:
        combined = re.search(r"`(\w+)` is `prefstream\[([\w,]+)\]`", purpose)
        here = dict.fromkeys(re.findall(r"`([\w-]+)`", purpose), tuple(re.findall(r"\[(\w+)\]`$", installed)))
        told = here | ({combined[1]: tuple(combined[2].split(","))} if combined else {}) | told
    assert {name: told.get(name) for name in COMMANDS} == {name: EXTRAS.get(name, ()) for name in COMMANDS}
    named = {extra for installed, _ in rows for extra in re.findall(r"\[(\w+)\]", installed)}
    assert named == set(MODULES)


def test_the_promises_have_the_last_figures_of_their_faults() -> None:
    assert with_tables(PROMISES) == PROMISES, "run: python -m tests.chaos.table"


def test_the_figures_of_faults_are_of_whole_runs_that_lost_nothing() -> None:
    for run in read_runs().values():
        assert (run["is_over"], run["is_clean"], len(run["cycles"])) == (True, True, 200)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`((?:tests/|test_)\S+?)`", PROMISES))))
def test_what_holds_a_promise_exists(name: str) -> None:
    assert (ROOT / name).exists() if name.startswith("tests/") else any((ROOT / "tests").rglob(name))
