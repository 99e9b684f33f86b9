"""Whether the judges of each device fit into its memory, without loading their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prefstream.consumer.doctor.finding import Finding, Problem, judged, skipped
from prefstream.consumer.doctor.machine import GIB, available_bytes, total_bytes
from prefstream.scoring.config import ModelJudgeConfig

if TYPE_CHECKING:
    import torch

    from prefstream.scoring.judges.devices import Placement
    from prefstream.scoring.loading.memory import JudgeMemory

CUDA_BYTES: Final = 600 * 1024**2
"""Of each card that is used: CUDA's context and the work spaces of its libraries. An allowance, not measured."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the files of a judge say.

    Attributes:
        described: for people: architecture, size, adapter, layout.
        config: transformers' own, of the base and the layers that the judge has of it.
        adapter_weights: how many the adapter has.
    """

    described: str
    config: Any
    adapter_weights: int


def check_memory(
    judges: Sequence[ModelJudgeConfig], placements: Mapping[str, Placement], inspections: Mapping[str, Inspection]
) -> Finding:
    """Whether the judges of each device fit into its memory: all of their weights, and a pass of each at a time.

    Args:
        judges: of the panel.
        placements: by name.
        inspections: by name, of those whose files are here.
    """
    takes: dict[torch.device, dict[str, JudgeMemory]] = {}
    for judge in judges:
        if inspection := inspections.get(judge.name):
            placement = placements[judge.name]
            takes.setdefault(placement.device, {})[judge.name] = _memory_of(judge, placement, inspection)
    if not takes:
        return skipped("memory", "no judge's size is known")
    found, problems = [], []
    for device, parts in takes.items():
        need = sum(part.total for part in parts.values()) + (CUDA_BYTES if device.type == "cuda" else 0)
        free, total = _memory(device)
        listed = ", ".join(
            f"{name} {part.weights / GIB:.1f} and {part.one_pass / GIB:.1f} a pass" for name, part in parts.items()
        )
        found.append(
            f"{device}: judges need about {need / GIB:.1f} GiB ({listed}); {free / GIB:.1f} of {total / GIB:.1f} "
            "are free"
        )
        if need > total:
            remedy = "quantise (8bit, 4bit), lower micro_batch_tokens, or move a judge to another device"
            problems.append(Problem("fail", f"too much for {device}", remedy))
        elif need > free:
            remedy = f"end what else uses {device} (a running service, perhaps), or quantise"
            problems.append(Problem("warn", f"more than is free on {device} now", remedy))
    return judged("memory", "\n".join(found), problems)


def _memory_of(judge: ModelJudgeConfig, placement: Placement, inspection: Inspection) -> JudgeMemory:
    from prefstream.scoring.judges.devices import attention_for
    from prefstream.scoring.loading.memory import judge_memory

    return judge_memory(
        inspection.config,
        attention=attention_for(judge, inspection.config, placement),
        dtype=placement.dtype,
        quantization=judge.quantization,
        micro_batch_tokens=placement.micro_batch_tokens,
        max_length=judge.max_length,
        adapter_weights=0 if judge.merges else inspection.adapter_weights,
    )


def _memory(device: torch.device) -> tuple[int, int]:
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        return int(free), int(total)
    return available_bytes(), total_bytes()
