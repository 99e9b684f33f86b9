"""A model read from a GGUF file is what transformers reads from it, in every byte of every file."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from prefstream.scoring.demo.gguf_file import GgufFile
from prefstream.scoring.demo.gguf_model import read_model, read_tokenizer
from prefstream.scoring.errors import LoadError
from tests.support.gguf_files import write_tiny_gemma, write_tiny_llama

WRITERS = pytest.mark.parametrize("write", [write_tiny_llama, write_tiny_gemma])

Write = Callable[..., Path]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@WRITERS
@pytest.mark.parametrize("packing", ["F32", "F16", "BF16", "Q4_1", "Q5_0", "Q8_0"])
def test_model_and_configuration_are_as_transformers_reads_them(tmp_path: Path, write: Write, packing: str) -> None:
    import torch
    from transformers import AutoModelForCausalLM, GgufConfig

    path = write(tmp_path / "tiny.gguf", packing=gguf.GGMLQuantizationType[packing])
    read_model(GgufFile.open(path)).save_pretrained(tmp_path / "ours")
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file=path.name, dtype=torch.bfloat16, quantization_config=GgufConfig(dequantize=True)
    )
    theirs.save_pretrained(tmp_path / "theirs")
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")


@WRITERS
def test_the_tokenizer_is_as_transformers_reads_it(tmp_path: Path, write: Write) -> None:
    """But for SmolLM2's digits, which transformers does not split."""
    from transformers import AutoTokenizer

    path = write(tmp_path / "tiny.gguf", pre="default")
    read_tokenizer(GgufFile.open(path)).save_pretrained(tmp_path / "ours")
    AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name).save_pretrained(tmp_path / "theirs")
    assert contents(tmp_path / "ours") == contents(tmp_path / "theirs")


@WRITERS
def test_the_header_tells_what_gguf_reads(tmp_path: Path, write: Write) -> None:
    path = write(tmp_path / "tiny.gguf")
    file, reader = GgufFile.open(path), gguf.GGUFReader(path)
    assert [(one.name, one.offset) for one in file.tensors] == [(one.name, one.data_offset) for one in reader.tensors]
    texts = {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}
    lengths = {key: len(value) if isinstance(value, list) else value for key, value in texts.items()}
    assert file.metadata == pytest.approx(lengths)


def test_a_tensor_larger_than_what_is_unpacked_at_once_is_whole(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(700, 1024)).astype(np.float32)
    writer = gguf.GGUFWriter(tmp_path / "large.gguf", "llama")
    writer.add_tensor(
        "large", gguf.quantize(values, gguf.GGMLQuantizationType.Q4_1), raw_dtype=gguf.GGMLQuantizationType.Q4_1
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    [(name, unpacked)] = GgufFile.open(tmp_path / "large.gguf").unpacked()
    [expected] = gguf.GGUFReader(tmp_path / "large.gguf").tensors
    assert name == "large"
    np.testing.assert_array_equal(unpacked, gguf.dequantize(expected.data, expected.tensor_type))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a model" * 100,
        b"GGUF" + struct.pack("<IQQ", 1, 0, 0),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 9),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q1sI", 1, b"k", 99),
        b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60),
    ],
    ids=["empty", "garbage", "another version", "cut off", "a type that is none", "a text without end"],
)
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "garbage.gguf"
    path.write_bytes(data)
    with pytest.raises(LoadError, match=r"^garbage\.gguf is no GGUF file: "):
        GgufFile.open(path)


def test_a_file_without_all_of_its_model_is_refused(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "tiny.gguf", leave_out="blk.0.ffn_up")
    with pytest.raises(LoadError, match=r"1 tensors .* model\.layers\.0\.mlp\.up_proj\.weight among them"):
        read_model(GgufFile.open(path))


def test_values_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write_tiny_llama(tmp_path / "tiny.gguf", scale=float("inf"))
    with pytest.raises(LoadError, match="not finite"):
        read_model(GgufFile.open(path))
