"""The architecture, held by tests: an import never points to a higher floor, and libraries cost only who uses them."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
FLOORS = ("schemas", "scoring", "consumer")
"""Lowest first."""

ROOF = "prefstream"
"""Re-exports for users of the library; nothing inside imports it."""

FORBIDDEN = {"schemas": {"torch", "transformers", "peft", "kafka", "typer"}, "scoring": {"kafka", "typer"}}
"""Libraries that a floor must never import, not even inside a function."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Top-level names of what a module imports, anywhere in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name.partition(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", FLOORS)
def test_an_import_never_points_to_a_higher_floor(package: str) -> None:
    higher = {*FLOORS[FLOORS.index(package) + 1 :], ROOF, "tests"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name in higher
    ]
    assert not wrong


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_floor_imports_none_of_the_libraries_of_higher_ones(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in modules(package)
        for name, line in imports(path)
        if name in FORBIDDEN[package]
    ]
    assert not wrong


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("schemas", ("torch", "kafka", "transformers", "typer")),
        ("schemas.wire", ("torch", "kafka", "transformers", "typer")),
        ("scoring", ("torch", "kafka", "transformers", "numpy")),
        ("scoring.panel", ("torch", "kafka", "transformers")),
        ("scoring.trl_reward", ("torch", "kafka", "transformers", "trl")),
        ("consumer", ("torch", "kafka")),
        ("consumer.stream", ("torch", "transformers")),
        ("consumer.service", ("torch", "transformers")),
        ("consumer.cli", ("torch", "transformers")),
    ],
)
def test_a_fresh_interpreter_does_not_pay_for_what_it_does_not_use(module: str, absent: tuple[str, ...]) -> None:
    """To import torch takes seconds to import and hundreds of megabytes."""
    code = f"import sys, {module}; print(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []


def public_modules() -> list[ModuleType]:
    names = [
        ".".join(path.relative_to(ROOT).parent.parts)
        for package in FLOORS
        for path in modules(package)
        if path.name == "__init__.py"
    ]
    loaded = [importlib.import_module(name) for name in [*names, ROOF]]
    return [module for module in loaded if hasattr(module, "__all__")]


@pytest.mark.parametrize("module", public_modules(), ids=lambda module: module.__name__)
def test_every_public_name_exists_once(module: ModuleType) -> None:
    names = list(module.__all__)
    assert [name for name in names if not hasattr(module, name)] == []
    assert len(names) == len(set(names))


def test_the_floors_export_what_the_roof_promises() -> None:
    """Nobody has to import a name as general as `scoring` in code of their own."""
    roof = importlib.import_module(ROOF)
    assert {"Battle", "Panel", "Preference", "load_panel"} <= set(roof.__all__)
