"""What the next choice of a group is, made of the last one: another panel, a canary, back to what served before."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from prefstream.consumer.errors import UsageError
from prefstream.schemas import Canary, PanelChoice, PanelVersion
from prefstream.schemas.panel_choice import MAX_EARLIER

OPERATOR = "operator"
"""Who chooses by hand."""

CALIBRATE = "calibrate"
"""Who chooses by votes."""


def first_choice(group: str, now: datetime) -> PanelChoice:
    """What holds while nothing was chosen: each process serves what it was started with."""
    return PanelChoice(group=group, chosen_at=now, chosen_by=OPERATOR)


def serve(
    last: PanelChoice, version: PanelVersion, now: datetime, *, by: str = OPERATOR, why: str | None = None
) -> PanelChoice:
    """Another panel serves; a canary ends.

    Args:
        last: what holds.
        version: to serve.
        now: when, with its zone.
        by: who chooses.
        why: for people.
    """
    earlier = last.earlier
    if version != last.serving:
        earlier = (last.serving, *(one for one in earlier if one not in (last.serving, version)))[:MAX_EARLIER]
    return _after(last, now, by, why, serving=version, canary=None, earlier=earlier)


def try_out(
    last: PanelChoice, version: PanelVersion, share: float, now: datetime, *, why: str | None = None
) -> PanelChoice:
    """A panel answers a share of the battles, beside the one that serves on.

    Args:
        last: what holds.
        version: to try out.
        share: of battles, above 0 and below 1.
        now: when, with its zone.
        why: for people.

    Raises:
        UsageError: it is the panel that serves.
    """
    if version == last.serving:
        raise UsageError(f"{version} serves already; try out another panel")
    return _after(
        last, now, OPERATOR, why, canary=Canary(panel=version.panel, calibration=version.calibration, share=share)
    )


def recalibrate(last: PanelChoice, calibration: dict[str, Any], now: datetime, *, why: str) -> PanelChoice:
    """The judges that serve are calibrated anew; a canary goes on.

    Args:
        last: what holds.
        calibration: as `prefstream calibrate` writes it.
        now: when, with its zone.
        why: for people.
    """
    version = PanelVersion(panel=last.serving.panel, calibration=calibration)
    chosen = serve(last, version, now, by=CALIBRATE, why=why)
    goes_on = last.canary is not None and last.canary.version != version
    return chosen.model_copy(update={"canary": last.canary if goes_on else None})


def roll_back(last: PanelChoice, now: datetime, *, why: str | None = None) -> PanelChoice:
    """The canary ends, where there is one; else what served before serves again.

    Args:
        last: what holds.
        now: when, with its zone.
        why: for people.

    Raises:
        UsageError: nothing served before.
    """
    if last.canary is not None:
        return _after(last, now, OPERATOR, why, canary=None)
    if not last.earlier:
        raise UsageError(f"nothing to go back to: {last.serving} is the first that was chosen for group {last.group}")
    return _after(last, now, OPERATOR, why, serving=last.earlier[0], earlier=last.earlier[1:])


def pin(last: PanelChoice, now: datetime, *, pinned: bool) -> PanelChoice:
    """From now on nothing but a person changes what answers; or calibration may, again.

    Args:
        last: what holds.
        now: when, with its zone.
        pinned: which of both.
    """
    return _after(last, now, OPERATOR, last.why, pinned=pinned)


def _after(last: PanelChoice, now: datetime, by: str, why: str | None, **changed: object) -> PanelChoice:
    return last.model_copy(update={"chosen_at": now, "chosen_by": by, "why": why, **changed})
