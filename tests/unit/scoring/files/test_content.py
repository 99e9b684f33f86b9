"""What a file holds is told by its bytes: unpacked where it is compressed, refused with the true reason otherwise."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from prefstream.schemas import Battle
from prefstream.scoring.errors import FileError
from prefstream.scoring.files import csv_rows, lines, reading
from prefstream.scoring.files.battles import check_battles_file, read_battles
from prefstream.scoring.files.rows import FileRecord

CSV = b"id,prompt,response_a,response_b\n" + b"".join(b'%d,"p\n%d",x,y\n' % (number, number) for number in range(500))
JSONL = b"".join(b'{"id": %d, "prompt": "p", "response_a": "x", "response_b": "y"}\n' % number for number in range(500))

Pack = Callable[[bytes], bytes]


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(content)


PACKS: dict[str, Pack] = {"gz": gzip.compress, "zst": zstd}


def write(folder: Path, content: bytes, name: str) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def shown(records: list[FileRecord[Battle]]) -> list[object]:
    return [(record.line, record.content, record.raw, record.end) for record in records]


@pytest.mark.parametrize("ending", PACKS)
@pytest.mark.parametrize(("name", "content"), [("b.csv", CSV), ("b.jsonl", JSONL), ("without-ending", JSONL)])
def test_compressed_file_is_read_as_what_it_unpacks_to(tmp_path: Path, ending: str, name: str, content: bytes) -> None:
    """Also where its name does not say so, and from any place between two rows."""
    plain = list(read_battles(write(tmp_path, content, name)))
    for packed in (
        write(tmp_path, PACKS[ending](content), f"{name}.{ending}"),
        write(tmp_path, PACKS[ending](content), name),
    ):
        records = list(read_battles(packed))
        assert shown(records) == shown(plain)
        assert shown(list(read_battles(packed, start=plain[300].end))) == shown(plain[301:])
        done = [record.done_bytes for record in records]
        assert done == sorted(done)
        assert done[-1] <= packed.stat().st_size


@pytest.mark.parametrize("ending", PACKS)
def test_parts_that_were_compressed_one_by_one_are_read_as_one(tmp_path: Path, ending: str) -> None:
    pack = PACKS[ending]
    path = write(tmp_path, pack(CSV[:1000]) + pack(b"") + pack(CSV[1000:]), f"b.csv.{ending}")
    assert len(list(read_battles(path))) == 500


@pytest.mark.parametrize("ending", PACKS)
@pytest.mark.parametrize(("keep", "told"), [(0.6, "is cut short"), (1.0, "is damaged")])
def test_compressed_file_that_is_cut_short_or_damaged_is_told_after_the_rows_that_it_has(
    tmp_path: Path, ending: str, keep: float, told: str
) -> None:
    rng = random.Random(1)
    rows = b"".join(b"%d,%s,x,y\n" % (number, rng.randbytes(100).hex().encode()) for number in range(4000))
    packed = bytearray(PACKS[ending](b"id,prompt,response_a,response_b\n" + rows))
    if keep == 1.0:
        middle = len(packed) // 2
        packed[middle : middle + 40] = bytes(40)
    path = write(tmp_path, bytes(packed[: int(keep * len(packed))]), f"b.csv.{ending}")
    check_battles_file(path)
    records: list[FileRecord[Battle]] = []
    with pytest.raises(FileError, match=told) as caught:
        records.extend(read_battles(path))
    assert str(path) in str(caught.value)
    assert keep == 1.0 or 0 < len(records) < 4000  # gzip may show only at its end that something was wrong


@pytest.mark.parametrize("ending", PACKS)
def test_memory_is_bounded_whatever_a_file_unpacks_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    for module in (lines, csv_rows, reading):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 1_000_000)
    bomb = io.BytesIO()
    opened = (
        gzip.GzipFile(fileobj=bomb, mode="wb")
        if ending == "gz"
        else zstandard.ZstdCompressor().stream_writer(bomb, closefd=False)
    )
    with opened as packed:
        packed.write(JSONL[:70])
        for _ in range(200):
            packed.write(bytes(1_000_000))
    path = write(tmp_path, bomb.getvalue(), f"b.jsonl.{ending}")
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        records = list(read_battles(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [record.rejected and record.rejected.reason for record in records] == [None, "field_too_large"]
    assert peak < 50_000_000


def archive(pack: Callable[[zipfile.ZipFile], None]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        pack(file)
    return content.getvalue()


def tar(mode: str) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode=mode) as file:  # type: ignore[call-overload]
        entry = tarfile.TarInfo("b.csv")
        entry.size = len(CSV)
        file.addfile(entry, io.BytesIO(CSV))
    return content.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        pytest.param("b.zip", archive(lambda file: file.writestr("b.csv", CSV)), "zip archive", id="zip"),
        pytest.param("b.csv", archive(lambda file: file.writestr("xl/workbook.xml", b"")), "workbook", id="xlsx"),
        pytest.param("b.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "workbook of Excel", id="xls"),
        pytest.param("b.csv.bz2", bz2.compress(CSV), "bzip2", id="bzip2"),
        pytest.param("b.csv.xz", lzma.compress(CSV), "xz", id="xz"),
        pytest.param("b.tar", tar("w"), "tar archive", id="tar"),
        pytest.param("b.tar.gz", tar("w:gz"), "tar archive", id="tar.gz"),
        pytest.param("b.arrow", b"ARROW1\0\0", "Arrow file", id="arrow"),
        pytest.param("b.csv", b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull", id="LFS pointer"),
        pytest.param("b.csv", b"<!DOCTYPE html><html>", "web page", id="web page"),
        pytest.param("b.csv", "id,prompt".encode("utf-16"), "UTF-16", id="UTF-16"),
        pytest.param("b.json", b'[\n {"id": 1}\n]', "one JSON list; write an object a line", id="JSON list"),
        pytest.param("b.jsonl", b'[{"id": 1}]', "one JSON list", id="JSON list in one line"),
        pytest.param("b.csv", pickle.dumps({"id": [1]}), "a pickle", id="pickle"),
        pytest.param("b.pkl", pickle.dumps({"id": [1]}, protocol=2), "a pickle", id="older pickle"),
        pytest.param("b.json", b'{"id":{"0":1},"prompt":{"0":"p"}}', "orient='records'", id="pandas' columns"),
        pytest.param("b.json", b'{"0":{"id":1}}', "orient='records'", id="pandas' index"),
        pytest.param("b.json", b'{"columns":["id"],"index":[0],"data":[[1]]}', "orient='records'", id="pandas' split"),
        pytest.param("b.csv.gz", b"what came instead", "its name says gzip", id="no gzip"),
        pytest.param("b.csv", b"", "is empty", id="empty"),
        pytest.param("b.csv.gz", gzip.compress(b""), "is empty", id="compressed nothing"),
        pytest.param("b.csv", b"\n\n", "no column id", id="blank lines"),
    ],
)
def test_file_of_another_kind_is_refused_with_the_true_reason(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    path = write(tmp_path, content, name)
    with pytest.raises(FileError, match=told) as caught:
        check_battles_file(path)
    assert str(path) in str(caught.value)


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Is a directory"):
        check_battles_file(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n", gzip.compress(b"", mtime=0)])
def test_jsonl_without_rows_has_none(tmp_path: Path, content: bytes) -> None:
    assert list(read_battles(write(tmp_path, content, "b.jsonl"))) == []
