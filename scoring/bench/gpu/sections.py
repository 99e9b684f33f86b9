"""The sections of a report by name, and what becomes of one that breaks off."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from prefstream.scoring.bench.gpu.agreement import agreement
from prefstream.scoring.bench.gpu.machine import machine
from prefstream.scoring.bench.gpu.memory import memory
from prefstream.scoring.bench.gpu.quantised import quantised
from prefstream.scoring.bench.gpu.report import Findings, Section, SectionName, SkippedError
from prefstream.scoring.bench.gpu.speed import loops, speed
from prefstream.scoring.bench.gpu.threads import threads
from prefstream.scoring.bench.request import Request

_FRAMES: Final = 12
"""Of an error's calls, the innermost."""

_REASON_CHARS: Final = 400

_SECTIONS: Final[dict[SectionName, Callable[[Request], Findings]]] = {
    SectionName.MACHINE: machine,
    SectionName.AGREEMENT: agreement,
    SectionName.THREADS: threads,
    SectionName.IN_8_BITS: partial(quantised, "8bit"),
    SectionName.IN_4_BITS: partial(quantised, "4bit"),
    SectionName.MEMORY: memory,
    SectionName.SPEED: speed,
    SectionName.LOOPS: loops,
}


def carry_out(name: str, request: Request) -> Section:
    """Run one section; what goes wrong in it is its answer.

    Args:
        name: of the section.
        request: the panel, its judges on the device, and battles.
    """
    try:
        found = _SECTIONS[SectionName(name)](request)
    except SkippedError as skipped:
        return Section(name, "skipped", str(skipped))
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes into the report and the others run
        return Section(name, "failed", _one_line(error), where=_where(error))
    reason = "; ".join(found.faults) or None
    return Section(name, "failed" if reason else "passed", reason, figures=found.figures, told=found.told)


def _one_line(error: Exception) -> str:
    lines = str(error).split("\n")
    return f"{type(error).__name__}: {lines[0][:_REASON_CHARS]}"


def _where(error: Exception) -> tuple[str, ...]:
    """Files by their names alone: where they lie says who ran this."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return tuple(f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames)
