"""The trees of errors as they are drawn, and as they are."""

from __future__ import annotations

import importlib
import re
from types import ModuleType

import pytest

MODULES = ("prefstream.schemas.errors", "prefstream.scoring.errors", "prefstream.consumer.errors")

BRANCH = re.compile(r"^    ([│ ]*)[├└]── ([\w.]+)", re.MULTILINE)
"""A line of a drawn tree: what stands left of the branch says how deep it is, four characters a level."""


def drawn(module: ModuleType) -> dict[str, str]:
    """Each error of a module's docstring, and the one that it hangs on."""
    text = module.__doc__ or ""
    above = re.findall(r"^    (\w+)$", text, re.MULTILINE)
    parents = {}
    for indent, name in BRANCH.findall(text):
        level = len(indent) // 4 + 1
        parents[name] = above[level - 1]
        above[level:] = [name]
    return parents


def defined(module: ModuleType) -> dict[str, str]:
    """Each error that a module defines, and its base."""
    return {
        name: kind.mro()[1].__name__
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_the_drawn_tree_is_the_classes(name: str) -> None:
    module = importlib.import_module(name)
    own = {error: parent for error, parent in drawn(module).items() if "." not in error}
    branches = {error: parent for error, parent in defined(module).items() if parent != "Exception"}
    assert own == branches


def test_every_floors_root_hangs_on_the_root_of_all() -> None:
    branches = {name for name in drawn(importlib.import_module(MODULES[0])) if "." in name}
    assert branches == {"scoring.errors.ScoringError", "consumer.errors.StreamError"}
