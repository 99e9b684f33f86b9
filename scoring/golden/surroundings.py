"""What moves the last bits of a judge's answers, and nothing else: where it computes, and by which versions.

The threads of a judge on a CPU are among it, although they seldom do: of the demo's two judges, in bfloat16, in 8 bits
and in float32, with 1, 2, 3, 4, 8 and 16 threads, one gave other bits once (float32, 3 threads, by 1.5e-7).
"""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from prefstream.schemas import Provenance
from prefstream.scoring.judges.judge import Judge
from prefstream.scoring.runtime import processor
from prefstream.scoring.version import own_version

if TYPE_CHECKING:
    from prefstream.scoring.judges.forward import Forward

_OF_WEIGHTS: Final = ("torch", "transformers", "peft")
_OF_FEATURES: Final = ("scipy",)


def of_panel() -> dict[str, str]:
    """Of what is computed by the panel itself, and of all that runs in this process."""
    return {
        "prefstream": own_version(),
        "python": ".".join(platform.python_version_tuple()[:2]),
        "processor": processor(),
        **_versions(["numpy"]),
    }


def of_judge(judge: Judge) -> dict[str, str]:
    """Of a judge alone.

    Args:
        judge: loaded.
    """
    provenance = judge.provenance
    if provenance.engine is not None:
        return {"engine": provenance.engine}
    if provenance.kind == "features":
        return _versions(_OF_FEATURES)
    if "torch" not in sys.modules:  # whoever has weights has loaded them with it
        return {}
    from prefstream.scoring.judges.model import LocalJudge

    if not isinstance(judge, LocalJudge):
        return {}
    kinds = [_kind(forward) for forward in judge.forwards]
    return {"device": ", ".join(kinds), **_versions([*_OF_WEIGHTS, *_others(provenance)])}


def _kind(forward: Forward) -> str:
    """Which kind of device a model is on; of a card by its name: two of one name compute alike."""
    import torch

    device = torch.device(forward.device)
    if device.type != "cuda":
        threads = forward.threads or torch.get_num_threads()
        return f"{device.type} with {threads} thread{'s' if threads > 1 else ''}"
    return f"{torch.cuda.get_device_name(device)} with CUDA {torch.version.cuda}"


def _others(provenance: Provenance) -> Iterable[str]:
    if provenance.quantization in {"8bit", "4bit"}:
        yield "bitsandbytes"
    if provenance.attention == "flash_attention_2":
        yield "flash-attn"


def _versions(packages: Iterable[str]) -> dict[str, str]:
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
