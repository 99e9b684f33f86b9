"""What an adapter folder records beside its weights: how the judge reads, and what its labels mean.

An adapter reads well only the layout it was trained on. Nothing in LoRA's own files says which that was, so
prefstream writes `prefstream.json` next to them and refuses an adapter that disagrees with the panel file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError

from prefstream.scoring.atomic_file import hash_file, write_atomically
from prefstream.scoring.encoding.template import LABELS, Kind, Pooling, Template
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.judges.calibration import Calibration
from prefstream.scoring.settings import Settings
from prefstream.scoring.settings_files import read_json
from prefstream.scoring.short_hash import short_hash
from prefstream.scoring.validation_messages import error_lines

RECORD: Final = "prefstream.json"
WEIGHTS: Final = "adapter_model.safetensors"


class AdapterRecord(Settings):
    """Contents of `prefstream.json`."""

    format: Literal[1] = 1
    kind: Kind
    labels: Annotated[tuple[str, ...], Field(description="Meaning of the head's outputs, in order.")]
    template: Annotated[str, Field(description="Family, kind and version of the layout.")]
    template_hash: Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the layout.")]
    max_length: Annotated[int, Field(ge=1, description="Tokens of the longest sequence in training.")]
    mask_identity: Annotated[
        bool, Field(description="Responses were read with phrases that name their maker or themselves masked.")
    ] = False
    pooling: Annotated[
        Pooling,
        Field(description="The head reads the last token's state, the mean of all tokens' states, or the answer's."),
    ] = "last"
    layers: Annotated[
        int | None, Field(ge=1, description="Of the base, from below, that the judge has; null for all.")
    ] = None
    tau: Annotated[float, Field(description="Pointwise: learnt offset of the tie's logit.")] = 0.0
    calibration: Calibration = Calibration()
    base: Annotated[str | None, Field(description="Hub id or folder name of the base.")] = None
    base_revision: str | None = None
    base_hash: Annotated[str | None, Field(description="As in a preference's provenance.")] = None

    @classmethod
    def describe(
        cls,
        template: Template,
        *,
        max_length: int,
        tau: float = 0.0,
        mask_identity: bool = False,
        pooling: Pooling = "last",
        layers: int | None = None,
    ) -> Self:
        """The record of a judge that reads by `template`."""
        return cls(
            kind=template.kind,
            labels=LABELS[template.kind],
            template=template.name,
            template_hash=template.hash,
            max_length=max_length,
            mask_identity=mask_identity,
            pooling=pooling,
            layers=layers,
            tau=tau,
        )

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record of an adapter.

        Raises:
            LoadError: there is none, it is of a judge of features, or it holds errors.
        """
        path = folder / RECORD
        try:
            fields = read_json(
                path,
                absent=f"the folder has no {RECORD}, so nobody knows which layout and label order this adapter was "
                "trained with; use an adapter made by prefstream, or write the file if you know",
            )
            if isinstance(fields, dict) and fields.get("kind") == "features":
                raise LoadError(
                    f"{path}: is of a judge of features, which has no base; in a panel file: kind: features"
                )
            return cls.model_validate(fields)
        except ConfigError as error:
            raise LoadError(f"{path}: {'; '.join(error.errors)}") from None
        except ValidationError as error:
            raise LoadError(f"{path}: {'; '.join(error_lines(error, cls))}") from None

    def write(self, folder: Path) -> None:
        """Write the record into an adapter's folder; what stood there is replaced at once or not at all."""
        write_atomically(folder / RECORD, self.model_dump_json(indent=2).encode() + b"\n")

    def verify(self, folder: Path, template: Template) -> None:
        """Refuse an adapter that was trained to read otherwise.

        Args:
            folder: where the record stands, for the message.
            template: how the judge would read.

        Raises:
            LoadError: kind, labels or layout differ.
        """
        place = folder / RECORD
        if self.kind != template.kind:
            raise LoadError(
                f"{place}: the adapter was trained as {self.kind}, the panel file says {template.kind}; "
                f"set kind: {self.kind}"
            )
        if self.labels != LABELS[self.kind]:
            raise LoadError(
                f"{place}: the labels are {', '.join(self.labels)}, a {self.kind} judge answers "
                f"{', '.join(LABELS[self.kind])}; train the adapter again with that order"
            )
        if self.template_hash != template.hash:
            raise LoadError(
                f"{place}: the adapter was trained with the layout {self.template} "
                f"({short_hash(self.template_hash)}), this base and this version read with {template.name} "
                f"({short_hash(template.hash)}); use the base it was trained on, or train it again"
            )


def hash_adapter(folder: Path) -> str:
    """SHA-256 (64 hexadecimal digits) of an adapter's weights."""
    return hash_file(folder / WEIGHTS)
