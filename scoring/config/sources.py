"""Where a judge's files are, as a panel file names them: a folder, a pinned model of the hub, a base of the demo."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

DEMO_BASES: Final = ("demo:gemma", "demo:smollm", "demo:embeddinggemma")
"""Names, wherever a base can be named, of the demo's base models and of one to train on beside them; each is fetched
and converted at its first use."""

_DEMO_PREFIX: Final = "demo:"

FOLDER: Final = "folder"
"""In the context of a validation: the folder that relative paths are relative to."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_COMMIT = re.compile(r"[0-9a-f]{40}")


def _resolve(text: str, info: ValidationInfo) -> str:
    """An absolute path where `text` names something that exists beside the panel file, or is spelt as a path."""
    if text.startswith(_DEMO_PREFIX):
        return text
    folder = (info.context or {}).get(FOLDER, Path.cwd())
    path = Path(folder, Path(text).expanduser())
    if path.exists() or not _HUB_ID.fullmatch(text):
        return str(path.resolve())
    return text


def _needs_text(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


Source: TypeAlias = Annotated[str, BeforeValidator(_needs_text), Field(min_length=1), AfterValidator(_resolve)]
"""A local path, made absolute, or a hub id."""

Commit: TypeAlias = Annotated[str, Field(pattern=_COMMIT.pattern + "$")]
"""A full commit hash: a branch or tag can be moved to other weights."""


Revision: TypeAlias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][\w-]*([./][\w-]+)*$", max_length=200)]
"""A commit, or a branch or tag, whose commit is looked up when the judge is loaded, and told."""


def pinned(source: str, info: ValidationInfo) -> str:
    """Refuse what stands on a hub and may move without anybody's having said so, and a base of the demo that is none.

    Args:
        source: folder, hub id or base of the demo.
        info: of the validation of `base` or `adapter`, in which its revision stands already.

    Raises:
        ValueError: it is unknown, or a hub id without a revision.
    """
    is_base = info.field_name == "base"
    if source.startswith(_DEMO_PREFIX):
        known = DEMO_BASES if is_base else ()
        if source not in known:
            raise ValueError(f"{source} is unknown; the demo's bases are {', '.join(DEMO_BASES)}")
        return source
    key = "revision" if is_base else "adapter_revision"
    unpinned = key in info.data and info.data[key] is None
    if unpinned and not Path(source).is_absolute():
        raise ValueError(
            f"{source} is no folder, and as a hub id it needs {key}, the full commit hash: "
            "a branch or tag could be other weights tomorrow"
            + ("" if is_base else "; one that is named is looked up at each start, and told")
        )
    return source
