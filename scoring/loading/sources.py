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
_HUB_FILES: Final = (*_SMALL_FILES, _WEIGHT_FILES)
_HUB_FILES_NOT: Final = ("original/*", "consolidated*")
"""The second copies that some repositories hold, in formats of their own."""


def local_folder(
    source: str, revision: str | None, *, weights: bool = True, say: Callable[[str], None] | None = None
) -> Path:
    """The folder of a model, after fetching what is not on this machine yet.

    Args:
        source: absolute folder, hub id, or one of `config.DEMO_BASES`.
        revision: commit of a hub id; or a branch or tag, of which the newest commit is fetched.
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
                allow_patterns=list(_HUB_FILES if weights else _SMALL_FILES),
                ignore_patterns=list(_HUB_FILES_NOT),
            )
        )
    except (OSError, ValueError) as error:
        refused = isinstance(error, HFValidationError | RepositoryNotFoundError | RevisionNotFoundError)
        raise (LoadError if refused else FetchError)(
            f"{source} at {revision}: can't be fetched from the hub ({type(error).__name__}: "
            f"{first_line(error)}); check the id, the revision, your access and HF_TOKEN, or give a local folder"
        ) from error


def adapter_folder(judge: str, source: str, revision: str | None, *, weights: bool = True) -> tuple[Path, str | None]:
    """The folder of a judge's adapter, and its commit where it is of the hub; a name that may move is told with it.

    Args:
        judge: whose it is.
        source: absolute folder or hub id.
        revision: as for `local_folder`.
        weights: likewise.

    Raises:
        FetchError: as `local_folder`; and LoadError.
    """
    folder = local_folder(source, revision, weights=weights)
    if Path(source).is_absolute():
        return folder, None
    commit = folder.name  # the hub's cache has a folder for each commit
    if commit != revision:
        import structlog  # who has the hub's client has it, too

        structlog.get_logger().warning(
            "adapter is named by what can move",
            remedy="adapter_revision: COMMIT in the panel file keeps these weights",
            judge=judge,
            adapter=source,
            adapter_revision=revision,
            commit=commit,
        )
    return folder, commit


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


def fetched_folder(source: str, revision: str | None, *, weights: bool = True) -> Path | None:
    """The folder of a model as far as it is on this machine; None for one that is still to be fetched. Asks nobody.

    Args:
        source: as for `local_folder`.
        revision: likewise.
        weights: likewise.
    """
    if source in DEMO_BASES:
        return prepared_base(source)
    if Path(source).is_absolute():
        return Path(source)
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                source,
                revision=revision,
                # As they were fetched: without the rest, which nobody wants, the hub's client would call it incomplete.
                allow_patterns=list(_HUB_FILES if weights else _SMALL_FILES),
                ignore_patterns=list(_HUB_FILES_NOT),
                local_files_only=True,
            )
        )
    except (OSError, ValueError):
        return None


def public_name(source: str) -> str:
    """A hub id as it is; of a local folder the name alone: its place is nobody's business."""
    return Path(source).name if Path(source).is_absolute() else source


def first_line(error: Exception) -> str:
    """What a library's error says, without the stack that follows."""
    return str(error).partition("\n")[0]
