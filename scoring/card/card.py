"""A panel's card: how good it is by what people said of battles that it was neither trained nor calibrated on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from prefstream.scoring.atomic_file import write_json
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.bootstrap import Estimate

DEMO_CARD: Final = Path(__file__).resolve().parents[1] / "demo" / "pretrained" / "card.json"
"""Of the panel that ships."""

_DIGITS: Final = 4
"""Of a figure: the ends of an interval hold two or three, and more would differ from machine to machine."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SystemCard(_Part):
    """The panel, a judge of it, or a baseline that reads no text."""

    name: str
    kind: Literal["panel", "judge", "baseline"]
    log_loss: Annotated[Estimate, Field(description="Nats, against the verdict.")]
    accuracy: Annotated[Estimate, Field(description="How often the verdict was the most probable of three outcomes.")]
    decided_accuracy: Annotated[Estimate, Field(description="Winner held for better; battles that are no ties.")]


class CalibrationCard(_Part):
    """Whether the panel's probabilities are what they say, and what chance makes of a panel whose are."""

    error: Annotated[Estimate, Field(description="Expected; top outcome, 10 equal-width bins.")]
    by_chance: Annotated[float, Field(description="Mean error of a perfectly calibrated panel on as many battles.")]
    by_chance_95: Annotated[float, Field(description="95th percentile of the same.")]


class VotersCard(_Part):
    """How often single people agree, over battles that several voted on; of three outcomes, as `accuracy`."""

    battles: int
    each_other: Annotated[Estimate, Field(description="How often one voter says what another one of the battle says.")]
    panel: Annotated[Estimate, Field(description="How often one voter says what the panel holds for most probable.")]


class TierCard(_Part):
    """The figures of one tier of the data, calibration fitted on other prompts."""

    battles: int
    prompts: int
    systems: Annotated[tuple[SystemCard, ...], Field(min_length=1, description="The panel first.")]
    calibration: CalibrationCard
    voters: Annotated[VotersCard | None, Field(description="None where each battle has one verdict.")]

    @property
    def panel(self) -> SystemCard:
        """The panel's figures."""
        return self.systems[0]

    @property
    def baselines(self) -> tuple[SystemCard, ...]:
        """Those of who reads nothing: first who knows how often each outcome happens, then who knows the lengths."""
        return tuple(system for system in self.systems if system.kind == "baseline")


class PublishedAgreement(_Part):
    """How often people agree with each other elsewhere."""

    among: Annotated[str, Field(description="On which battles.")]
    low: Annotated[float, Field(description="Share; of several that were published, the lowest.")]
    high: float
    ties: Annotated[bool, Field(description="True: they could call it a tie, too.")]
    what: Annotated[str, Field(description="Who was held against whom.")]
    source: str


class Card(_Part):
    """What a panel is worth. `python -m prefstream.scoring.card.make` writes it."""

    format: Literal[1] = 1
    panel: Annotated[str, Field(description="Hash of the panel, as in preferences.")]
    calibration: Annotated[str | None, Field(description="Version of the calibration that it had.")]
    judges: Annotated[Mapping[str, str | None], Field(description="Hash of the adapter of each judge, by name.")]
    data: Annotated[str, Field(description="Name of the labelled file.")]
    data_sha256: str
    folds: Annotated[int, Field(description="Into which the prompts were dealt.")]
    resamples: Annotated[int, Field(description="Of the prompts, for the 95 % intervals.")]
    seed: int
    tiers: Mapping[str, TierCard]
    people: Annotated[tuple[PublishedAgreement, ...], Field(description="What accuracies are to be held against.")]

    @classmethod
    def read(cls, path: Path = DEMO_CARD) -> Self:
        """Read a card.

        Raises:
            FileError: it can't be read, or is something else.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise FileError(f"{path}: {error.strerror}") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            raise FileError(f"{path}: {where}: {first['msg']}; it should be a panel's card") from None

    def write(self, path: Path) -> None:
        """Write it, with as many digits as mean something.

        Raises:
            OSError: the disk is full, or fails otherwise.
        """
        write_json(path, {key: _rounded(value) for key, value in self.model_dump(mode="json").items()})


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list) else value
