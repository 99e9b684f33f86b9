"""What libraries import for work that is none of ours, imported when it is first used and not before.

peft imports bitsandbytes, whether or not anything is quantised, and that has four functions compiled, for which torch
imports its compiler: .7 s of a processor, of no use where nothing is quantised. With any model's code transformers
imports the losses of those that detect objects, and with these, where it is installed, SciPy's optimisers: .3 s.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

_PACKAGE: Final = "bitsandbytes"
_OPTIMISERS: Final = "scipy.optimize"


@contextmanager
def compiled_when_called() -> Iterator[None]:
    """For the time of an import; `torch.compile` is what it was afterwards, and for others all the time."""
    if _PACKAGE in sys.modules:
        yield
        return
    import torch

    compile_now: Any = torch.compile

    def compile_late(model: Any = None, **options: Any) -> Any:
        if not str(getattr(model, "__module__", "")).startswith(_PACKAGE):
            return compile_now(model, **options)
        return _when_called(functools.cache(lambda: compile_now(model, **options)), model)

    torch.compile = compile_late
    try:
        yield
    finally:
        torch.compile = compile_now


@contextmanager
def optimisers_when_called() -> Iterator[None]:
    """For the time of an import: what it takes of `scipy.optimize` are functions that import that when called."""
    if _OPTIMISERS in sys.modules:
        yield
        return
    stand_in = _FunctionsOf(_OPTIMISERS)
    sys.modules[_OPTIMISERS] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(_OPTIMISERS) is stand_in:
            del sys.modules[_OPTIMISERS]


class _FunctionsOf(ModuleType):
    """Stands in for a module of functions."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments: Any, **named: Any) -> Any:
            if sys.modules.get(self.__name__) is self:
                del sys.modules[self.__name__]
            return getattr(importlib.import_module(self.__name__), name)(*arguments, **named)

        return call


def _when_called(compiled: Callable[[], Callable[..., Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return compiled()(*arguments, **named)

    return call
