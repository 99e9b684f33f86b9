"""Calibration: a temperature and a tie bias, for a judge or for the panel's mean.

A and B share their bias (zero), so that exchanging the sides exchanges the answer before and after. Its file has the
panel's length slope, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import numpy as np
from pydantic import Field, ValidationError

from prefstream.scoring.atomic_file import write_atomically
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.probabilities import Triples, normalise
from prefstream.scoring.settings import Settings
from prefstream.scoring.settings_files import read_json
from prefstream.scoring.validation_messages import error_lines

STEEPEST_LENGTH: Final = 10.0
"""Bound of a length slope: odds of 22,026 to 1 for an answer of twice the length are no preference but a rule, and
those of the longest texts that are read, 22 doublings apart, are still far from what a number can hold."""


class Calibration(Settings):
    """Log probabilities are divided by `temperature`, then `tie_bias` is added to the tie's."""

    temperature: Annotated[
        float, Field(ge=0.01, le=100.0, description="Above 1 flattens, below 1 sharpens; 1 changes nothing.")
    ] = 1.0
    tie_bias: Annotated[float, Field(ge=-30.0, le=30.0, description="In nats; above 0 makes ties likelier.")] = 0.0

    @property
    def changes_nothing(self) -> bool:
        """Whether this is the identity."""
        return self.temperature == 1.0 and self.tie_bias == 0.0

    def apply(self, probabilities: Triples) -> Triples:
        """Calibrate.

        Args:
            probabilities: shape (battles, 3), in the order of `schemas.OUTCOMES`.

        Returns:
            The same shape; rows sum to 1.
        """
        if self.changes_nothing:
            return probabilities
        with np.errstate(divide="ignore"):  # log 0 is -inf here, and its exponential 0 again
            logits = np.log(probabilities) / self.temperature
        logits[:, 2] += self.tie_bias
        return normalise(np.exp(logits - logits.max(axis=1, keepdims=True)))


class CalibrationFile(Settings):
    """What the panel's `calibration` file holds."""

    format: Literal[1] = 1
    panel: Annotated[Calibration, Field(description="For the panel's mean.")] = Calibration()
    judges: Annotated[
        Mapping[str, Calibration],
        Field(description="By name; takes the place of what the judge's adapter recorded."),
    ] = {}
    weights: Annotated[
        Mapping[str, Annotated[float, Field(ge=0.0)]],
        Field(description="By name; takes the place of the weight in the panel file."),
    ] = {}
    length_slope: Annotated[
        float | None,
        Field(
            ge=-STEEPEST_LENGTH,
            le=STEEPEST_LENGTH,
            description="Nats of the panel's log odds of A against B per doubling of the ratio of their lengths: all "
            "that it likes length, be it right or not. Preferences have an `adjusted` without it; absent or 0: none.",
        ),
    ] = None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the file.

        Raises:
            ConfigError: it can't be read, or holds errors.
        """
        try:
            return cls.model_validate(read_json(path))
        except ValidationError as error:
            raise ConfigError(str(path), error_lines(error, cls)) from None

    def encode(self) -> bytes:
        """The file's content."""
        # A file from before there was a slope keeps its content, and so its version.
        return self.model_dump_json(indent=2, exclude_none=True).encode() + b"\n"

    def write(self, path: Path) -> None:
        """Write the file; what stood there is replaced at once or not at all."""
        write_atomically(path, self.encode())
