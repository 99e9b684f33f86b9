"""Whether judges say on a card what they say on the CPU, and the same at every time."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from prefstream.scoring.bench.gpu.report import Findings, SkippedError
from prefstream.scoring.bench.gpu.subjects import DoesNotFitError, Gap, loaded, on_cpu, read, read_alone, unquantised
from prefstream.scoring.bench.request import Request
from prefstream.scoring.config import ModelJudgeConfig

_BATTLES: Final = 16
"""Of real lengths: enough for a mean, few enough for a large model on the CPU."""

_FLOAT32_MOST: Final = 1e-3
"""Sums of float32 in another order: on one device 7e-6 was seen, between two there are other kernels."""

_HALF_MEAN: Final = 0.02
"""In 16 bits: twice what was seen on CPUs between one composition of passes and another (.01)."""


def agreement(request: Request) -> Findings:
    """Read the same battles on the CPU and on the device, in float32 and in 16 bits.

    Raises:
        SkippedError: no judge fits on the device without being quantised.
    """
    figures: dict[str, dict[str, Any]] = {}
    told, faults = [], []
    batches = [request.battles[:_BATTLES]]
    for judge in request.judges:
        try:
            found = figures[judge.name] = _agreement(judge, batches)
        except DoesNotFitError as error:
            told.append(f"{judge.name}: not tried: {error}")
            continue
        float32, half = Gap(**found["float32"]), Gap(**found["half_against_cpu_float32"])
        told.append(f"{judge.name}: float32 against the CPU's {float32}; {found['half']} against it {half}")
        if float32.most > _FLOAT32_MOST:
            faults.append(f"{judge.name}: in float32 answers differ from the CPU's by {float32}")
        if half.mean > _HALF_MEAN:
            faults.append(f"{judge.name}: in {found['half']} answers differ from the CPU's in float32 by {half}")
        if not found["repeatable"]:
            faults.append(f"{judge.name}: the same batch got other answers the second time")
    if not figures:
        raise SkippedError("; ".join(told))
    return Findings({"battles": len(batches[0]), "judges": figures}, tuple(told), tuple(faults))


def _agreement(judge: ModelJudgeConfig, batches: list[Any]) -> dict[str, Any]:
    # A kernel that the panel names may not know float32.
    float32 = read_alone(unquantised(judge, dtype="float32", attention="auto"), batches)
    with loaded(unquantised(judge, dtype="auto")) as on_device:
        half, again = read(on_device, batches), read(on_device, batches)
    cpu_float32 = read_alone(on_cpu(judge, dtype="float32"), batches)
    cpu_half = read_alone(on_cpu(judge, dtype=half.dtype), batches)
    return {
        "half": half.dtype,
        "settings": half.settings,
        "float32": asdict(Gap.between(float32.probabilities, cpu_float32.probabilities)),
        "half_against_cpu_float32": asdict(Gap.between(half.probabilities, cpu_float32.probabilities)),
        "half_against_cpu_half": asdict(Gap.between(half.probabilities, cpu_half.probabilities)),
        "repeatable": half.probabilities.tobytes() == again.probabilities.tobytes(),
    }
