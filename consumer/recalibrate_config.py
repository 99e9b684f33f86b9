"""Settings of live calibration. Each description is the help of an option."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from prefstream.consumer.config import TopicNames
from prefstream.consumer.durations import required_duration
from prefstream.consumer.errors import UsageError
from prefstream.consumer.service_settings import HttpHost, LogFormat, LogLevel, ReadingTimeout
from prefstream.scoring.config import DEMO_PANEL


class RecalibrateConfig(TopicNames):
    """Live calibration: what it reads, what it asks of a fit, how far one version may go.

    What it alone knows begins with `recalibrate_`: an option has its name without that, a variable and a file with it.
    """

    group_id: Annotated[
        str, Field(description="Consumer group of the stream whose panel is calibrated; no group is joined.")
    ] = "prefstream"
    panel: Annotated[
        Path | None,
        Field(
            description="Panel file that the stream's processes are started with: which weights and calibration serve "
            f"where none are chosen; {DEMO_PANEL}: the demo's small judges. None is loaded."
        ),
    ] = None
    panels: Annotated[
        Path | None,
        Field(description="Folder of panel files, as the stream's processes have it; for panels that are chosen."),
    ] = None

    # The board's: people judge within minutes in a chat and within days in a review.
    recalibrate_window: Annotated[
        str,
        Field(
            description="How far back both topics are read at the start, and how long a battle waits for votes and a "
            "vote for its battle: 30m, 12h, 14d."
        ),
    ] = "14d"
    recalibrate_max_join_rows: Annotated[
        int,
        Field(
            ge=1,
            description="Battles in memory that wait for votes, and votes that wait for battles, at most each; the "
            "oldest go first. Two judges take some 600 bytes a battle.",
        ),
    ] = 200_000
    recalibrate_half_life: Annotated[
        float,
        Field(ge=100, allow_inf_nan=False, description="A vote that so many others came after counts half in a fit."),
    ] = 1_000.0
    # Of 300 votes that decide, one person's are a thirtieth.
    recalibrate_voter_votes: Annotated[
        int, Field(ge=1, description="For so many votes one voter counts at most, however often they vote.")
    ] = 10
    recalibrate_later_votes: Annotated[
        int,
        Field(ge=10, description="A fit is judged on at least so many votes that came after those it was made of."),
    ] = 300
    recalibrate_every: Annotated[
        str, Field(description="No version sooner than so long after the last choice: 30m, 1h, 1d.")
    ] = "1h"
    recalibrate_temperature_factor: Annotated[
        float,
        Field(ge=1, le=10, allow_inf_nan=False, description="One version changes the temperature by this at most."),
    ] = 1.25
    # From a share of ties of .30 to .41, or to .21.
    recalibrate_tie_bias: Annotated[
        float,
        Field(ge=0, le=10, allow_inf_nan=False, description="Nats by which one version moves the tie bias at most."),
    ] = 0.5
    recalibrate_weight_share: Annotated[
        float,
        Field(ge=0, le=1, allow_inf_nan=False, description="By which one version moves a judge's share at most."),
    ] = 0.1
    # A few hundred can't tell judges apart that are about equally good.
    recalibrate_weights_from: Annotated[
        int, Field(ge=1, description="So many votes a fit is made of before the judges' weights are fitted, too.")
    ] = 1_000

    recalibrate_http_host: HttpHost = "127.0.0.1"
    recalibrate_http_port: Annotated[
        int, Field(ge=0, le=65_535, description="HTTP port of /metrics, /livez and /readyz; 0 picks a free one.")
    ] = 9466

    broker_timeout_s: ReadingTimeout = 120.0

    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"

    def require_panel(self) -> None:
        """Refuse to begin where nothing tells what serves.

        Raises:
            UsageError: neither a panel nor a folder of panels is given.
        """
        if self.panel is None and self.panels is None:
            raise UsageError("no panel: say what serves, by --panel FILE, and with --panels FOLDER what can be chosen")

    @property
    def window(self) -> timedelta:
        """How far back both topics are read."""
        return required_duration(self.recalibrate_window)

    @property
    def every(self) -> timedelta:
        """From one choice to the next version, at least."""
        return required_duration(self.recalibrate_every)

    @field_validator("recalibrate_window", "recalibrate_every")
    @classmethod
    def _are_spans(cls, text: str) -> str:
        required_duration(text)
        return text
