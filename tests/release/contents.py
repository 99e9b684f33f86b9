"""What a wheel and an sdist must hold, and what they must not."""

from __future__ import annotations

import posixpath
import re
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

PRETRAINED: Final = "scoring/demo/pretrained"

NEEDED: Final = (
    "__init__.py",
    "__init__.pyi",
    "py.typed",
    "schemas/__init__.py",
    *(f"schemas/{name}.schema.json" for name in ("battle", "dead-letter", "preference", "vote")),
    "schemas/asyncapi.yaml",
    "scoring/__init__.py",
    *(f"{PRETRAINED}/{name}" for name in ("panel.yaml", "panel.json", "card.json")),
    *(
        f"{PRETRAINED}/{judge}/{name}"
        for judge in ("gemma-middle", "smollm-middle", "lexical-demo")
        for name in ("adapter_model.safetensors", "prefstream.json")
    ),
    f"{PRETRAINED}/gemma-middle/adapter_config.json",
    f"{PRETRAINED}/gemma-middle/GEMMA_TERMS_OF_USE.txt",
    f"{PRETRAINED}/smollm-middle/adapter_config.json",
    "scoring/bench/lengths.csv",
    "consumer/audit/audit.html.j2",
    "scoring/comparison/diff.html.j2",
    "scoring/evaluation/report/report.html.j2",
    "scoring/evaluation/report/page.html.j2",
    "scoring/finetune/recipes/gemma-2-9b.yaml",
    "consumer/__init__.py",
    "consumer/board/page/index.html",
    "consumer/board/page/css/board.css",
    "consumer/board/page/js/main.js",
    "consumer/demo/samples/battles.jsonl",
)
"""Files of the package without which a command fails, or terms are broken; of many of a kind, one."""

_IN_SDIST: Final = frozenset(
    {"prefstream", "tests", "deploy", "scoring", "CHANGELOG.md", "README.md", "LICENSE", "pyproject.toml", "PKG-INFO"}
    | {".gitignore"}
)
"""Tops of the sdist. `scoring`: licences, which the metadata name by their place in the checkout."""

_NEVER: Final = re.compile(
    r"__pycache__/|\.py[co]$|(^|/)\.(git|venv|env|hypothesis|\w+_cache)(/|$)|\.(pem|key|p12|jks|env|swp|orig)$"
    r"|(^|/)(secrets?|checkpoint-\d+|node_modules|dist|build)/"
)
"""Caches, secrets, and what is made beside the sources."""


def faults(distribution: Path, version: str) -> Iterator[str]:
    """What is wrong with a wheel or an sdist; one sentence each.

    Args:
        distribution: the file.
        version: that it should be of.
    """
    top = f"prefstream-{version}"
    if distribution.suffix == ".whl":
        files, others = _wheel(distribution)
        package = "prefstream/"
        stray = [name for name in files if name.partition("/")[0] not in {"prefstream", f"{top}.dist-info"}]
    else:
        files, others = _sdist(distribution)
        package = f"{top}/prefstream/"
        stray = [name for name in files if not _belongs_into_sdist(name, top)]
    for name in others:
        yield f"{distribution.name}: {name} is no file, nor a link to one; the rooms should be copied into it"
    for name in stray:
        yield f"{distribution.name}: {name} has no place in it"
    for name in files:
        if _NEVER.search(name):
            yield f"{distribution.name}: {name} should not be published"
    for name in NEEDED:
        if package + name not in files:
            yield f"{distribution.name}: {package}{name} is missing"


def _belongs_into_sdist(name: str, top: str) -> bool:
    first, _, rest = name.partition("/")
    return first == top and rest.partition("/")[0] in _IN_SDIST


def _wheel(path: Path) -> tuple[list[str], list[str]]:
    """Files, and what is none."""
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    links = [entry.filename for entry in entries if (entry.external_attr >> 28) == 0o12]
    return [entry.filename for entry in entries], links


def _sdist(path: Path) -> tuple[list[str], list[str]]:
    with tarfile.open(path) as archive:
        members = [member for member in archive.getmembers() if not member.isdir()]
    names = {member.name for member in members}
    # The chart has links to files that the rest of `deploy` has, too.
    others = [member.name for member in members if not (member.isfile() or _is_link_into(member, names))]
    return [member.name for member in members], others


def _is_link_into(member: tarfile.TarInfo, files: set[str]) -> bool:
    return (
        member.issym() and posixpath.normpath(posixpath.join(posixpath.dirname(member.name), member.linkname)) in files
    )
