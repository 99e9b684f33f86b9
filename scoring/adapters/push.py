"""An adapter to a model hub: whether it may go there is made sure of before it is trained, and it goes in one commit.

The token is the hub client's own matter (`HF_TOKEN`, or `hf auth login`): nothing here holds it, or could tell it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

from prefstream.scoring.adapters.receipt import CARD, CURVES, RECEIPT
from prefstream.scoring.errors import ConfigError, LoadError, PushError
from prefstream.scoring.loading.adapter import CONFIG, verify_adapter_files
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS, AdapterRecord
from prefstream.scoring.loading.features import FeaturesRecord, read_features_adapter
from prefstream.scoring.loading.sources import first_line
from prefstream.scoring.settings_files import parse_yaml, read_json
from prefstream.scoring.version import own_version

PUSHED: Final = (WEIGHTS, CONFIG, RECORD, RECEIPT, CURVES)
"""Beside the card, what of an adapter's folder is published, where it is there; `RECORD` has the calibration. Not what
a run said of its dev pairs, which has their ids, and not the run's own files."""

_REFUSED: Final = (401, 402, 403, 404)
"""Statuses of a hub that knows the token and says no, or does not know it. It hides from those who may not see it what
is there (404)."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where an adapter is pushed to; it is there, and the token may write to it.

    Attributes:
        name: such as `org/name`.
        private: whether it is seen by those alone whom its owner lets.
    """

    name: str
    private: bool

    @classmethod
    def prepare(cls, name: str, *, public: bool) -> Self:
        """Make a repository, unless it is there.

        Args:
            name: such as `org/name`.
            public: whether everybody may see it.

        Raises:
            ConfigError: there is no token, it may not write there, or what is there is public and should not be.
            PushError: the hub can't be asked just now.
        """
        import huggingface_hub

        if "/" not in name:
            raise ConfigError(name, ("is no repository of a hub; give owner and name, such as my-org/my-judge",))
        if huggingface_hub.get_token() is None:
            wrong = "pushing needs a token that may write there: set HF_TOKEN, or run `hf auth login`"
            raise ConfigError(name, (wrong,))
        hub = huggingface_hub.HfApi()
        with _refusals(name):
            hub.create_repo(name, private=not public, exist_ok=True)
            hub.auth_check(name, write=True)
            private = bool(hub.repo_info(name).private)
        if not private and not public:
            raise ConfigError(name, ("is public: give --public if the adapter may be, or another repository",))
        return cls(name, private)

    def push(self, folder: Path, message: str | None = None) -> str:
        """Put an adapter there, in one commit.

        Args:
            folder: of the adapter.
            message: of the commit; None for one that names what it is.

        Returns:
            The commit's full hash.

        Raises:
            LoadError: the folder holds no whole adapter.
            ConfigError: the hub does not take it.
            PushError: the hub could not be reached.
        """
        import huggingface_hub

        record = read_record(folder)
        files: dict[str, Any] = {name: folder / name for name in PUSHED if (folder / name).is_file()}
        files[CARD] = hub_card(folder, record)
        with _refusals(self.name):
            commit = huggingface_hub.HfApi().create_commit(
                self.name,
                [
                    huggingface_hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=content)
                    for name, content in files.items()
                ],
                commit_message=message or f"A {record.kind} judge, by prefstream {own_version()}",
            )
        return str(commit.oid)

    def told(self, commit: str) -> str:
        """What to say of an adapter that was pushed: where it is, and how a panel file names it."""
        return (
            f"pushed to {self.name}, {'private' if self.private else 'public'}; in a panel file: "
            f"adapter: {self.name}, adapter_revision: {commit}"
        )


def read_record(folder: Path) -> AdapterRecord | FeaturesRecord:
    """What an adapter's folder says of it, once it is sure that the rest is there.

    Raises:
        LoadError: the folder holds no whole adapter; pickled weights are none.
    """
    path = folder / RECORD
    try:
        fields = read_json(path, absent=f"the folder has no {RECORD}; give one that `prefstream finetune` wrote")
    except ConfigError as error:
        raise LoadError(f"{path}: {'; '.join(error.errors)}") from None
    if isinstance(fields, dict) and fields.get("kind") == "features":
        return read_features_adapter(folder)[0]
    record = AdapterRecord.read(folder)
    verify_adapter_files(folder, frozenset())
    return record


def hub_card(folder: Path, record: AdapterRecord | FeaturesRecord) -> bytes:
    """The model card with the head that a hub reads: what it is, and which base it belongs to; what stands there stays.

    Args:
        folder: of the adapter.
        record: of it.
    """
    path = folder / CARD
    text = path.read_text(encoding="utf-8") if path.is_file() else f"# {folder.resolve().name}\n"
    _, head, body = text.split("---\n", 2) if text.startswith("---\n") and text.count("---\n") > 1 else ("", "", text)
    fields: dict[str, Any] = {"pipeline_tag": "text-classification", "tags": ["prefstream", "preference", record.kind]}
    if isinstance(record, AdapterRecord):
        fields["library_name"] = "peft"
        if record.base and "/" in record.base:  # of a folder the name alone is recorded, which is nobody's on a hub
            fields["base_model"] = record.base
    kept = parse_yaml(head, str(path)) if head else {}
    if isinstance(kept, dict):
        # peft writes the place of a base there, which is nobody's business and no model of a hub.
        fields |= {key: value for key, value in kept.items() if not Path(str(value)).is_absolute()}
    return f"---\n{yaml.safe_dump(fields, sort_keys=True)}---\n\n{body.lstrip()}".encode()


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """The hub client's errors as ours, in one line.

    Raises:
        ConfigError: the hub refuses.
        PushError: the hub can't be asked just now.
    """
    import httpx2
    from huggingface_hub.errors import HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise ConfigError(name, (f"is no name of a hub's repository: {first_line(error)}",)) from None
    except (OSError, httpx2.HTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in _REFUSED:
            wrong = (
                f"the hub refuses ({status}): the token may not write there; give HF_TOKEN one with the right to write "
                "to this owner's repositories, or name another repository"
            )
            raise ConfigError(name, (wrong,)) from None
        raise PushError(
            f"{name}: the hub can't be asked ({type(error).__name__}: {first_line(error)}); try again, or look at "
            "HF_ENDPOINT, HF_HUB_OFFLINE and the network"
        ) from error
