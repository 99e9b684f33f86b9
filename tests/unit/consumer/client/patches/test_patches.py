"""What holds for every patch: it says when it can go, is applied once, and is never dropped in silence."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from prefstream.consumer.client import patches
from prefstream.consumer.client.patches.patch import Method, Patch
from prefstream.consumer.errors import UsageError

HERE = Path(__file__).parent
FAULTS = patches.FAULTS


def name_of(fault: ModuleType) -> str:
    return fault.__name__.rpartition(".")[2]


each_fault = pytest.mark.parametrize("fault", FAULTS, ids=name_of)


def test_every_module_of_the_folder_is_applied() -> None:
    folder = Path(str(patches.__file__)).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "patch"}
    assert [name_of(fault) for fault in FAULTS] == sorted(modules)


@each_fault
def test_a_module_says_what_is_wrong_in_which_versions_and_when_it_can_go(fault: ModuleType) -> None:
    headings = re.findall(r"^(\w[\w ]+):(?= )", str(fault.__doc__), re.MULTILINE)
    assert headings == ["What goes wrong", "Versions", "Upstream", "Remove when"]


@each_fault
def test_a_module_has_a_test(fault: ModuleType) -> None:
    assert (HERE / f"test_{name_of(fault)}.py").is_file()


@pytest.mark.long
@each_fault
def test_the_test_of_a_module_fails_without_it(fault: ModuleType) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "--timeout=100", HERE / f"test_{name_of(fault)}.py"],
        env=os.environ | {"WITHOUT_PATCH": name_of(fault)},
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout


class Theirs:
    """Stands for a class of kafka-python."""

    def __init__(self) -> None:
        self.known: list[str] = []

    def call(self, one: int, two: int = 2) -> tuple[Any, ...]:
        return one, two


def ours(theirs: Method) -> Method:
    def call(self: Any, one: int, two: int = 2) -> Any:
        return ("ours", *theirs(self, one, two))

    return call


@pytest.fixture
def apply_anew(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As in a process in which nothing was applied yet, with these patches for the only ones."""

    def start(*own: Patch) -> None:
        monkeypatch.setattr(patches, "FAULTS", [SimpleNamespace(PATCHES=own)])
        monkeypatch.setattr(patches, "_applied", [])
        monkeypatch.setattr(Theirs, "call", Theirs.call)
        patches.apply()

    return start


def test_a_patch_is_applied_once(apply_anew: Any) -> None:
    apply_anew(Patch(Theirs, "call", ("one", "two"), ours, needs=("known",)))
    threads = [threading.Thread(target=patches.apply) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Theirs().call(1) == ("ours", 1, 2)
    assert inspect.signature(Theirs.call).parameters["one"].annotation == "int"


@pytest.mark.parametrize(
    ("patch", "what"),
    [
        (Patch(Theirs, "gone", (), ours), r"Theirs\.gone is gone"),
        (Patch(Theirs, "call", ("one",), ours), r"Theirs\.call takes one, two instead of one"),
        (Patch(Theirs, "call", None, ours), r"it has Theirs\.call of its own"),
        (Patch(Theirs, "call", ("one", "two"), ours, needs=("known", "lost")), "Theirs has no lost"),
    ],
    ids=["a method is gone", "a method has other parameters", "a method that we add is there", "an attribute is gone"],
)
def test_where_kafka_python_has_changed_nothing_is_patched_and_it_is_told(
    apply_anew: Any, patch: Patch, what: str
) -> None:
    fits = Patch(Theirs, "call", ("one", "two"), ours)
    with pytest.raises(UsageError, match=rf"^kafka-python \d+\.\d+\.\d+ is not one .*: {what}; install"):
        apply_anew(fits, patch)
    assert Theirs().call(1) == (1, 2)


def test_a_method_that_a_class_inherits_is_not_its_own_to_patch(apply_anew: Any) -> None:
    """It would be replaced for one class, and not where it is defined."""

    class Heir(Theirs):
        pass

    with pytest.raises(UsageError, match=r"Heir\.call is gone"):
        apply_anew(Patch(Heir, "call", ("one", "two"), ours))
