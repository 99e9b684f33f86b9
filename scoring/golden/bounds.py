"""How far answers may be from those that are known, where the same bits can't be asked for.

That is on another device, with other versions of libraries, or in other micro-batches. Each bound lies above what was
seen to move answers that are right, and as far as it can below what broken weights do. `python -m tests.golden`
measures both on the demo's two judges that read. Mean absolute differences, over 12 battles on a CPU with
AVX-512's bfloat16 and VNNI:

                                            float32          bfloat16        int8-dynamic
    each sequence alone                     3e-8 to 8e-8     8e-5, 1.3e-4    0, 1.3e-4
    three threads                           0, 3.5e-8        0               0
    an older processor's instructions       8e-8, 1.5e-7     .001, .003      .003, .007
    signs of one layer turned               .03 to .16       .03 to .17      .03 to .16
    an eighth of one layer lost             .011, .013       .011, .014      .011, .013
    one weight is half as large again       7e-6, 5e-5       .001, .002      .0015, .003

So bounds see a layer that is broken, and what is small only in float32; to the bit all of these faults were seen.
"""

from __future__ import annotations

from typing import Final

from prefstream.schemas import Provenance

_BY_DTYPE: Final = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 2e-2}
"""float32: as for other micro-batches anywhere, where 7e-6 was seen; seventy times what the demo's judges move by.
bfloat16: twice the largest mean that was seen of any judge (.01, the same battles in other batches). float16, which
was not measured, has three bits more: a quarter of it, where an eighth would follow."""

_QUANTISED: Final = 2e-2
"""Gates in 8 bits on a CPU: three times the .007 above. 8 bits by bitsandbytes, which looks for outliers over a whole
batch: the same battles in other batches moved by .011. 4 bits were not measured."""

_COUNTED: Final = 1e-6
"""Priors and features, in float64 and float32: libraries round the last bit of a logarithm in their own ways."""

_SERVED: Final = 2e-2
"""A server's dtype is not known here: as bfloat16."""

LARGEST: Final = 10.0
"""Times the bound of the mean that any single probability may be off: in one pass of many, a fault moves no mean. What
was seen to move right answers moved the largest by 3 to 17 times their mean, and that mean is far below its bound."""


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
