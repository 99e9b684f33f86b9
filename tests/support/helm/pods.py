"""A container's files and variables as Kubernetes would give them to it, in a folder of a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.support.helm.chart import NAMESPACE, Rendered

IMAGE_ENVIRONMENT: Final = {"PREFSTREAM_HTTP_HOST": "0.0.0.0", "PREFSTREAM_HTTP_PORT": "9464"}
"""What the Dockerfile sets of our settings; a test of the image holds it."""

_MOVED: Final = ("/etc/prefstream", "/panels", "/panel", "/var/lib/prefstream")
"""Folders that settings name."""


@dataclass(frozen=True)
class Container:
    """A container, without its walls.

    Attributes:
        folder: stands for its root.
        environment: its variables, with the image's.
        arguments: of the image's command.
    """

    folder: Path
    environment: dict[str, str]
    arguments: list[str]

    @property
    def settings(self) -> Path:
        """The file of its settings."""
        return Path(self.environment["PREFSTREAM_CONFIG"])

    def path(self, inside: str) -> Path:
        """Where a path of the container lies."""
        return self.folder / inside.lstrip("/")


def unpack(rendered: Rendered, kind: str, folder: Path, name: str | None = None) -> Container:
    """Lay out the container of the one workload of a kind, or of a kind and name.

    ConfigMaps and Secrets that the chart takes as given hold a word for each key; claims are empty folders.

    Args:
        rendered: the manifests.
        kind: of the workload.
        folder: an empty one.
        name: of the workload.
    """
    pod = rendered.pod(kind, name)
    [container] = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for template in rendered.of(kind, name)["spec"].get("volumeClaimTemplates", ()):
        volumes[template["metadata"]["name"]] = {"persistentVolumeClaim": {}}
    for mount in container["volumeMounts"]:
        target = folder / mount["mountPath"].lstrip("/")
        files = dict(_files(rendered, volumes[mount["name"]]))
        if (one := mount.get("subPath")) in files:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(_moved(files[one], folder), encoding="utf-8")
            continue
        target.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            target.joinpath(file).write_text(_moved(text, folder), encoding="utf-8")
    moved = {name: _moved(text, folder) for name, text in variables_of(container).items()}
    return Container(folder, IMAGE_ENVIRONMENT | moved, list(container["args"]))


def variables_of(container: dict[str, Any]) -> dict[str, str]:
    """The variables of a container; of those that come from a Secret, where from."""
    return {one["name"]: _variable(one) for one in container["env"]}


def _files(rendered: Rendered, volume: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "configMap" in volume:
        yield from rendered.of("ConfigMap", volume["configMap"]["name"])["data"].items()
    for source in volume.get("projected", {}).get("sources", ()):
        [taken] = source.values()
        for item in taken["items"]:
            yield item["path"], f"{taken['name']}/{item['key']}"


def _variable(variable: dict[str, Any]) -> str:
    if "value" in variable:
        text: str = variable["value"]
        return text.replace("$(POD_NAMESPACE)", NAMESPACE).replace("$(POD_NAME)", "pod-0")
    [(kind, reference)] = variable["valueFrom"].items()
    return f"{reference['name']}/{reference['key']}" if kind == "secretKeyRef" else str(reference["fieldPath"])


def _moved(text: str, folder: Path) -> str:
    for place in _MOVED:
        text = re.sub(rf" {place}(?=/|$)", f" {folder}{place}", text, flags=re.MULTILINE)
        text = f"{folder}{text}" if text.startswith(place) else text
    return text
