"""What the files that people write have in common: panels, recipes, calibrations, records of adapters."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A part of such a file: an unknown key is an error, so is a number that is none, and nothing changes later."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
