"""The architecture, held by tests: floors and folders without circles, and libraries that only their users pay for."""

from __future__ import annotations

import ast
import graphlib
import importlib
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import prefstream

ROOT = Path(__file__).parents[2]
FLOORS = ("schemas", "scoring", "consumer")
"""Lowest first."""

FORBIDDEN = {"schemas": {"torch", "transformers", "peft", "kafka", "typer"}, "scoring": {"kafka", "typer"}}
"""Libraries that a floor must never import, not even inside a function."""

WITH_REASON = {
    "consumer/bench": "the loop that the stream is compared with is what anyone would write first",
    "consumer/doctor": "asks an admin client, in the client's own terms, what nobody else asks",
    "consumer/files": "asks an admin client for a topic's setting",
    "consumer/cli": "tells an error that escaped from an error of ours",
}
"""Folders beside the client's and the broker's that import kafka-python, and why."""

MOST_MODULES = 15
"""A folder with more has two jobs."""

MAY_BE_LARGE = {"consumer/cli", "consumer/client/patches"}
"""One module per command, and one per fault of the client."""


def modules(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """What a module imports, anywhere in it, with the line; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno


def folder_of(name: str) -> str:
    """The folder that an imported name of ours lies in, such as `consumer/client`."""
    path = Path(*name.split(".")[1:])
    while not (ROOT / path).is_dir() and not (ROOT / path).with_suffix(".py").exists():
        path = path.parent
    return str(path if (ROOT / path).is_dir() else path.parent)


@pytest.mark.parametrize("floor", FLOORS)
def test_an_import_never_points_to_a_higher_floor(floor: str) -> None:
    allowed = FLOORS[: FLOORS.index(floor) + 1]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(floor)
        for name, line in imports(path)
        if name.partition(".")[0] in {"prefstream", "tests"} and name.split(".")[1] not in allowed
    ]
    assert not wrong


@pytest.mark.parametrize("floor", FORBIDDEN)
def test_a_floor_imports_none_of_the_libraries_of_higher_ones(floor: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(floor)
        for name, line in imports(path)
        if name.partition(".")[0] in FORBIDDEN[floor]
    ]
    assert not wrong


def test_only_the_client_and_the_broker_touch_kafka_python() -> None:
    """Others see its records and clients by the protocols of the client's folder, and its errors by their meaning."""
    touching = {
        str(path.parent.relative_to(ROOT)): name
        for path in modules("consumer")
        for name, _ in imports(path)
        if name.partition(".")[0] == "kafka"
    }
    homes = {folder for folder in touching if folder.startswith(("consumer/client", "consumer/broker"))}
    assert touching.keys() - homes <= WITH_REASON.keys()


@pytest.mark.parametrize("folder", ["stream", "dead_letters"])
def test_above_the_client_nothing_is_of_any_type(folder: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in modules(f"consumer/{folder}")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Name) and node.id == "Any"
    ]
    assert not wrong


@pytest.mark.parametrize("floor", FLOORS)
def test_folders_make_no_circle(floor: str) -> None:
    """Imports inside functions count: what is put off is needed all the same."""
    needs: dict[str, set[str]] = {}
    for path in modules(floor):
        here = str(path.parent.relative_to(ROOT))
        there = {folder_of(name) for name, _ in imports(path) if name.startswith(f"prefstream.{floor}.")}
        needs.setdefault(here, set()).update(there - {here})
    assert list(graphlib.TopologicalSorter(needs).static_order())


@pytest.mark.parametrize("floor", FLOORS)
def test_no_folder_has_two_jobs(floor: str) -> None:
    counts = Counter(str(path.parent.relative_to(ROOT)) for path in modules(floor))
    assert {folder for folder, count in counts.items() if count > MOST_MODULES} <= MAY_BE_LARGE


def test_no_public_class_bears_the_name_of_another() -> None:
    """Whoever searches for a name finds one thing."""
    counts = Counter(
        node.name
        for floor in FLOORS
        for path in modules(floor)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("floor", FLOORS)
def test_a_room_refuses_its_short_name(floor: str) -> None:
    """At the root of a checkout it would resolve, and every class would exist twice."""
    done = subprocess.run(
        [sys.executable, "-c", f"import {floor}"], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.stderr.strip().endswith("by its short name every class of it would exist twice")


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("prefstream", ("torch", "kafka", "transformers", "typer", "pydantic", "numpy")),
        ("prefstream.schemas", ("torch", "kafka", "transformers", "typer", "numpy")),
        ("prefstream.schemas.wire", ("torch", "kafka", "transformers", "typer", "numpy")),
        ("prefstream.scoring", ("torch", "kafka", "transformers", "numpy")),
        ("prefstream.scoring.panel.load", ("torch", "kafka", "transformers")),
        ("prefstream.scoring.reward.trl", ("torch", "kafka", "transformers", "trl")),
        ("prefstream.consumer", ("torch", "kafka")),
        ("prefstream.consumer.stream.stream", ("torch", "transformers")),
        ("prefstream.consumer.stream.service", ("torch", "transformers", "opentelemetry")),
        ("prefstream.consumer.board.trust.build", ("torch", "transformers", "kafka", "sklearn")),
        ("prefstream.consumer.cli", ("torch", "transformers")),
    ],
)
def test_a_fresh_interpreter_does_not_pay_for_what_it_does_not_use(module: str, absent: tuple[str, ...]) -> None:
    """To import torch takes seconds and hundreds of megabytes."""
    code = f"import sys, {module}; print(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=200, check=True
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", dir(prefstream))
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(prefstream, name) is not None


def test_there_are_no_other_public_names() -> None:
    """What the roof offers and what a type checker sees are one list."""
    stub = ast.parse((ROOT / "prefstream" / "__init__.pyi").read_text())
    listed = [alias.asname for node in stub.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(dir(prefstream)) == sorted(map(str, listed))
    with pytest.raises(AttributeError, match="nothing"):
        importlib.import_module("prefstream").nothing  # noqa: B018 - the access is what is tried
