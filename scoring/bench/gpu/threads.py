"""Two judges at once, each in its thread, against one after the other: on one card, and on two where there are two."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import torch

from prefstream.scoring.bench.gpu.report import Findings
from prefstream.scoring.bench.gpu.subjects import device_of
from prefstream.scoring.bench.process import Stopwatch
from prefstream.scoring.bench.request import Request
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.judge import JudgeBatch
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.panel.load import warm_up
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.panel.threads import wait_for
from prefstream.scoring.probabilities import Triples

_MOST: Final = 1e-6
"""The same passes by the same kernels: each judge has a stream of its own, and no other's numbers."""


def threads(request: Request) -> Findings:
    """Let the panel's first two judges read at once, or its only one and another like it."""
    pair = [*request.judges, *request.judges][:2]
    pair = [judge.model_copy(update={"name": f"{judge.name}-{place}"}) for place, judge in enumerate(pair, start=1)]
    ways = {"one device": pair}
    if str(pair[0].device).startswith("cuda") and torch.cuda.device_count() > 1:
        device = torch.device(str(pair[0].device))
        other = next(card for card in range(torch.cuda.device_count()) if card != (device.index or 0))
        ways["two devices"] = [pair[0], pair[1].model_copy(update={"device": f"cuda:{other}"})]
    figures, told, faults = {}, [], []
    for way, judges in ways.items():
        found = figures[way] = _compare(judges, request)
        told.append(
            f"{way}: together {found['ratio']:.2f} times as fast as one after the other "
            f"({found['together_s']:.2f} s against {found['one_after_the_other_s']:.2f})"
        )
        if found["apart"] > _MOST:
            faults.append(f"{way}: answers together differ from those alone by up to {found['apart']:.1e}")
    return Findings(figures, tuple(told), tuple(faults))


def _compare(configs: Sequence[ModelJudgeConfig], request: Request) -> dict[str, Any]:
    placements = place_judges(configs)
    with ExitStack() as stack:
        judges: list[ModelJudge] = []
        for config in configs:
            judges.append(load_judge(config, placements[config.name]))
            stack.callback(judges[-1].close)
        on_cards = [judge for judge in judges if device_of(judge).type == "cuda"]
        for judge in on_cards:
            judge.warm_up()  # or what a device makes at first use would count against one after the other
        parts = [[judge.encode(battles) for battles in request.batches] for judge in judges]
        with Stopwatch() as one_after_the_other:
            alone = [_score(judge, read) for judge, read in zip(judges, parts, strict=True)]
        panel = stack.enter_context(Panel(judges))
        warm_up(panel, on_cards)  # again: some of it is made for each thread
        with Stopwatch() as together:
            running = [
                (judge, panel.submit(judge, functools.partial(_score, judge, read)))
                for judge, read in zip(judges, parts, strict=True)
            ]
            at_once = [wait_for(judge, future) for judge, future in running]
    return {
        "judges": {judge.name: f"{judge.provenance.dtype}, {judge.provenance.device}" for judge in judges},
        "one_after_the_other_s": one_after_the_other.seconds,
        "together_s": together.seconds,
        "ratio": one_after_the_other.seconds / together.seconds,
        "apart": max(float(np.abs(one - other).max()) for one, other in zip(alone, at_once, strict=True)),
    }


def _score(judge: ModelJudge, parts: Sequence[JudgeBatch]) -> Triples:
    return np.concatenate([judge.score(part).probabilities for part in parts])
