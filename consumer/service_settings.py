"""Settings that several services have, each with its help: types for the fields of their configurations."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

Seconds: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]

HttpHost: TypeAlias = Annotated[str, Field(description="Address of the HTTP port.")]

ReadingTimeout: TypeAlias = Annotated[
    Seconds, Field(description="Reading that fails, or a broker call that hangs, for longer ends the process.")
]

LogLevel: TypeAlias = Annotated[Literal["debug", "info", "warning", "error"], Field(description="What to log.")]

LogFormat: TypeAlias = Annotated[
    Literal["auto", "console", "json"], Field(description="auto: JSON when standard error is no terminal.")
]
