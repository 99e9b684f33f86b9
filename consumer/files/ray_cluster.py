"""A Ray cluster to work on: one that is there, or one of this machine for as long as it is needed.

Nothing is sent to Ray's makers, no dashboard is started, and its lines stay in its own logs: standard output may be
where the rows go. What a user has set in the environment holds, but for the first.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from prefstream.consumer.errors import StreamError, UsageError
from prefstream.schemas import PrefstreamError
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.extras import explained, require

ENGINE: Final = "prefstream score --engine ray"

_LOCAL: Final = "local"
"""Starts a cluster of one's own although another one may run on this machine."""

_REACHED_WITHIN_S: Final = 10.0

_SKIPPED_LINES: Final = "RAY_DEDUP_LOGS_SKIP_REGEX"
"""Lines about workers that end come on the driver's standard output, but for those that fit this."""


@dataclass(frozen=True, slots=True)
class WorkerNeeds:
    """What one worker takes of a node.

    Attributes:
        cpus: cores, fractions allowed.
        gpus: likewise; above 1 whole ones.
    """

    cpus: float = 1.0
    gpus: float = 0.0

    def __str__(self) -> str:
        """For people."""
        return f"{self.cpus:g} CPU and {self.gpus:g} GPU" if self.gpus else f"{self.cpus:g} CPU"


@contextmanager
def connected(address: str | None, local_cpus: int) -> Iterator[Any]:
    """Ray, connected to a cluster.

    One that this process is connected to already is taken, and left as it is.

    Args:
        address: of the cluster; None is that of RAY_ADDRESS; where that is not set, either, it is `local`: one is
            started on this machine, which ends with the context or with this process.
        local_cpus: cores of the latter.

    Raises:
        MissingExtraError: Ray is not installed.
        StreamError: the cluster can't be reached, or has other versions of Python and Ray.
    """
    require(ENGINE, "ray")
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault(_SKIPPED_LINES, "^")
    with explained(ENGINE, "ray"):
        import ray
    if ray.is_initialized():
        yield ray
        return
    address = address or os.environ.get("RAY_ADDRESS") or _LOCAL
    own = {"num_cpus": local_cpus, "include_dashboard": False} if address == _LOCAL else {}
    try:
        with _signals_kept():
            _init(ray, address, own)
        yield ray
    finally:
        with _signals_kept():
            for number in _SIGNALS if _hears_signals() else ():
                signal.signal(number, signal.SIG_IGN)  # it takes two seconds, and half of it leaves processes behind
            ray.shutdown()


def _init(ray: Any, address: str, own: dict[str, Any]) -> None:
    host, _, port = address.rpartition("://")[2].rpartition(":")
    try:
        if host and port.isdigit():
            # Ray itself would go on for a quarter of an hour, with a line on standard error every few seconds.
            socket.create_connection((host.strip("[]"), int(port)), _REACHED_WITHIN_S).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:  # Ray raises plain ones, too; they tell of addresses and versions
        told = " ".join(str(error).split())
        raise StreamError(f"can't use the Ray cluster at {address}: {told}") from error


_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def _hears_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Whoever handles signals does so afterwards, too: Ray takes SIGTERM for itself."""
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        if _hears_signals():
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def translated(ray: Any) -> Iterator[None]:
    """Errors of Ray as errors of ours; what a worker raised of ours comes as it was.

    Raises:
        PrefstreamError: a worker raised it.
        StreamError: workers died, or the cluster is gone.
    """
    try:
        yield
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, PrefstreamError):
            raise error.cause from None
        # Its own text may hold anything.
        raise StreamError(f"a worker failed by a {type(error.cause).__name__}; Ray's logs have its traceback") from None
    except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
        raise StreamError(
            "a worker died again and again over the same rows: out of memory? Fewer --workers leave each more; the "
            f"logs of its node say why ({type(error).__name__})"
        ) from None
    except ray.exceptions.RayError as error:
        raise StreamError(f"the Ray cluster failed: {type(error).__name__}; its logs say why") from None


def room(ray: Any, needs: WorkerNeeds) -> int:
    """How many workers the nodes of the cluster have room for, each node by itself."""
    return sum(
        min(int(there.get(name, 0.0) / wanted) for name, wanted in (("CPU", needs.cpus), ("GPU", needs.gpus)) if wanted)
        for there in (node["Resources"] for node in ray.nodes() if node["Alive"])
    )


def gpus_of(config: PanelConfig, ray: Any) -> float:
    """GPUs of a worker, by the devices of the panel's judges: as many as it names, and one for each `auto`.

    Args:
        config: the panel.
        ray: connected; where its nodes have fewer, judges with `auto` share those, or take the CPU.

    Returns:
        A whole number.
    """
    devices = _devices(config)
    named = {_index(device) for device in devices if device.startswith("cuda")}
    most = max((node["Resources"].get("GPU", 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
    return float(max(len(named), min(int(most), len(named) + devices.count("auto"))))


def placed(config: PanelConfig, gpus: float) -> PanelConfig:
    """A panel for a worker, which sees its own cards alone: they count from 0 there, whatever the panel calls them.

    Raises:
        UsageError: judges name cards, and a worker gets none.
    """
    named = sorted({_index(device) for device in _devices(config) if device.startswith("cuda")})
    if not named:
        return config
    if not gpus:
        raise UsageError("judges of the panel name CUDA cards, and a worker gets none: --worker-gpus says how many")
    cards = max(1, int(gpus))

    def here(device: str) -> str:
        return f"cuda:{named.index(_index(device)) % cards}" if device.startswith("cuda") else device

    def moved(judge: ModelJudgeConfig) -> ModelJudgeConfig:
        if isinstance(judge.device, str):
            return judge.model_copy(update={"device": here(judge.device)})
        # Replicas that would share a card are one.
        return judge.model_copy(update={"device": tuple(dict.fromkeys(map(here, judge.device)))})

    judges = tuple(moved(judge) if isinstance(judge, ModelJudgeConfig) else judge for judge in config.judges)
    return config.model_copy(update={"judges": judges})


def _devices(config: PanelConfig) -> list[str]:
    return [
        device
        for judge in config.judges
        if isinstance(judge, ModelJudgeConfig)
        for device in ((judge.device,) if isinstance(judge.device, str) else judge.device)
    ]


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)
