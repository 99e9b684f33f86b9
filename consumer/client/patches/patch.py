"""What a patch is: one method of kafka-python's, replaced where it is defined, so that nobody gets the old one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from prefstream.consumer.errors import UsageError

Method = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Patch:
    """One method that is replaced, and what the new one relies on.

    Attributes:
        owner: kafka-python's class that defines it.
        method: its name.
        parameters: those that it has where the patch was written, without `self`; None for a method that is added.
        make: makes the new method; is given the one that it replaces.
        needs: attributes of an instance that the new method uses, beside those that the old one used.
    """

    owner: type
    method: str
    parameters: tuple[str, ...] | None
    make: Callable[[Method], Method]
    needs: tuple[str, ...] = ()

    def check(self) -> None:
        """Look whether kafka-python is still what the patch was written for.

        Raises:
            UsageError: it is not: the installed version has another shape.
        """
        name = f"{self.owner.__name__}.{self.method}"
        found = vars(self.owner).get(self.method)
        if self.parameters is None:
            if hasattr(self.owner, self.method):
                raise _changed(f"it has {name} of its own")
        elif found is None:
            raise _changed(f"{name} is gone")
        elif (parameters := tuple(inspect.signature(found).parameters)[1:]) != self.parameters:
            raise _changed(f"{name} takes {', '.join(parameters)} instead of {', '.join(self.parameters)}")
        if missing := set(self.needs) - _attributes(self.owner):
            raise _changed(f"{self.owner.__name__} has no {', '.join(sorted(missing))}")

    def install(self) -> None:
        """Replace the method."""
        old = vars(self.owner).get(self.method)
        new = self.make(old or _nothing)
        setattr(self.owner, self.method, functools.wraps(old)(new) if old else new)


def _attributes(owner: type) -> set[str]:
    """What a class defines, and what its constructors name: attributes of an instance are among that."""
    constructors = [vars(base)["__init__"] for base in owner.__mro__ if "__init__" in vars(base)]
    named = (inspect.unwrap(constructor).__code__.co_names for constructor in constructors if _is_python(constructor))
    return set(dir(owner)).union(*named)


def _is_python(function: Method) -> bool:
    return hasattr(function, "__code__")


def _nothing(*_: Any, **__: Any) -> None:
    """What an added method replaces."""


def _changed(what: str) -> UsageError:
    return UsageError(
        f"kafka-python {version('kafka-python')} is not one that this prefstream was written for: {what}; "
        "install the versions that it asks for (pip install --force-reinstall prefstream)"
    )
