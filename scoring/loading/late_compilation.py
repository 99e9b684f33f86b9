"""Functions of bitsandbytes that `torch.compile` decorates, compiled when they are first called and not before.

peft imports bitsandbytes, whether or not anything is quantised, and that has four functions compiled, for which torch
imports its compiler: .7 s of a processor, of no use where nothing is quantised.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

_PACKAGE: Final = "bitsandbytes"


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


def _when_called(compiled: Callable[[], Callable[..., Any]], function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        return compiled()(*arguments, **named)

    return call
