"""Which panel answers: a hash of all that decides what it says, so that answers can be told apart, and put together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from prefstream.schemas import PanelIdentity
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import Judge, decided_by_judge
from prefstream.scoring.version import own_version

CALIBRATION_DIGITS: Final = 12
"""Of the SHA-256 of a calibration file: enough to tell one operator's files apart, short enough to be read out."""


def decided_by_panel(
    *,
    swap: bool,
    calibration: Calibration,
    length_slope: float | None = None,
    recuse: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, object]:
    """All that decides what a panel makes of its judges' answers, beside their weights.

    Args:
        swap: whether both orders of each battle are read.
        calibration: of the mean.
        length_slope: that `adjusted` goes without; None where there is no `adjusted`.
        recuse: by judge, the patterns that it is recused by, whose order and case decide nothing.
    """
    decides: dict[str, object] = {"swap": swap, "calibration": calibration.model_dump(mode="json")}
    # What a panel does not have is not in its hash, which is then what it was before there was any.
    if length_slope:
        decides["length_slope"] = length_slope
    if recuse:
        decides["recuse"] = {name: sorted({glob.casefold() for glob in globs}) for name, globs in recuse.items()}
    return decides


def identify(
    judges: Sequence[Judge],
    weights: Mapping[str, float],
    decided: Mapping[str, object],
    *,
    calibration_version: str | None,
) -> PanelIdentity:
    """The identity of a panel.

    The hash is over the judges in their order, each one's name, weight, provenance and settings (its calibration among
    them), over swap, over the panel's own calibration and length slope, and over who is recused from what. Devices, the
    sizes of batches and prefstream's version are not in it: they move last bits, and who runs the panel would call it
    the same.

    Args:
        judges: in the panel's order, which decides the order of sums.
        weights: of the judges, by name.
        decided: `decided_by_panel`.
        calibration_version: of the file that the panel's calibration came from; None without one.
    """
    stated = [{**decided_by_judge(judge), "weight": weights[judge.name]} for judge in judges]
    canonical = json.dumps({"judges": stated, **decided}, sort_keys=True, separators=(",", ":"))
    return PanelIdentity(
        hash=hashlib.sha256(canonical.encode()).hexdigest(), calibration=calibration_version, version=own_version()
    )


def version_of(calibration: CalibrationFile) -> str:
    """The version of a calibration: the first digits of the SHA-256 of its file, as `prefstream calibrate` writes it.

    Args:
        calibration: read from a file, or made in code; spaces and the order of keys in a file don't matter.
    """
    return hashlib.sha256(calibration.encode()).hexdigest()[:CALIBRATION_DIGITS]
