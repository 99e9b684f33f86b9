"""Which panel is to answer for a group: what the compacted topic `panels` holds, keyed by the group.

A record names a panel by its name in the operator's folder, never by a path or an address. A calibration is a few
numbers, and stands in the record itself.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

from pydantic import AwareDatetime, Field, model_validator

from prefstream.schemas.models import ContractModel

MAX_EARLIER: Final = 16
"""Earlier choices that a record holds: compaction leaves the last record alone, and who rolls back goes back a few."""

MAX_WHY: Final = 500
"""Characters of what a person says of a choice."""

PANEL_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

PanelName: TypeAlias = Annotated[str, Field(pattern=PANEL_NAME)]


class PanelVersion(ContractModel):
    """A panel, and how its judges are weighed and calibrated."""

    panel: Annotated[
        PanelName | None,
        Field(
            description="Its name in the folder of panels of each process; absent: the one that the process was "
            "started with."
        ),
    ] = None
    calibration: Annotated[
        dict[str, Any] | None,
        Field(description="As `prefstream calibrate` writes it, in place of the one that the panel's file names."),
    ] = None

    def __str__(self) -> str:
        """For people."""
        name = self.panel or "the panel that it was started with"
        return name if self.calibration is None else f"{name}, calibrated anew"


class Canary(PanelVersion):
    """A panel that answers a share of the battles, chosen by their ids, in place of the one that serves."""

    share: Annotated[float, Field(gt=0.0, lt=1.0, allow_inf_nan=False)]

    @property
    def version(self) -> PanelVersion:
        """Which it is, whatever its share."""
        return PanelVersion(panel=self.panel, calibration=self.calibration)


class PanelChoice(ContractModel):
    """What one group is to answer by, from when its processes hear of it."""

    schema_version: Annotated[str, Field(pattern=r"^1\.[0-9]+$")] = "1.0"
    group: Annotated[str, Field(min_length=1, description="Consumer group, and key of the record.")]
    serving: PanelVersion = PanelVersion()
    canary: Annotated[Canary | None, Field(description="Absent where one panel answers all.")] = None
    pinned: Annotated[bool, Field(description="Nothing but a person changes it: live calibration publishes none.")] = (
        False
    )
    chosen_at: AwareDatetime
    chosen_by: Annotated[str, Field(min_length=1, max_length=100, description="Such as operator, or calibrate.")]
    why: Annotated[str | None, Field(max_length=MAX_WHY, description="For people.")] = None
    earlier: Annotated[
        tuple[PanelVersion, ...],
        Field(max_length=MAX_EARLIER, description="What served before, the last one first: for going back."),
    ] = ()

    @model_validator(mode="after")
    def _canary_is_another(self) -> PanelChoice:
        if self.canary is not None and self.canary.version == self.serving:
            raise ValueError("canary: is the panel that serves")
        return self

    def __str__(self) -> str:
        """For people."""
        canary = "" if self.canary is None else f", and {self.canary} for {self.canary.share:.3g} of the battles"
        return f"{self.serving}{canary}"
