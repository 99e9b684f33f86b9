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
    from prefstream.scoring.loading.memory.serving import JudgeMemory

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
        judges: of the panel, once for each replica.
        placements: by name.
        inspections: by name, of those whose files are here.
    """
    by_device: dict[torch.device, list[ModelJudgeConfig]] = {}
    for judge in judges:
        if judge.name in inspections:
            by_device.setdefault(placements[judge.name].device, []).append(judge)
    if not by_device:
        return skipped("memory", "no judge's size is known")
    found, problems = [], []
    for device, there in by_device.items():
        free, total = _memory(device)
        allowance = CUDA_BYTES if device.type == "cuda" else 0
        parts, budgets = _memory_of(there, placements, inspections, free - allowance)
        need = sum(part.total for part in parts.values()) + allowance
        listed = ", ".join(
            f"{name} {part.weights / GIB:.1f} and {part.one_pass / GIB:.1f} a pass"
            + (f" of {budgets[name]} tokens (auto)" if name in budgets else "")
            for name, part in parts.items()
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


def _memory_of(
    judges: Sequence[ModelJudgeConfig],
    placements: Mapping[str, Placement],
    inspections: Mapping[str, Inspection],
    room: int,
) -> tuple[dict[str, JudgeMemory], dict[str, int]]:
    """What each judge of a device takes, and the budgets that `run` would find for those that leave theirs open."""
    from prefstream.scoring.loading.memory.budgets import Reader, fit_budgets, memory_of

    def take(judge: ModelJudgeConfig, tokens: int) -> JudgeMemory:
        inspection = inspections[judge.name]
        return memory_of(
            judge,
            placements[judge.name],
            inspection.config,
            tokens=tokens,
            adapter_weights=inspection.adapter_weights,
        )

    parts = {judge.name: take(judge, placements[judge.name].micro_batch_tokens) for judge in judges}
    readers = [Reader.of(judge, placements[judge.name], inspections[judge.name].config) for judge in judges]
    budgets: dict[str, int] = {}
    if any(reader.open for reader in readers):
        budgets = fit_budgets(readers, room - sum(part.weights for part in parts.values()))
        parts |= {judge.name: take(judge, budgets[judge.name]) for judge in judges if judge.name in budgets}
    return parts, budgets


def _memory(device: torch.device) -> tuple[int, int]:
    if device.type == "cuda":
        import torch

        free, total = torch.cuda.mem_get_info(device)
        return int(free), int(total)
    return available_bytes(), total_bytes()
