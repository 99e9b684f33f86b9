"""Reads the YAML and JSON that people write, and refuses what its parsers hide: a key given twice, the last winning."""

from __future__ import annotations

import json
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from prefstream.scoring.errors import ConfigError


class _StrictLoader(yaml.SafeLoader):
    """Refuses what plain YAML loading hides."""


def _unique_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Hashable, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.MarkedYAMLError(problem="a key must be a text", problem_mark=key_node.start_mark)
        if key_node.value in seen:
            raise yaml.MarkedYAMLError(problem=f"key {key_node.value} is given twice", problem_mark=key_node.start_mark)
        seen.add(key_node.value)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _unique_mapping)


def read_yaml(path: Path, *, absent: str = "no such file") -> object:
    """What a YAML file holds.

    Args:
        path: of the file.
        absent: what to say where there is none.

    Raises:
        ConfigError: it can't be read, is not YAML, or gives a key twice.
    """
    try:
        text = _read(path, absent).decode()
    except UnicodeDecodeError:
        raise ConfigError(str(path), ("is no UTF-8 text",)) from None
    return parse_yaml(text, str(path))


def parse_yaml(text: str, source: str) -> object:
    """What YAML says.

    Raises:
        ConfigError: it is not YAML, or gives a key twice.
    """
    try:
        return yaml.load(text, _StrictLoader)  # noqa: S506 - derived from SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "can't be parsed"
        if isinstance(error, yaml.constructor.ConstructorError):
            why = "holds a tag, or a value, that means nothing here"
        raise ConfigError(source, (f"not YAML{place}: {why}",)) from None
    except RecursionError:
        raise ConfigError(source, ("is nested too deep",)) from None
    except ValueError:  # PyYAML's own constructors, of a date such as 2026-13-40
        raise ConfigError(source, ("not YAML: holds a date or number that is none; put it into quotes",)) from None


def read_json(path: Path, *, absent: str = "no such file") -> object:
    """What a JSON file holds.

    Args:
        path: of the file.
        absent: what to say where there is none.

    Raises:
        ConfigError: it can't be read, is not JSON, or gives a key twice.
    """
    twice: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            twice.extend(name for name in fields if sum(key == name for key, _ in pairs) > 1)
        return fields

    try:
        content: object = json.loads(_read(path, absent), object_pairs_hook=unique)
    except json.JSONDecodeError as error:
        raise ConfigError(str(path), (f"not JSON at line {error.lineno} column {error.colno}",)) from None
    except UnicodeDecodeError:
        raise ConfigError(str(path), ("is no UTF-8 text",)) from None
    except ValueError:  # a whole number of thousands of digits
        raise ConfigError(str(path), ("not JSON: holds a number that is too long",)) from None
    except RecursionError:
        raise ConfigError(str(path), ("is nested too deep",)) from None
    if twice:
        raise ConfigError(str(path), tuple(f"key {name} is given twice" for name in twice))
    return content


def _read(path: Path, absent: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ConfigError(str(path), (absent,)) from None
    except OSError as error:
        raise ConfigError(str(path), (f"can't be read: {error.strerror or error}",)) from None
