"""What is built and installed: the rooms whole, under one name, wherever the wheel comes from."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.installations import build, run

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

USERS_OWN = ("schemas.py", "consumer.py", "scoring/__init__.py")
"""Modules of a user that are called as our rooms are."""

USERS_PROGRAM = """
import consumer, schemas, scoring
from prefstream import Battle, load_panel

with load_panel("priors.yaml") as panel:
    [answer] = panel.score([Battle(id="42", prompt="2+2?", response_a="4", response_b="5")])
print(schemas.WHOSE, consumer.WHOSE, scoring.WHOSE, answer.preferred)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("direct"))


@pytest.fixture(scope="module")
def wheel_from_sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("from-sdist")
    with tarfile.open(build(ROOT, "sdist", folder)) as archive:
        archive.extractall(folder, filter="data")
    [source] = (path for path in folder.iterdir() if path.is_dir())
    return build(source, "wheel", tmp_path_factory.mktemp("second"))


def contents(wheel: Path) -> list[str]:
    """The files of a wheel, without its metadata."""
    with zipfile.ZipFile(wheel) as archive:
        return sorted(name for name in archive.namelist() if ".dist-info/" not in name)


def files_of_the_package() -> list[str]:
    """The tracked files that belong into the package, by the names that they have in it.

    Those that are new and not ignored count: a wheel would hold them.
    """
    if not (ROOT / ".git").exists():
        pytest.skip("no git repository: what is tracked can't be asked here")
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    listed = run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).stdout.splitlines()
    # A link is the room that it stands for; a file that was deleted is listed until that is committed.
    files = {path for path in listed if (ROOT / path).is_file()}
    rooms = [link.name for link in (ROOT / "prefstream").iterdir() if link.is_symlink()]
    inside = {f"prefstream/{path}" for path in files if path.split("/")[0] in rooms}
    return sorted(inside | {path for path in files if path.startswith("prefstream/")})


def test_the_wheel_is_what_is_tracked(wheel: Path) -> None:
    assert contents(wheel) == files_of_the_package()


def test_the_wheel_from_the_sdist_is_the_wheel(wheel: Path, wheel_from_sdist: Path) -> None:
    """Not all backends follow links into an sdist: a room could be missing, and no other test would see it."""
    with zipfile.ZipFile(wheel) as direct, zipfile.ZipFile(wheel_from_sdist) as second:
        assert {entry.filename: entry.CRC for entry in direct.infolist()} == {
            entry.filename: entry.CRC for entry in second.infolist()
        }


def test_the_wheel_claims_one_name(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name.split("/")[0] for name in archive.namelist()}
    assert names == {"prefstream", f"prefstream-{version('prefstream')}.dist-info"}


def test_tests_build_by_the_backend_that_builds() -> None:
    extra = map(Requirement, PROJECT["project"]["optional-dependencies"]["test"])
    assert [str(one) for one in extra if one.name == "hatchling"] == [
        str(Requirement(one)) for one in PROJECT["build-system"]["requires"]
    ]


# --- installed beside modules of a user that are called as our rooms are -------------------------------------------


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel in a folder of its own; what it depends on comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-deps", "--no-index", "--no-compile", "--target", folder, wheel], folder)
    return folder


@pytest.fixture
def users_folder(tmp_path: Path) -> Path:
    for name in USERS_OWN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("WHOSE = 'mine'\n", encoding="utf-8")
    shutil.copy(ROOT / "deploy" / "panels" / "priors.yaml", tmp_path)
    return tmp_path


def test_what_is_installed_is_what_is_tried(installed: Path, tmp_path: Path) -> None:
    program = "import prefstream.scoring as room; print(room.__file__)"
    found = run([sys.executable, "-c", program], tmp_path, {"PYTHONPATH": str(installed)}).stdout.strip()
    assert Path(found) == installed / "prefstream" / "scoring" / "__init__.py"


def test_the_library_scores_beside_a_users_own_modules(installed: Path, users_folder: Path) -> None:
    program = [sys.executable, "-c", USERS_PROGRAM]
    assert run(program, users_folder, {"PYTHONPATH": str(installed)}).stdout.split() == ["mine"] * 3 + ["model_a"]


@pytest.mark.parametrize("command", [["bin/prefstream"], ["-m", "prefstream"]], ids=" ".join)
def test_the_command_scores_beside_a_users_own_modules(installed: Path, users_folder: Path, command: list[str]) -> None:
    battle = {"id": "42", "prompt": "2+2?", "response_a": "4", "response_b": "5"}
    (users_folder / "battles.jsonl").write_text(json.dumps(battle) + "\n", encoding="utf-8")
    program = [installed / command[0]] if command[0] != "-m" else command
    run(
        [sys.executable, *program, "score", "battles.jsonl", "--panel", "priors.yaml", "--output", "answers.jsonl"],
        users_folder,
        {"PYTHONPATH": f"{users_folder}{os.pathsep}{installed}"},
    )
    [answer] = map(json.loads, (users_folder / "answers.jsonl").read_text(encoding="utf-8").splitlines())
    assert (answer["id"], answer["preferred"]) == ("42", "model_a")


# --- as the tests' own environment has it --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [[Path(sys.executable).with_name("prefstream")], [sys.executable, "-m", "prefstream"]],
    ids=["entry", "-m"],
)
def test_an_installed_command_starts_from_any_folder(command: list[str | Path], tmp_path: Path) -> None:
    assert run([*command, "--version"], tmp_path).stdout == f"prefstream {version('prefstream')}\n"
