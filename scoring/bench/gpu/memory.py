"""Memory that runs out: every battle is answered all the same, by smaller passes, which grow again afterwards."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, Final

import numpy as np
import torch

from prefstream.schemas import Battle
from prefstream.scoring.bench.gpu.report import Findings, SkippedError
from prefstream.scoring.bench.gpu.subjects import Gap, device_of, loaded
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.request import Request
from prefstream.scoring.bench.throughput import filler
from prefstream.scoring.config import CUDA_MICRO_BATCH_TOKENS, ModelJudgeConfig
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.memory.budgets import memory_of

_SEQUENCES: Final = 8
"""Of full length, that a pass has at least: it can be halved three times."""

_ROOM: Final = 1 / 3
"""Of what a full pass takes: one of all tokens and one of half of them fail, one of a quarter fits."""

_PATIENCE_S: Final = 60.0
"""For the budget to grow back: some 200 passes, for which a slow card with a large judge needs longer."""


def memory(request: Request) -> Findings:
    """Give the panel's first judge less of the card than its passes take.

    Raises:
        SkippedError: it is on a CPU.
    """
    config = request.judges[0]
    placement = place_judges([config])[config.name]
    if placement.device.type != "cuda":
        raise SkippedError("only a card's memory can be capped")
    tokens = max(CUDA_MICRO_BATCH_TOKENS, _SEQUENCES * config.max_length)
    config = config.model_copy(update={"micro_batch_tokens": tokens})
    with loaded(config) as judge:
        taken = _taken(judge)
        counted = memory_of(config, placement, judge.model_config, tokens=tokens).one_pass
        found = starve(judge, long_battles(config), room_for(device_of(judge), _ROOM * taken), patience_s=_PATIENCE_S)
    told = (f"a pass took {taken / 2**20:,.0f} MiB; counted before it was run: {counted / 2**20:,.0f}", *found.told)
    return Findings({"pass_bytes": taken, "counted_bytes": counted, **found.figures}, told, found.faults)


def starve(
    judge: ModelJudge, battles: list[Battle], room: AbstractContextManager[None], *, patience_s: float
) -> Findings:
    """Score battles with room and without, and with room again until passes are as large as before.

    Args:
        judge: whose passes are as large as they get.
        battles: that fill more than a pass.
        room: while it is entered, a full pass fails.
        patience_s: for the budget to grow back.
    """
    batch, budget = judge.encode(battles), judge.budget_tokens
    before = judge.score(batch).probabilities
    with room:
        scores = judge.score(batch)
        halved = judge.budget_tokens
    started, passes = time.perf_counter(), 0
    while judge.budget_tokens < budget and time.perf_counter() - started < patience_s:
        judge.warm_up()
        passes += 1
    gap = Gap.between(before, scores.probabilities)
    faults = []
    if scores.too_large:
        faults.append(f"{len(scores.too_large)} of {len(battles)} battles got no answer")
    if not np.isfinite(scores.probabilities).all():
        faults.append("an answer is no number")
    if halved == budget:
        faults.append("no pass failed although there was no room: the cap did not hold, so nothing was tried")
    elif judge.budget_tokens == halved:
        faults.append(f"the budget of {halved} tokens did not grow in {passes} passes")
    figures: dict[str, Any] = {
        "battles": len(battles),
        "answered": len(battles) - len(scores.too_large),
        "budget_tokens": budget,
        "halved_to_tokens": halved,
        "grown_to_tokens": judge.budget_tokens,
        "passes_until_grown": passes,
        "gap": asdict(gap),
    }
    told = (
        f"{figures['answered']} of {len(battles)} battles answered, answers moved by {gap}",
        f"budget {budget} -> {halved} -> {judge.budget_tokens} tokens, after {passes} passes with room",
    )
    return Findings(figures, told, tuple(faults))


def long_battles(config: ModelJudgeConfig) -> list[Battle]:
    """As many as fill two passes or more, each as long as a judge reads, no two alike.

    Args:
        config: of the judge; its `micro_batch_tokens` is a number.
    """
    words = random.Random(0)  # noqa: S311 - text to measure with, not a secret
    count = 2 * int(config.micro_batch_tokens or 0) // config.max_length
    return [
        Battle(
            id=f"long-{number}",
            prompt=(filler(words, config.max_length),),
            response_a=(filler(words, config.max_length),),
            response_b=(filler(words, config.max_length),),
        )
        for number in range(count)
    ]


@contextmanager
def room_for(device: torch.device, more_bytes: float) -> Iterator[None]:
    """Let this process have no more of a card's memory than it uses now, and so much.

    What PyTorch holds and does not use would be room, too, so it is given back first.

    Args:
        device: the card.
        more_bytes: of room.

    Raises:
        BenchError: another program has the card's memory.
    """
    gc.collect()
    torch.cuda.synchronize(device)
    torch.cuda.empty_cache()
    if torch.cuda.mem_get_info(device)[0] < more_bytes:
        raise BenchError(f"another program has the memory of {device}; let this one be alone on it")
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + more_bytes) / total, device)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, device)


def _taken(judge: ModelJudge) -> int:
    """What a full pass takes beside what is there before it, bytes; the judge is warm."""
    device = device_of(judge)
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    judge.warm_up()
    torch.cuda.synchronize(device)
    return int(torch.cuda.max_memory_allocated(device)) - before
