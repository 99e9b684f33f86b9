"""The header of a GGUF file, read without its vocabulary, and its tensors, unpacked a megabyte at a time.

`gguf.GGUFReader` makes several objects of each of a vocabulary's 262,144 tokens, which takes longer than unpacking the
weights. What unpacks a block is gguf's own.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.errors import LoadError

Value: TypeAlias = str | int | float | bool
"""Of metadata; an array is told by its length alone."""

_CHUNK_ELEMENTS: Final = 1 << 18
"""Unpacked at once: a megabyte of float32, so that what is computed on the way stays in the processor's cache."""

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = (2, 3)
"""1 counted in 32 bits; nobody writes it any more."""

_NUMBERS: Final = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""Types of numbers, as `struct` calls them."""

_TEXT: Final = 8
_ARRAY: Final = 9
_ALIGNMENT: Final = 32
"""Of tensors, where the file names no other."""


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Where a tensor lies in the file.

    Attributes:
        name: as llama.cpp calls it.
        shape: slowest dimension first.
        ggml_type: how it is packed.
        offset: in the file, in bytes.
    """

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    offset: int


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A GGUF file's header.

    Attributes:
        path: of the file.
        metadata: by key.
        tensors: in the order of the file.
    """

    path: Path
    metadata: dict[str, Value]
    tensors: tuple[GgufTensor, ...]

    @classmethod
    def open(cls, path: Path) -> GgufFile:
        """Read the header.

        Raises:
            LoadError: it is no GGUF file, or one of another version.
        """
        try:
            with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Header(data).read(path)
        except (struct.error, ValueError, UnicodeDecodeError) as error:
            raise LoadError(f"{path.name} is no GGUF file: {error}") from None

    @property
    def architecture(self) -> str:
        """As llama.cpp calls it."""
        return str(self.metadata.get("general.architecture"))

    def unpacked(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Name and values of each tensor."""
        data = np.memmap(self.path, mode="r", dtype=np.uint8)
        for tensor in self.tensors:
            yield tensor.name, _unpack(data, tensor)


class _Header:
    """Walks through a header once."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = len(_MAGIC)

    def read(self, path: Path) -> GgufFile:
        if self._data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it begins like none")
        version, tensor_count, metadata_count = self._take("IQQ")
        if version not in _VERSIONS:
            raise ValueError(f"version {version}")
        metadata = {self._text(): self._value(self._one("I")) for _ in range(metadata_count)}
        tensors = [self._tensor() for _ in range(tensor_count)]
        alignment = int(metadata.get("general.alignment", _ALIGNMENT))
        begin = -(-self._at // alignment) * alignment
        placed = (GgufTensor(name, shape, kind, begin + offset) for name, shape, kind, offset in tensors)
        return GgufFile(path, metadata, tuple(placed))

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return values

    def _one(self, form: str) -> int:
        return self._take(form)[0]

    def _text(self) -> str:
        length = self._one("Q")
        self._at += length
        return self._data[self._at - length : self._at].decode()

    def _value(self, kind: int) -> Value:
        if kind == _TEXT:
            return self._text()
        if kind != _ARRAY:
            return self._one(_number(kind))
        of, count = self._take("IQ")
        if of == _TEXT:
            for _ in range(count):
                self._at += 8 + int.from_bytes(self._data[self._at : self._at + 8], "little")
        else:
            self._at += count * struct.calcsize(_number(of))
        return count

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text()
        shape = self._take(f"{self._one('I')}Q")[::-1]  # the file has the fastest first
        return name, shape, self._one("I"), self._one("Q")


def _number(kind: int) -> str:
    if kind not in _NUMBERS:
        raise ValueError(f"metadata of type {kind}")
    return _NUMBERS[kind]


def _unpack(data: NDArray[np.uint8], tensor: GgufTensor) -> NDArray[np.float32]:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, dequantize

    packing = GGMLQuantizationType(tensor.ggml_type)
    elements, size = GGML_QUANT_SIZES[packing]
    values = np.empty(int(np.prod(tensor.shape)), dtype=np.float32)
    blocks = data[tensor.offset :][: len(values) // elements * size]
    chunk = _CHUNK_ELEMENTS // elements
    for first in range(0, len(values) // elements, chunk):
        packed = np.ascontiguousarray(blocks[first * size : (first + chunk) * size])
        unpacked = dequantize(packed[None], packing)[0]
        values[first * elements :][: len(unpacked)] = unpacked
    return values.reshape(tensor.shape)
