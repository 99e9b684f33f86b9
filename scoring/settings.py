"""What the files that people write have in common: panels, recipes, calibrations, records of adapters."""

from __future__ import annotations

from pydantic import ConfigDict, ValidationError

from prefstream.schemas.models import RefusingModel
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.validation_messages import error_lines


class Settings(RefusingModel):
    """A part of such a file: an unknown key is an error, so is a number that is none, and nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def _refusal(cls, error: ValidationError) -> ConfigError:
        return ConfigError(cls.__name__, error_lines(error, cls))
