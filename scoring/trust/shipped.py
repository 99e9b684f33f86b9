"""The figures that a panel was shipped with, and how far it is from them now."""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import ValidationError

from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.evaluation.results import Evaluation
from prefstream.scoring.trust.results import AgainstShipped, Quality, Shipped


def read_shipped(path: Path) -> Shipped:
    """Read what `prefstream evaluate --json` wrote of the panel.

    The board sees preferences, which hold no figures: only whoever deploys a panel can say what it was shipped with.

    Args:
        path: the file.

    Raises:
        FileError: it can't be read, or is something else.
    """
    try:
        found = Evaluation.model_validate_json(path.read_bytes())
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; it should be what `prefstream evaluate --json` writes") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise FileError(
            f"{path}: {where}: {first['msg']}; it should be what `prefstream evaluate --json` writes of the panel"
        ) from None
    panel = found.panel
    biases = {bias.name: bias.excess_mass for bias in found.length}
    return Shipped(
        file=found.evaluated.file,
        version=found.evaluated.version,
        battles=found.battles,
        log_loss=panel.log_loss,
        accuracy=panel.accuracy,
        calibration_error=panel.calibration_error,
        calibration_error_by_chance=panel.calibration_error_by_chance,
        longer_excess=biases.get(panel.name),
    )


def against_shipped(now: Quality, then: Shipped) -> AgainstShipped:
    """Now minus then, of two samples that have nothing in common.

    Args:
        now: by votes.
        then: as shipped.
    """
    return AgainstShipped(
        log_loss=independent_difference(now.log_loss, then.log_loss),
        accuracy=independent_difference(now.accuracy, then.accuracy),
        calibration_error=independent_difference(now.calibration_error, then.calibration_error),
    )


def independent_difference(one: Estimate, other: Estimate) -> Estimate:
    """`one` minus `other` with the interval that follows from theirs, where both are of samples of their own.

    By the variances that the intervals' halves stand for (Zou and Donner 2008, "MOVER"): an interval need not be
    symmetric, as those of a bootstrap are not.
    """
    if one.value is None or other.value is None:
        return Estimate(value=None, low=None, high=None)
    value = one.value - other.value
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return Estimate(value=value, low=None, high=None)
    below = math.hypot(one.value - one.low, other.high - other.value)
    above = math.hypot(one.high - one.value, other.value - other.low)
    return Estimate(value=value, low=value - below, high=value + above)
