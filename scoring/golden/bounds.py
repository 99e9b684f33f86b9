"""How far answers may be from those that are known, where the same bits can't be asked for.

That is on another device, with other versions of libraries, or in other micro-batches. Of each number stands here
where it comes from: measured by `python -m tests.golden`, on the demo's judges, each moved in ways that no fault is
(other micro-batches, threads, instructions of the processor), and in ways that one is.
"""

from __future__ import annotations

from typing import Final

from prefstream.schemas import Provenance

_BY_DTYPE: Final = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 2e-2}

_QUANTISED: Final = 2e-2

_COUNTED: Final = 1e-6

_SERVED: Final = 2e-2

LARGEST: Final = 10.0
"""Times the bound of the mean that any single probability may be off: in one pass of many, a fault moves no mean."""


def bound_of(provenance: Provenance) -> float:
    """Mean absolute difference of a judge's probabilities, over all battles and outcomes, at most.

    Args:
        provenance: of the judge.
    """
    if provenance.engine is not None:
        return _SERVED
    if provenance.quantization not in {None, "none"}:
        return _QUANTISED
    return _BY_DTYPE.get(provenance.dtype or "", _COUNTED)
