"""One run over everything that only a card can show, each section caught on its own.

The figures are of this machine at this moment; what is called a fault is wrong on any.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from prefstream.scoring.bench.gpu.report import CardReport, Section, SectionName
from prefstream.scoring.bench.process import BenchError, run_worker
from prefstream.scoring.bench.request import Request, models, reading_alone
from prefstream.scoring.bench.throughput import DEFAULT_BATCH_BATTLES, bench_battles
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError, LoadError
from prefstream.scoring.loading.sources import local_folder

_WORKER: Final = "prefstream.scoring.bench.gpu.worker"

_TIMEOUT_S: Final = 3600.0
"""Of a section. A large judge in float32 on the CPU takes minutes; what takes an hour hangs."""


def check_card(
    config: PanelConfig,
    *,
    device: str,
    battles: int,
    only: Collection[SectionName] = (),
    say: Callable[[str], None],
    done: Callable[[Section], None] = lambda _: None,
) -> CardReport:
    """Run the sections, one after the other.

    Args:
        config: the panel whose judges are tried; of its judges those that read, without swap.
        device: on which all of them are put, whatever the panel says.
        battles: of real lengths, for speed.
        only: these sections; all where none is named.
        say: told what is being run, a line at a time.
        done: told each section when it is over.

    Raises:
        ConfigError: no judge has a base model.
        LoadError: the device is not there, or a model can't be had.
    """
    require_device(device)
    if not models(config):
        raise ConfigError("bench gpu", ("no judge has a base model, so there is nothing to try on a card",))
    config = on_device(config, device)
    for judge in models(config):
        # Here, where it is seen: the sections' processes would fetch them unseen.
        local_folder(judge.base, judge.revision, say=say)
        if judge.adapter:
            local_folder(judge.adapter, judge.adapter_revision, say=say)
    made_at = datetime.now(UTC)
    names = [name for name in SectionName if not only or name in only]
    sections = []
    with tempfile.TemporaryDirectory(prefix="prefstream-bench-") as folder:
        request = Request(config, tuple(bench_battles(battles)), DEFAULT_BATCH_BATTLES, Path(folder))
        for place, name in enumerate(names, start=1):
            say(f"section {place} of {len(names)}: {name}")
            sections.append(_run(name, request))
            done(sections[-1])
    return CardReport(device, battles, made_at, tuple(sections))


def on_device(config: PanelConfig, device: str) -> PanelConfig:
    """A panel's judges that read, all on one device, in one order.

    Args:
        config: of a panel with at least one such judge.
        device: such as cuda:0.
    """
    alone = reading_alone(config)
    judges = tuple(judge.model_copy(update={"device": device}) for judge in models(alone))
    return alone.model_copy(update={"judges": judges, "swap": False})


def require_device(device: str) -> None:
    """Refuse a device that is not there, before anything is fetched or started.

    Args:
        device: cpu, or a card's name.

    Raises:
        LoadError: saying what to do.
    """
    import torch

    if device == "cpu":
        return
    instead = "--device cpu tries the run itself, without a card"
    if torch.version.cuda is None:
        raise LoadError(
            f"bench gpu: PyTorch {torch.__version__} was built without CUDA; install the build for your driver "
            f"(https://pytorch.org/get-started/locally), or {instead}"
        )
    cards = torch.cuda.device_count()
    if not cards or not torch.cuda.is_available():
        raise LoadError(
            f"bench gpu: PyTorch finds no CUDA device; `nvidia-smi` must list one, with a driver for CUDA "
            f"{torch.version.cuda}, or {instead}"
        )
    index = torch.device(device).index or 0
    if index >= cards:
        raise LoadError(f"bench gpu: there is no {device}; there are cuda:0 to cuda:{cards - 1}, or {instead}")


def _run(name: SectionName, request: Request) -> Section:
    started = time.perf_counter()
    try:
        fields: dict[str, Any] = run_worker(_WORKER, name, request.write(), timeout_s=_TIMEOUT_S)
        found = Section(**{**fields, "told": tuple(fields["told"]), "where": tuple(fields["where"])})
    except BenchError as error:  # the process died, or hung
        found = Section(name, "failed", str(error))
    return replace(found, seconds=time.perf_counter() - started)
