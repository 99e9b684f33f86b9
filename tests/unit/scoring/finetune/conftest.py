"""Tiny bases, made once for all tests of fine-tuning, and one thread to compute on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.labelled_pairs import make_rows, on_one_cpu_thread, write_rows
from tests.support.models import Family, make_tiny_base

MakeBase = Callable[[Family], Path]


@pytest.fixture(scope="package", autouse=True)
def _one_thread() -> Iterator[None]:
    with on_one_cpu_thread():
        yield


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> MakeBase:
    """Makes the tiny base of a family, once; its folder."""
    root = tmp_path_factory.mktemp("bases")

    def make(family: Family) -> Path:
        folder = root / family
        if not folder.exists():
            make_tiny_base(folder, family)
        return folder

    return make


@pytest.fixture(scope="package")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs to learn from, where a test has no wishes of its own."""
    return write_rows(tmp_path_factory.mktemp("train") / "train.jsonl", make_rows(30, prompts=10))


@pytest.fixture(scope="package")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs to measure on, likewise."""
    return write_rows(tmp_path_factory.mktemp("dev") / "dev.jsonl", make_rows(18, prompts=6, seed=1))
