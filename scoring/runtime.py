"""Process settings that make scoring fast, applied without the user doing anything.

glibc hands big buffers back to the kernel and faults them in again on every forward pass; told not to, it makes a
pass 1.3 times faster (measured). It reads its settings when the process starts, so the process starts again once,
with them in its environment. Everything else takes effect when torch and the tokenizers are first imported.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

OFF_SWITCH: Final = "PREFSTREAM_NO_REEXEC"
"""Set to anything but 0 to keep the process as it was started."""

_MARKER: Final = "PREFSTREAM_REEXECUTED"

MALLOC_SETTINGS: Final = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",  # the largest that glibc takes: buffers up to 32 MiB stay in the heap
    "MALLOC_TRIM_THRESHOLD_": "8000000000",  # in effect never give the top of the heap back
    "MALLOC_TOP_PAD_": "268435456",  # grow the heap in few large steps
}

_OTHER_ALLOCATORS: Final = ("jemalloc", "tcmalloc", "mimalloc")

_CUDA_ALLOCATOR: Final = "PYTORCH_ALLOC_CONF"
"""How torch allocates memory on a card; it reads this when it is imported."""

_CUDA_ALLOCATORS: Final = (_CUDA_ALLOCATOR, "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
"""The names that torch knows it by; the others are older."""

_SHOWN: Final = ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "TOKENIZERS_PARALLELISM", _CUDA_ALLOCATOR)

_OF_PRODUCTS: Final = re.compile(r"fma|avx|amx|asimd|bf16|i8mm|sve")
"""How the names of a processor's extensions begin that compute with vectors and tiles."""

_QUIET: Final = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "BITSANDBYTES_NOWELCOME": "1",
}


def ensure_fast_process(before_restart: Callable[[], None] = lambda: None) -> None:
    """Apply the settings; does not return where the process has to start again.

    To be called first thing in `main`, before threads are started or torch is imported. What the user has set in
    the environment is left alone.

    Args:
        before_restart: called just before the process starts again.
    """
    for name, setting in _in_process_settings().items():
        os.environ.setdefault(name, setting)
    if why_not_reexecuted(os.environ) is None:
        sys.stdout.flush()
        sys.stderr.flush()
        environment = {**os.environ, **MALLOC_SETTINGS, _MARKER: "1"}
        before_restart()
        # Our own interpreter with our own arguments.
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606


def give_back_memory() -> None:
    """Give freed memory back to the system, which these settings keep for the next pass: for after a panel was closed.

    Ten milliseconds where two small judges are gone. Other allocators than glibc's are left alone.
    """
    if platform.libc_ver()[0] == "glibc" and not _has_other_allocator(os.environ):
        ctypes.CDLL(None).malloc_trim(0)


def why_not_reexecuted(environment: Mapping[str, str]) -> str | None:
    """Why the process should go on as it is, or None if it should start again."""
    reasons = {
        "it has the settings already": _MARKER in environment,
        f"{OFF_SWITCH} is set": environment.get(OFF_SWITCH, "0") not in {"", "0"},
        "the C library is not glibc": platform.libc_ver()[0] != "glibc",
        "the environment sets malloc": any(name in environment for name in MALLOC_SETTINGS)
        or "glibc.malloc" in environment.get("GLIBC_TUNABLES", ""),
        "another allocator is preloaded": _has_other_allocator(environment),
        "torch is imported already": "torch" in sys.modules,
        "the program is read from standard input": not sys.executable or sys.argv[0] in {"", "-"},
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def describe() -> dict[str, str]:
    """The settings in use, for people: name to value. Imports no torch."""
    malloc = " ".join(f"{name}={os.environ[name]}" for name in MALLOC_SETTINGS if name in os.environ)
    reason = why_not_reexecuted(os.environ)
    return {
        "malloc": malloc or f"the C library's defaults ({reason or 'the process was not started by prefstream'})",
        "cpu": f"{usable_cores()} usable cores, bfloat16 instructions: {_bfloat16_flag() or 'none'}",
        **{name: os.environ.get(name, "not set") for name in _SHOWN},
    }


def cpu_computes_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 matrices itself; elsewhere float32 is faster."""
    return _bfloat16_flag() is not None


def cpu_computes_int8() -> bool:
    """Whether the processor adds up products of 8-bit integers in 32 bits; elsewhere they are slow, or overflow."""
    return _cpu_flag("amx_int8", "avx512_vnni", "avx_vnni") is not None


def processor() -> str:
    """The processor's name and those of its extensions that products of matrices are computed with.

    A virtual machine may hide extensions of the same processor, and libraries then compute in another order.
    """
    text = _cpu_info()
    names = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    flags = sorted(flag for flag in _cpu_flags(text) if _OF_PRODUCTS.match(flag))
    return " ".join([next(names, "") or platform.machine(), *flags])


def is_first_process() -> bool:
    """Whether this is the only process, or the first of those that a launcher such as accelerate started."""
    return os.environ.get("RANK", "0") == "0"


def process_count() -> int:
    """How many processes a launcher such as accelerate started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def usable_cores() -> int:
    """Cores that this process may use, a container's CPU quota included."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _cgroup_quota(Path("/sys/fs/cgroup"))
    return max(1, min(cores, math.ceil(quota))) if quota else cores


def _has_other_allocator(environment: Mapping[str, str]) -> bool:
    return any(allocator in environment.get("LD_PRELOAD", "") for allocator in _OTHER_ALLOCATORS)


def _in_process_settings() -> dict[str, str]:
    cores = usable_cores()
    settings = {
        **_QUIET,
        # On two cores the judges need both; tokenising runs beside them.
        "TOKENIZERS_PARALLELISM": "true" if cores > 2 else "false",
    }
    if "OMP_WAIT_POLICY" not in os.environ:
        # Threads that wait for the next matrix product spin for milliseconds, on cores that the stream's own threads
        # and other processes need: on a busy machine a forward pass took 2 to 3 times as long (measured). A few tens
        # of microseconds bridge the gap between two products.
        settings["GOMP_SPINCOUNT"] = "10000"
    if not any(name in os.environ for name in _CUDA_ALLOCATORS):
        # Passes have ever other sizes: in segments of fixed size, what is free lies in pieces too small for the next.
        settings[_CUDA_ALLOCATOR] = "expandable_segments:True"
    if cores < (os.cpu_count() or 1):
        # torch counts the machine's cores, not the container's: too many threads would wait for one another.
        settings["OMP_NUM_THREADS"] = str(cores)
    return settings


def _bfloat16_flag() -> str | None:
    """Name of the processor's bfloat16 extension, None if it has none or can't be asked."""
    return _cpu_flag("amx_bf16", "avx512_bf16", "bf16")


def _cpu_flag(*names: str) -> str | None:
    """The first of some extensions that the processor has, None if it has none of them or can't be asked."""
    flags = _cpu_flags(_cpu_info())
    return next((flag for flag in names if flag in flags), None)


def _cpu_info() -> str:
    """What Linux says of the processor; nothing where it can't be asked."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu_flags(text: str) -> set[str]:
    return {flag for line in text.splitlines() if line.startswith(("flags", "Features")) for flag in line.split()}


def _cgroup_quota(root: Path) -> float | None:
    """CPUs that the control group may use, fractions included; None without a limit."""
    try:
        quota, period = (root / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            quota = (root / "cpu/cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (root / "cpu/cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            return None
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None  # "max" in version 2, -1 in version 1
    return int(quota) / int(period)
