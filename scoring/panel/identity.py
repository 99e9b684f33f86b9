"""Which panel answers: a hash of all that decides what it says, so that answers can be told apart, and put together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from prefstream.schemas import PanelIdentity
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import Judge
from prefstream.scoring.version import own_version

CALIBRATION_DIGITS: Final = 12
"""Of the SHA-256 of a calibration file: enough to tell one operator's files apart, short enough to be read out."""

NOT_DECIDING: Final = frozenset({"device", "base", "revision", "adapter", "adapter_revision", "trained"})
"""Of a judge's provenance, what does not decide its answers. The device: the same judge on another card gives other
last bits, but it is the same panel, be it on one machine or on ten. The rest: names of what the hashes tell exactly."""


def identify(
    judges: Sequence[Judge],
    weights: Mapping[str, float],
    *,
    swap: bool,
    calibration: Calibration,
    calibration_version: str | None,
    length_slope: float | None = None,
    recuse: Mapping[str, Sequence[str]] | None = None,
) -> PanelIdentity:
    """The identity of a panel.

    The hash is over the judges in their order, each one's name, weight, provenance and settings (its calibration among
    them), over swap, over the panel's own calibration and length slope, and over who is recused from what. Devices, the
    sizes of batches and prefstream's version are not in it: they move last bits, and who runs the panel would call it
    the same.

    Args:
        judges: in the panel's order, which decides the order of sums.
        weights: of the judges, by name.
        swap: whether both orders of each battle are read.
        calibration: of the mean.
        calibration_version: of the file that the panel's calibration came from; None without one.
        length_slope: that `adjusted` goes without; None where there is no `adjusted`.
        recuse: by judge, the patterns that it is recused by, whose order and case decide nothing.
    """
    decides: dict[str, object] = {
        "judges": [
            {
                "name": judge.name,
                "weight": weights[judge.name],
                "provenance": judge.provenance.model_dump(mode="json", exclude_none=True, exclude=set(NOT_DECIDING)),
                "settings": judge.settings,
            }
            for judge in judges
        ],
        "swap": swap,
        "calibration": calibration.model_dump(mode="json"),
    }
    # What a panel does not have is not in its hash, which is then what it was before there was any.
    if length_slope:
        decides["length_slope"] = length_slope
    if recuse:
        decides["recuse"] = {name: sorted({glob.casefold() for glob in globs}) for name, globs in recuse.items()}
    canonical = json.dumps(decides, sort_keys=True, separators=(",", ":"))
    return PanelIdentity(
        hash=hashlib.sha256(canonical.encode()).hexdigest(), calibration=calibration_version, version=own_version()
    )


def version_of(calibration: CalibrationFile) -> str:
    """The version of a calibration: the first digits of the SHA-256 of its file, as `prefstream calibrate` writes it.

    Args:
        calibration: read from a file, or made in code; spaces and the order of keys in a file don't matter.
    """
    return hashlib.sha256(calibration.encode()).hexdigest()[:CALIBRATION_DIGITS]
