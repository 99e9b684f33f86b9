"""What 8 and 4 bits cost in answers, and what they do to speed and memory."""

from __future__ import annotations

from dataclasses import asdict
from typing import Final

from prefstream.scoring.bench.gpu.report import Findings, SkippedError
from prefstream.scoring.bench.gpu.subjects import DoesNotFitError, Gap, TimedReading, read_alone, unquantised
from prefstream.scoring.bench.request import Request
from prefstream.scoring.config import Quantization
from prefstream.scoring.extras import is_installed

_MEAN: Final = 0.1
"""What moves probabilities by a tenth on average is no rounding that anybody would serve with."""


def quantised(quantization: Quantization, request: Request) -> Findings:
    """Read the same battles in 16 bits and quantised.

    Args:
        quantization: to how many bits.
        request: what to read; quantised or not in the panel, each judge is read both ways.

    Raises:
        SkippedError: bitsandbytes is not installed, or no judge fits on the device without being quantised.
    """
    if not is_installed("bitsandbytes"):
        raise SkippedError("bitsandbytes is not installed: pip install 'prefstream[judges]'")
    figures, told, faults = {}, [], []
    for judge in request.judges:
        try:
            plain = read_alone(unquantised(judge, dtype="auto"), request.batches)
            rounded = read_alone(unquantised(judge, dtype="auto", quantization=quantization), request.batches)
        except DoesNotFitError as error:
            told.append(f"{judge.name}: not tried: {error}")
            continue
        gap = Gap.between(plain.probabilities, rounded.probabilities)
        figures[judge.name] = {"gap": asdict(gap), "none": _figures(plain), quantization: _figures(rounded)}
        told.append(
            f"{judge.name}: {gap}; {rounded.tokens_per_s:,.0f} tokens/s against {plain.tokens_per_s:,.0f} in "
            f"{plain.dtype}"
        )
        if gap.mean > _MEAN:
            faults.append(f"{judge.name}: in {quantization} answers are others: {gap}")
    if not figures:
        raise SkippedError("; ".join(told))
    return Findings({"judges": figures}, tuple(told), tuple(faults))


def _figures(reading: TimedReading) -> dict[str, object]:
    return {
        "settings": reading.settings,
        "tokens_per_s": reading.tokens_per_s,
        "scoring_s": reading.scoring_s,
        "peak_bytes": reading.peak_bytes,
    }
