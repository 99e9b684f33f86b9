"""Checks of what is on this machine: settings, versions, processor, memory, ports."""

from __future__ import annotations

import importlib.util
import os
import platform
import sys
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

import psutil
from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, Problem, fail, judged, ok, warn
from prefstream.consumer.errors import HttpPortInUseError, UsageError
from prefstream.consumer.observe.health import HealthServer, HealthState
from prefstream.scoring.runtime import MALLOC_SETTINGS, OFF_SWITCH, cpu_computes_bfloat16, describe, usable_cores

OLDEST_PYTHON: Final = (3, 11)

PACKAGES: Final = ("kafka-python", "pydantic", "torch", "transformers", "peft", "safetensors")
"""The packages whose versions decide how streaming and scoring behave."""

JUDGES_PACKAGES: Final = frozenset({"torch", "transformers", "peft", "safetensors"})
"""Those of them that a panel of priors does without."""

HTTP_TIMEOUT_S: Final = 1.0
"""A service on this machine answers in milliseconds."""

GIB: Final = 1024**3


def check_configuration(config: StreamConfig, origins: Mapping[str, str], unused: Sequence[str] = ()) -> Finding:
    """The settings that differ from the defaults, where each comes from, and what has no effect.

    Args:
        config: the settings.
        origins: where a setting was found, for those that were given.
        unused: what was given and has no effect.
    """
    given = [
        f"{name} = {'(secret)' if isinstance(value, SecretStr) else value} ({origins[name]})"
        for name in type(config).model_fields
        if name in origins and (value := getattr(config, name)) is not None
    ]
    problems = [Problem("warn", note, "remove what has no effect, or mend what it was meant for") for note in unused]
    return judged("configuration", "\n".join(given) or "all defaults", problems)


def check_versions() -> Finding:
    """Python and the packages that matter."""
    problems = []
    if sys.version_info < OLDEST_PYTHON:
        problems.append(Problem("fail", "too old", "use Python 3.11 or newer"))
    found = [f"Python {platform.python_version()}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            if package in JUDGES_PACKAGES:
                found.append(f"no {package}")
                continue
            problems.append(Problem("fail", f"{package} is missing", "install prefstream again with pip"))
    if importlib.util.find_spec("crc32c") is None:
        problems.append(
            Problem("warn", "crc32c is missing: Kafka runs ten times slower", "pip install 'kafka-python[crc32c]'")
        )
    return judged("versions", ", ".join(found), problems)


def check_process() -> Finding:
    """The settings of this process that decide how fast it scores; `run` has the same."""
    found = "\n".join(f"{name}: {setting}" for name, setting in describe().items())
    switched_off = os.environ.get(OFF_SWITCH, "0") not in {"", "0"}
    if switched_off and not any(name in os.environ for name in MALLOC_SETTINGS):
        return warn("process", found, f"a forward pass takes 1.3 times as long; unset {OFF_SWITCH}")
    return ok("process", found)


def check_devices(*, with_torch: bool) -> Finding:
    """Processor, memory and CUDA cards.

    Args:
        with_torch: whether to ask torch about cards, which takes seconds; a panel of priors needs none.
    """
    arithmetic = "bfloat16" if cpu_computes_bfloat16() else "no bfloat16: judges compute in float32, at half the speed"
    memory = f"{available_bytes() / GIB:.1f} GiB of {total_bytes() / GIB:.1f} GiB memory free"
    found = [f"CPU: {usable_cores()} cores, {arithmetic}, {memory}"]
    if with_torch:
        found += _cards() or ["no CUDA device"]
    return ok("devices", "\n".join(found))


def _cards() -> list[str]:
    import torch

    cards = []
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        with torch.cuda.device(index):
            arithmetic = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no bfloat16"
        cards.append(
            f"cuda:{index}: {torch.cuda.get_device_name(index)}, {arithmetic}, {free / GIB:.1f} GiB of "
            f"{total / GIB:.1f} GiB free"
        )
    return cards


def available_bytes() -> int:
    """Memory that this process can still take, a container's limit included."""
    free = psutil.virtual_memory().available
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    return free if limit is None else max(0, min(free, limit - (used or 0)))


def total_bytes() -> int:
    """Memory of the machine, or of the container."""
    total = psutil.virtual_memory().total
    limit = _cgroup("memory.max")
    return total if limit is None else min(total, limit)


def _cgroup(name: str) -> int | None:
    with suppress(OSError, ValueError):
        return int(Path("/sys/fs/cgroup", name).read_text(encoding="ascii"))
    return None  # no control groups, or "max"


def check_http_port(config: StreamConfig) -> Finding:
    """Whether the port of metrics and health is free, or a running service already has it."""
    check = "HTTP port"
    if not config.http:
        return ok(check, "off")
    if config.http_port == 0:
        return ok(check, f"any free port on {config.http_host}")
    try:
        HealthServer(HealthState(), CollectorRegistry(), host=config.http_host, port=config.http_port).stop()
    except HttpPortInUseError as error:
        if _is_ours(config.http_host, config.http_port):
            found = f"{config.http_host}:{config.http_port} is served by a prefstream that is running"
            return warn(check, found, "nothing if that is the service; a second one needs another --http-port")
        return fail(check, str(error), "")
    except UsageError as error:
        return fail(check, str(error), "")
    return ok(check, f"{config.http_host}:{config.http_port} is free")


def _is_ours(host: str, port: int) -> bool:
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not listened on
    address = f"[{reachable}]" if ":" in reachable else reachable
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{address}:{port}/", timeout=HTTP_TIMEOUT_S) as answer:
            return bool(answer.headers.get("Server", "").startswith("prefstream"))
    except (OSError, ValueError):
        return False
