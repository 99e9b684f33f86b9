"""Loading a judge of features: record and weights, each verified against the other and against what is counted here."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load

from prefstream.schemas import OUTCOMES, Battle, Outcome
from prefstream.scoring.atomic_file import write_atomically
from prefstream.scoring.config import FeaturesJudgeConfig
from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.extras import require
from prefstream.scoring.features.extract import Extractor
from prefstream.scoring.features.linear import LinearModel
from prefstream.scoring.features.spec import FeatureSpec
from prefstream.scoring.features.strongest import NamedFeature
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.judges.features import FeaturesJudge
from prefstream.scoring.loading.adapter_record import RECORD, WEIGHTS
from prefstream.scoring.loading.weights import read_shapes, weight_files
from prefstream.scoring.settings import Settings
from prefstream.scoring.settings_files import read_json
from prefstream.scoring.short_hash import short_hash
from prefstream.scoring.validation_messages import error_lines

_WARM_UP: Final = Battle(id="warm-up", prompt=("Hello",), response_a=("Hello!",), response_b=("Good day.",))

_SHOWN: Final = 4
"""Tensors in a message: enough to see what the file is."""


class FeaturesRecord(Settings):
    """Contents of `prefstream.json` beside the weights of a judge of features."""

    format: Literal[1] = 1
    kind: Literal["features"] = "features"
    labels: Annotated[tuple[Outcome, ...], Field(description="What is answered, in order.")] = OUTCOMES
    template: Annotated[str, Field(description="Family and version of the list of features.")]
    template_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the list.")]
    features: Annotated[FeatureSpec, Field(description="What is counted.")]
    weights_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description=f"SHA-256 of {WEIGHTS}.")]
    strongest: Annotated[tuple[NamedFeature, ...], Field(description="Features that decide most, by name.")] = ()
    calibration: Calibration = Calibration()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record of an adapter.

        Raises:
            LoadError: there is none, it is another judge's, or it holds errors.
        """
        path = folder / RECORD
        try:
            fields = read_json(
                path,
                absent=f"the folder has no {RECORD}, so nobody knows which features its weights are of; use a folder "
                "that `prefstream finetune` wrote with a recipe of kind features",
            )
            _refuse_other_kinds(fields, path)
            return cls.model_validate(fields)
        except ConfigError as error:
            raise LoadError(f"{path}: {'; '.join(error.errors)}") from None
        except ValidationError as error:
            raise LoadError(f"{path}: {'; '.join(error_lines(error, cls))}") from None

    def write(self, folder: Path) -> None:
        """Write the record into an adapter's folder; what stood there is replaced at once or not at all."""
        write_atomically(folder / RECORD, self.model_dump_json(indent=2).encode() + b"\n")

    def verify(self, folder: Path) -> None:
        """Refuse weights of features that are counted otherwise here.

        Raises:
            LoadError: labels or list differ.
        """
        place = folder / RECORD
        if self.labels != OUTCOMES:
            raise LoadError(
                f"{place}: the labels are {', '.join(self.labels)}, a judge of features answers {', '.join(OUTCOMES)}; "
                "train it again"
            )
        if self.template_hash != self.features.hash:
            trained, counts = short_hash(self.template_hash), short_hash(self.features.hash)
            raise LoadError(
                f"{place}: trained on the features {self.template} ({trained}), this version counts "
                f"{self.features.name} ({counts}); use the version that trained it, or train it again"
            )


def load_features_judge(config: FeaturesJudgeConfig, *, calibration: Calibration | None = None) -> FeaturesJudge:
    """Load one judge of features, verify it, and let it judge one battle.

    Args:
        config: from the panel file.
        calibration: in place of what the adapter recorded.

    Raises:
        LoadError: the judge can't be loaded, or must not judge; the message names the file and the remedy.
        MissingExtraError: its adapter is on the hub, and `prefstream[judges]` is not installed.
    """
    folder, commit = _adapter_folder(config)
    record, model = read_features_adapter(folder)
    judge = FeaturesJudge(
        name=config.name,
        weight=config.weight,
        adapter_hash=record.weights_hash,
        hub=(config.adapter, commit) if commit else None,
        extractor=Extractor(record.features),
        model=model,
        strongest=record.strongest,
        calibration=calibration or record.calibration,
    )
    judge.score(judge.encode([_WARM_UP]))  # what is imported or compiled at first use is so now
    return judge


def read_features_adapter(folder: Path) -> tuple[FeaturesRecord, LinearModel]:
    """Read a folder that `prefstream finetune` wrote.

    Raises:
        LoadError: a file is missing, pickled, cut off or of another judge, or the weights are not those of the record.
    """
    weight_files(folder)
    record = FeaturesRecord.read(folder)
    record.verify(folder)
    path = folder / WEIGHTS
    if not path.is_file():
        raise LoadError(f"{folder}: has no {WEIGHTS}; give the folder that `prefstream finetune` wrote")
    wanted = _shapes(record.features)
    found = read_shapes(path)
    if found != wanted:
        raise LoadError(
            f"{path}: holds {_described(found)}, the features that {RECORD} lists need {_described(wanted)}; use the "
            "weights that were trained with them"
        )
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != record.weights_hash:
        raise LoadError(
            f"{path}: are not the weights that {folder / RECORD} was written for (their SHA-256 differs); copy the "
            "whole folder again"
        )
    return record, LinearModel(**_tensors(content, path))


def fetched_adapter(config: FeaturesJudgeConfig) -> Path | None:
    """The folder of a judge's adapter as far as it is on this machine; None for one that is still to be fetched.

    Raises:
        MissingExtraError: it is on the hub, and `prefstream[judges]` is not installed.
    """
    if Path(config.adapter).is_absolute():
        return Path(config.adapter)
    _require_hub(config)
    from prefstream.scoring.loading.sources import fetched_folder

    return fetched_folder(config.adapter, config.adapter_revision)


def _adapter_folder(config: FeaturesJudgeConfig) -> tuple[Path, str | None]:
    """Where it is, and its commit where it is of the hub."""
    if Path(config.adapter).is_absolute():
        return Path(config.adapter), None
    _require_hub(config)
    from prefstream.scoring.loading.sources import adapter_folder

    return adapter_folder(config.name, config.adapter, config.adapter_revision)


def _require_hub(config: FeaturesJudgeConfig) -> None:
    """The hub's client is no part of what a judge of features needs otherwise."""
    require(f"judge {config.name}", "judges")


def _refuse_other_kinds(fields: object, path: Path) -> None:
    kind = fields.get("kind") if isinstance(fields, dict) else None
    if isinstance(kind, str) and kind in LABELS:
        raise LoadError(f"{path}: the adapter was trained as {kind}, the panel file says features; set kind: {kind}")


def _shapes(spec: FeatureSpec) -> dict[str, tuple[int, ...]]:
    sides, both = spec.columns
    return {"sides": (sides,), "both": (both,), "bounds": (3,)}


def _described(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items())[:_SHOWN]) or "nothing"


def _tensors(content: bytes, path: Path) -> dict[str, NDArray[np.float32]]:
    try:
        tensors = load(content)
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise LoadError(f"{path}: can't be read as weights ({type(error).__name__}); train it again") from None
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            raise LoadError(f"{path}: {name} holds what is no finite float32 number; train it again")
    return tensors
