"""Process settings: applied once, never against the user's will."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from prefstream.scoring import runtime

PRINT_AFTER = """
import os, sys
from prefstream.scoring.runtime import ensure_fast_process
print("start", os.getpid(), flush=True)
ensure_fast_process()
settings = [os.environ.get(name) for name in ("MALLOC_TOP_PAD_", "HF_HUB_DISABLE_TELEMETRY")]
print(*settings, sys.argv[1:], "torch" in sys.modules)
"""

FREED = """
import os, sys
from prefstream.scoring.runtime import ensure_fast_process, give_back_memory
ensure_fast_process()
def resident() -> int:
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20
begun = resident()
blocks = [bytearray(b"x" * (1 << 20)) for _ in range(200)]
kept = bytearray(1 << 20)
del blocks
before = resident()
give_back_memory()
print(begun, before, resident())
"""

IS_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep its memory")


def run_program(tmp_path: Path, text: str = PRINT_AFTER, **environment: str) -> list[str]:
    program = tmp_path / "program.py"
    program.write_text(text)
    ours = {*runtime.MALLOC_SETTINGS, runtime.OFF_SWITCH, "PREFSTREAM_REEXECUTED", "HF_HUB_DISABLE_TELEMETRY"}
    clean = {name: value for name, value in os.environ.items() if name not in ours}
    root = str(Path(runtime.__file__).parents[1])
    result = subprocess.run(
        [sys.executable, str(program), "a", "b c"],
        env={**clean, "PYTHONPATH": root, **environment},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


@IS_GLIBC
def test_the_process_starts_again_once_with_its_arguments(tmp_path: Path) -> None:
    first, second, settings = run_program(tmp_path)
    assert first == second  # the same process, so that whoever supervises it notices nothing
    assert settings == "268435456 1 ['a', 'b c'] False"


def test_it_can_be_switched_off(tmp_path: Path) -> None:
    _, settings = run_program(tmp_path, PREFSTREAM_NO_REEXEC="1")
    assert settings.startswith("None 1 ['a', 'b c']")


@IS_GLIBC
def test_what_the_user_set_is_left_alone(tmp_path: Path) -> None:
    _, settings = run_program(tmp_path, MALLOC_TOP_PAD_="1", HF_HUB_DISABLE_TELEMETRY="0")
    assert settings.startswith("1 0 ['a', 'b c']")


@IS_GLIBC
@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({"LD_PRELOAD": "/usr/lib/libjemalloc.so.2"}, "another allocator is preloaded"),
        ({"GLIBC_TUNABLES": "glibc.malloc.arena_max=1"}, "the environment sets malloc"),
        ({"PREFSTREAM_NO_REEXEC": "1"}, "PREFSTREAM_NO_REEXEC is set"),
        ({"PREFSTREAM_REEXECUTED": "1"}, "it has the settings already"),
    ],
)
def test_reasons_to_go_on_as_it_is(environment: dict[str, str], reason: str) -> None:
    assert runtime.why_not_reexecuted(environment) == reason


def test_a_container_quota_is_read_from_version_2_and_1(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two/cpu.max").write_text("150000 100000\n")
    (tmp_path / "one/cpu").mkdir(parents=True)
    (tmp_path / "one/cpu/cpu.cfs_quota_us").write_text("200000\n")
    (tmp_path / "one/cpu/cpu.cfs_period_us").write_text("100000\n")
    assert runtime._cgroup_quota(tmp_path / "two") == 1.5
    assert runtime._cgroup_quota(tmp_path / "one") == 2.0


@pytest.mark.parametrize("content", ["max 100000", "-1 100000", "", "1 0"])
def test_no_quota_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "cpu.max").write_text(content)
    assert runtime._cgroup_quota(tmp_path) is None


def test_a_quota_bounds_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "_cgroup_quota", lambda _: 0.5)
    assert runtime.usable_cores() == 1


def test_cores_are_shared_out_by_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "usable_cores", lambda: 3)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert runtime._in_process_settings()["OMP_NUM_THREADS"] == "3"


CUDA_ALLOCATORS = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")


def test_memory_on_a_card_comes_in_segments_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CUDA_ALLOCATORS:
        monkeypatch.delenv(name, raising=False)
    assert runtime._in_process_settings()["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"


@pytest.mark.parametrize("value", ["", "max_split_size_mb:64"])
@pytest.mark.parametrize("name", CUDA_ALLOCATORS)
def test_an_allocator_that_the_user_set_by_any_name_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    for other in CUDA_ALLOCATORS:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, value)
    assert "PYTORCH_ALLOC_CONF" not in runtime._in_process_settings()


def test_importing_the_library_sets_nothing(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in CUDA_ALLOCATORS}
    code = f"import os, prefstream, prefstream.scoring.runtime; assert not {set(CUDA_ALLOCATORS)} & os.environ.keys()"
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=tmp_path, check=True, timeout=200)


def test_the_description_is_text_and_imports_no_torch() -> None:
    code = (
        "import sys; from prefstream.scoring.runtime import describe; "
        "print(describe()); assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    assert "usable cores" in result.stdout


@IS_GLIBC
def test_what_was_freed_is_given_back_when_asked(tmp_path: Path) -> None:
    [figures] = run_program(tmp_path, FREED)
    begun, freed, given_back = map(int, figures.split())
    assert freed > begun + 150
    assert given_back < begun + 50
