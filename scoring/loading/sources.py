"""Where the files of a base or adapter are: a folder, a model of the hub, or a base of the demo. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from prefstream.scoring.config import DEMO_BASES
from prefstream.scoring.demo.judges import prepare_bases, prepared_base
from prefstream.scoring.errors import FetchError, LoadError

_SMALL_FILES: Final = ("*.json", "*.model", "*.jinja")
_WEIGHT_FILES: Final = "*.safetensors"
_HUB_FILES_NOT: Final = ("original/*", "consolidated*")
"""The second copies that some repositories hold, in formats of their own."""


def local_folder(
    source: str, revision: str | None, *, weights: bool = True, say: Callable[[str], None] | None = None
) -> Path:
    """The folder of a model, after fetching what is not on this machine yet.

    Args:
        source: absolute folder, hub id, or one of `config.DEMO_BASES`.
        revision: commit of a hub id.
        weights: whether its weights are wanted, or the small files alone.
        say: told what is being fetched and converted.

    Raises:
        FetchError: it can't be fetched just now.
        LoadError: it can't be had.
    """
    if source in DEMO_BASES:
        return prepare_bases((source,), say=say or (lambda _: None))[source]
    if Path(source).is_absolute():
        return Path(source)
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(
            huggingface_hub.snapshot_download(
                source,
                revision=revision,
                allow_patterns=[*_SMALL_FILES, _WEIGHT_FILES] if weights else list(_SMALL_FILES),
                ignore_patterns=list(_HUB_FILES_NOT),
            )
        )
    except (OSError, ValueError) as error:
        refused = isinstance(error, HFValidationError | RepositoryNotFoundError | RevisionNotFoundError)
        raise (LoadError if refused else FetchError)(
            f"{source} at {revision}: can't be fetched from the hub ({type(error).__name__}: "
            f"{first_line(error)}); check the id, the revision, your access and HF_TOKEN, or give a local folder"
        ) from error


def prepare_demo_bases(sources: Iterable[str], *, say: Callable[[str], None] | None = None) -> None:
    """Have those of several bases that are the demo's prepared, at the same time.

    Args:
        sources: as for `local_folder`.
        say: told what is being fetched and converted.

    Raises:
        LoadError: one can't be had.
    """
    demo = set(sources) & set(DEMO_BASES)
    if demo:
        prepare_bases(demo, say=say or (lambda _: None))


def fetched_folder(source: str, revision: str | None) -> Path | None:
    """The folder of a model as far as it is on this machine; None for one that is still to be fetched. Asks nobody.

    Args:
        source: as for `local_folder`.
        revision: commit of a hub id.
    """
    if source in DEMO_BASES:
        return prepared_base(source)
    if Path(source).is_absolute():
        return Path(source)
    import huggingface_hub

    try:
        return Path(huggingface_hub.snapshot_download(source, revision=revision, local_files_only=True))
    except (OSError, ValueError):
        return None


def public_name(source: str) -> str:
    """A hub id as it is; of a local folder the name alone: its place is nobody's business."""
    return Path(source).name if Path(source).is_absolute() else source


def first_line(error: Exception) -> str:
    """What a library's error says, without the stack that follows."""
    return str(error).partition("\n")[0]
