"""What the samples tell of an 8-bit judge's columns is found once, and a judge with it is the same to the last bit."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from prefstream.scoring.demo.model_cache import CACHE_VARIABLE
from prefstream.scoring.loading.int8 import UNUSED_S
from tests.support.loaded_judges import NEEDS_INT8, load, own_cache, probabilities
from tests.support.models import Family, make_tiny_judge, one_torch_thread

pytestmark = NEEDS_INT8

FINDS = "prefstream.scoring.loading.int8.smoothing"


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_cache(tmp_path, monkeypatch)


@pytest.fixture
def entry(tmp_path: Path) -> dict[str, Any]:
    return tiny(tmp_path)


def tiny(tmp_path: Path, family: Family = "gemma3") -> dict[str, Any]:
    return make_tiny_judge(tmp_path, family, name="q", hidden_size=64, dtype="bfloat16", quantization="int8-dynamic")


def kept(cache: Path) -> list[Path]:
    return sorted(path for path in cache.rglob("*") if path.is_file())


def fail(*_: object, **__: object) -> None:
    raise AssertionError("the samples were read again")


@pytest.mark.parametrize("family", ["llama", "gemma2", "gemma3"])
def test_a_judge_that_is_loaded_again_reads_no_samples_and_is_the_same_to_the_last_bit(
    tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = tiny(tmp_path, family)
    first = load(entry)
    monkeypatch.setattr(FINDS, fail)
    again = load(entry)
    assert np.array_equal(probabilities(again), probabilities(first))
    assert again.provenance == first.provenance


@pytest.mark.parametrize("content", [b"", b"cut off", None], ids=["empty", "cut off", "a bit turned over"])
def test_what_is_damaged_is_found_anew(entry: dict[str, Any], cache: Path, content: bytes | None) -> None:
    first = load(entry)
    [path] = kept(cache)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]) if content is None else content)
    assert np.array_equal(probabilities(load(entry)), probabilities(first))
    assert path.read_bytes() == whole


def test_where_nothing_can_be_kept_it_is_found_each_time(entry: dict[str, Any], cache: Path) -> None:
    cache.write_bytes(b"no folder")
    first = load(entry)
    assert np.array_equal(probabilities(load(entry)), probabilities(first))
    assert cache.read_bytes() == b"no folder"


def test_without_a_home_nothing_is_kept_and_no_folder_made(
    entry: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.chdir(there)
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: Path("~/.cache/prefstream"))
    load(entry)
    assert list(there.iterdir()) == []


def test_each_of_what_decides_it_is_told_apart(entry: dict[str, Any], cache: Path, tmp_path: Path) -> None:
    load(entry)
    load(entry, dtype="float32")
    other = shutil.copytree(entry["adapter"], tmp_path / "other")
    from safetensors.torch import load_file, save_file

    weights = load_file(other / "adapter_model.safetensors")
    save_file({name: weight * 1.5 for name, weight in weights.items()}, other / "adapter_model.safetensors")
    load(entry, adapter=str(other))
    assert len(kept(cache)) == 3


def leave_unused(path: Path, seconds: float) -> None:
    """As if nobody had read it for so long."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_nobody_has_read_for_long_goes_when_something_else_is_kept(entry: dict[str, Any], cache: Path) -> None:
    load(entry)
    [gone] = kept(cache)
    draft, foreign = gone.with_name(f"{'0' * 64}.tmp"), gone.with_name("notes.txt")
    for path in (draft, foreign):
        path.write_bytes(b"cut off")
    for path in (gone, draft, foreign):
        leave_unused(path, UNUSED_S + 60)
    load(entry, dtype="float32")
    [one, other] = kept(cache)
    assert foreign in (one, other)
    assert not gone.exists()


def test_what_is_read_now_and_then_stays(entry: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load(entry)
    [path] = kept(cache)
    leave_unused(path, UNUSED_S + 60)
    with monkeypatch.context() as patched:
        patched.setattr(FINDS, fail)
        load(entry)
    load(entry, dtype="float32")
    assert path in kept(cache)


def test_many_that_load_at_once_leave_one_file_that_is_whole(
    entry: dict[str, Any], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prefstream.scoring.loading.int8 import _keep, _kept

    load(entry)
    [path] = kept(cache)
    exponents = _kept(path, 2, 64)
    assert exponents is not None

    def keep_and_look(_: int) -> list[torch.Tensor] | None:
        _keep(path, exponents, "q")
        return _kept(path, 2, 64)

    with ThreadPoolExecutor(8) as pool:
        seen = list(pool.map(keep_and_look, range(64)))
    assert all(torch.equal(torch.stack(one), torch.stack(exponents)) for one in seen if one is not None)
    monkeypatch.setattr(FINDS, fail)
    load(entry)
