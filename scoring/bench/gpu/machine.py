"""What a report is about: cards, driver, libraries, and the attention that each judge gets."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import torch

from prefstream.scoring.bench.gpu.report import Findings
from prefstream.scoring.bench.request import Request
from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.judges.devices import explain_attention, place_judges, quantization_for
from prefstream.scoring.loading.sources import local_folder, public_name
from prefstream.scoring.loading.tokenizer import load_config

_LIBRARIES: Final = (
    *("torch", "triton", "transformers", "tokenizers", "peft", "accelerate", "safetensors", "bitsandbytes"),
    *("flash-attn", "kernels", "numpy"),
)

_DRIVER: Final = Path("/proc/driver/nvidia/version")


def machine(request: Request) -> Findings:
    """Ask the libraries what there is."""
    cards = [card(index) for index in range(torch.cuda.device_count())]
    driver = driver_version(_DRIVER.read_text(encoding="utf-8")) if _DRIVER.exists() else None
    libraries = {name: _version(name) for name in _LIBRARIES}
    judges = _judges(request)
    figures = {
        "cards": cards,
        "driver": driver,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]  # torch's has no types
        "libraries": libraries,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "judges": judges,
    }
    said = [f"{name} {libraries[name] or 'not installed'}" for name in ("torch", "transformers", "bitsandbytes")]
    told = (
        *(
            f"{one['name']}, {one['memory_bytes'] / 2**30:.1f} GiB ({one['free_bytes'] / 2**30:.1f} free), compute "
            f"capability {one['capability']}"
            for one in cards
        ),
        ", ".join([f"driver {driver or 'unknown'}", f"CUDA {torch.version.cuda or 'none'}", *said]),
        *(f"{name}: {one['dtype']}, {one['attention']}: {one['why']}" for name, one in judges.items()),
    )
    return Findings(figures, told)


def card(index: int) -> dict[str, Any]:
    """What CUDA says of a card.

    Args:
        index: of it.
    """
    found = torch.cuda.get_device_properties(index)
    free, _ = torch.cuda.mem_get_info(index)
    with torch.cuda.device(index):
        computes_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    return {
        "name": found.name,
        "memory_bytes": found.total_memory,
        "free_bytes": free,
        "capability": f"{found.major}.{found.minor}",
        "multiprocessors": found.multi_processor_count,
        "bfloat16": computes_bfloat16,
    }


def driver_version(text: str) -> str | None:
    """NVIDIA's driver, out of what its kernel module says of itself.

    Args:
        text: contents of /proc/driver/nvidia/version.
    """
    found = re.search(r"Kernel Module(?: for \S+)?\s+(\d[\d.]*)", text)
    return found and found[1]


def _judges(request: Request) -> dict[str, dict[str, str]]:
    placements = place_judges(request.judges)
    found = {}
    for judge in request.judges:
        config = load_config(local_folder(judge.base, judge.revision), len(LABELS[judge.kind]))
        attention, why = explain_attention(judge, config, placements[judge.name])
        found[judge.name] = {
            "base": public_name(judge.base),
            "architecture": config.model_type,
            "dtype": str(placements[judge.name].dtype).removeprefix("torch."),
            "quantization": quantization_for(judge, config, placements[judge.name]),
            "attention": attention,
            "why": why,
        }
    return found


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
