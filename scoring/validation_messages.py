"""Pydantic's validation errors in words of the file that was read: place, rule, nearest known key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from prefstream.schemas.plain_words import plain_words


def error_lines(error: ValidationError, model: type[BaseModel]) -> tuple[str, ...]:
    """One line per error, in the order of the model's fields.

    Args:
        error: what validating `model` raised.
        model: the settings that were validated; its fields are the known keys.
    """
    return tuple(_error_line(details, model) for details in error.errors(include_url=False))


def nearest_of(name: str, known: Sequence[str]) -> str:
    """What to say to whoever wrote a name that is unknown: the nearest known one, or else all of them.

    Args:
        name: as it was written.
        known: that there are.
    """
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {nearest[0]}?" if nearest else f"known here: {', '.join(known)}"


def _error_line(details: ErrorDetails, model: type[BaseModel]) -> str:
    path, known = _walk(details["loc"], model)
    kind = details["type"]
    if kind == "extra_forbidden":
        name = str(details["loc"][-1])
        return f"{path}: unknown key; {nearest_of(name, known)}"
    if kind == "missing":
        return f"{path}: is missing"
    if kind == "union_tag_not_found":
        return f"{path}.{_tag_name(details)}: is missing; give one of {_tags(details)}"
    if kind == "union_tag_invalid":
        return f"{path}.{_tag_name(details)}: unknown; give one of {_tags(details)}"
    if kind in {"model_type", "model_attributes_type"}:
        return f"{path or 'the file'}: must be a mapping of keys to values"
    message = plain_words(details)
    return f"{path}: {message}" if path else message


def _walk(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[str, list[str]]:
    """Follow `loc` from `model`.

    Returns:
        The place as a reader writes it, without the union tags that pydantic adds, and the keys known there.
    """
    path = ""
    owner = model
    candidates = [model]
    for step in loc:
        if isinstance(step, int):
            path += f"[{step}]"
            continue
        tagged = [candidate for candidate in candidates if step in _kinds(candidate)]
        if tagged and path.endswith("]"):
            owner, candidates = tagged[0], tagged
            continue
        path += f".{step}" if path else step
        owner = candidates[0] if candidates else owner
        field = owner.model_fields.get(step)
        candidates = list(_models_in(field.annotation)) if field else []
    return path, list(owner.model_fields)


def _kinds(model: type[BaseModel]) -> tuple[Any, ...]:
    kind = model.model_fields.get("kind")
    return get_args(kind.annotation) if kind else ()


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _tag_name(details: ErrorDetails) -> str:
    return str(details["ctx"]["discriminator"]).strip("'")


def _tags(details: ErrorDetails) -> str:
    return str(details["ctx"].get("expected_tags", "pairwise, pointwise, features, prior")).replace("'", "")
