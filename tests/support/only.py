"""`prefstream` as an installation with some extras alone has it: every other package that is here is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

_OURS = frozenset({"prefstream", "tests"})

_REFUSED = "REFUSED_MODULES"


def run_only(
    extras: Iterable[str], arguments: Iterable[str | Path], environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `prefstream` with these extras alone, or a program by `-c`, to its end.

    Args:
        extras: their names.
        arguments: the command line, or `-c`, the program and its arguments.
        environment: variables beside those of this process.
    """
    command = [sys.executable, "-m", __name__, *map(str, arguments)]
    return subprocess.run(
        command, cwd=ROOT, env=only(*extras) | dict(environment or {}), capture_output=True, text=True, timeout=200
    )


@cache
def only(*extras: str) -> dict[str, str]:
    """The environment of a process of this module that has these extras alone."""
    # A process that starts itself again would come back with every package.
    return os.environ | {_REFUSED: " ".join(sorted(refused_with(*extras))), "PREFSTREAM_NO_REEXEC": "1"}


@cache
def distributions() -> dict[str, frozenset[str]]:
    """The packages that bring a module, for all modules that are here."""
    found = packages_distributions()
    return {module: frozenset(map(canonicalize_name, names)) for module, names in found.items()}


def modules_of(*extras: str) -> frozenset[str]:
    """The modules, by their top-level names, that `pip install prefstream[EXTRAS]` brings of those that are here."""
    brought = _closure(extras)
    return frozenset(module for module, names in distributions().items() if brought & names)


def refused_with(*extras: str) -> frozenset[str]:
    """The modules that are here and that those extras don't bring."""
    return frozenset(distributions()) - modules_of(*extras) - _OURS


@cache
def _closure(extras: tuple[str, ...]) -> frozenset[str]:
    """Names of the packages that are installed for prefstream with these extras, as `pyproject.toml` has them now."""
    found: set[tuple[str, str]] = set()
    left = [("prefstream", extra) for extra in ("", *extras)]
    while left:
        name, extra = left.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for requirement in _requirements(name, extra):
            left += [(canonicalize_name(requirement.name), one) for one in ("", *requirement.extras)]
    return frozenset(name for name, _ in found)


def _requirements(name: str, extra: str) -> Iterator[Requirement]:
    if name == "prefstream":
        yield from map(Requirement, PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"])
        return
    try:
        listed = [Requirement(text) for text in requires(name) or ()]
    except PackageNotFoundError:
        return  # for another platform, or an extra that is not installed here
    for requirement in listed:
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


class _Without:
    """A finder of modules, to which those of some packages are not there."""

    def __init__(self, finder: Any, refused: frozenset[str]) -> None:
        self._finder = finder
        self._refused = refused

    def find_spec(self, fullname: str, *arguments: Any, **named: Any) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._refused:
            return None
        found: ModuleSpec | None = self._finder.find_spec(fullname, *arguments, **named)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._finder, name)


def main() -> None:
    """Refuse what the variable names, then run what the arguments say: a command line, or a program behind `-c`."""
    refused = frozenset(os.environ[_REFUSED].split())
    for module in [module for module in sys.modules if module.partition(".")[0] in refused]:
        del sys.modules[module]  # imported by this one
    sys.meta_path[:] = [_Without(finder, refused) for finder in sys.meta_path]
    sys.modules["__main__"].__package__ = None  # typer takes the name of the program from there
    if sys.argv[1:2] == ["-c"]:
        program = sys.argv[2]
        sys.argv = sys.argv[2:]
        exec(program, {"__name__": "__main__"})  # noqa: S102 - a test's own program
        return
    sys.argv = ["prefstream", *sys.argv[1:]]
    from prefstream.__main__ import main as command_line

    command_line()


if __name__ == "__main__":
    main()
