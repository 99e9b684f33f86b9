"""Whether Kubernetes would take a manifest: by its own schemas, and by those of operators whose resources we make."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema
import kubernetes_validate

_CRDS: Final = Path(__file__).parent / "crds"


def faults(manifest: dict[str, Any], version: str) -> list[str]:
    """What is wrong with a manifest; fields that nobody knows are.

    Args:
        manifest: one document.
        version: of Kubernetes.
    """
    crd = _crd(manifest["kind"])
    if crd is not None:
        assert manifest["apiVersion"] == f"{crd['group']}/{crd['version']}"
        found = jsonschema.Draft202012Validator(crd["schema"]).iter_errors(manifest)
        return [f"{error.json_path}: {error.message}" for error in found]
    try:
        kubernetes_validate.validate(manifest, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message}"]
    return []


@cache
def _crd(kind: str) -> dict[str, Any] | None:
    path = _CRDS / f"{kind}.json"
    if not path.exists():
        return None
    crd: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    _close(crd["schema"])
    return crd


def _close(schema: Any) -> None:
    """Refuse what a cluster would drop in silence: properties that are not named."""
    if isinstance(schema, dict):
        for part in schema.values():
            _close(part)
        named = isinstance(schema.get("properties"), dict) and schema.get("type") == "object"
        if named and "x-kubernetes-preserve-unknown-fields" not in schema:
            schema.setdefault("additionalProperties", False)
            if {"apiVersion", "metadata"} <= schema["properties"].keys():
                schema["properties"]["metadata"] = {"type": "object"}
    elif isinstance(schema, list):
        for part in schema:
            _close(part)
