"""Files that are there whole or not at all, whenever a process or a machine dies."""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from prefstream.scoring.atomic_file import draft_path, try_to_write, write_atomically

WRITE_FOR_EVER = """
import sys
from pathlib import Path
from prefstream.scoring.atomic_file import write_atomically
print("ready", flush=True)
while True:
    for letter in (b"a", b"b"):
        write_atomically(Path(sys.argv[1]), letter * 3_000_000)
"""


def test_content_is_written_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"first and longer", b"second", b""):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_a_process_that_is_killed_leaves_one_content_or_the_other(tmp_path: Path, seeded: random.Random) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"b" * 3_000_000)
    kills = in_the_middle = 0
    while kills < 5 or not in_the_middle:
        with subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(timeout=seeded.uniform(0.01, 0.1))
            process.send_signal(signal.SIGKILL)
        kills += 1
        in_the_middle += draft_path(path).exists()
        assert path.read_bytes() in {b"a" * 3_000_000, b"b" * 3_000_000}


def test_the_content_is_on_the_disk_before_its_name_and_the_name_before_the_return(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel is asked for, in order: after a power cut the name stands for whole content, old or new."""
    path, steps = tmp_path / "file", []
    fsync, rename = os.fsync, Path.replace

    def told_fsync(descriptor: int) -> None:
        steps.append(("fsync", str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        fsync(descriptor)

    def told_rename(self: Path, target: Path) -> Path:
        steps.append(("rename", str(self)))
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(Path, "replace", told_rename)
    write_atomically(path, b"content")
    draft = str(draft_path(path))
    assert steps == [("fsync", draft), ("rename", draft), ("fsync", str(tmp_path))]


def test_a_full_disk_leaves_what_stood_there_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"before")

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"after")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="No such file"):
        write_atomically(tmp_path / "none" / "file", b"")


def test_a_device_is_written_to_and_stays_one() -> None:
    """As root, a rename would put a file in its place."""
    reader, writer = os.openpty()
    try:
        device = Path(os.ttyname(writer))
        write_atomically(device, b"content")
        assert os.read(reader, 100) == b"content"
        assert device.is_char_device()
    finally:
        os.close(reader)
        os.close(writer)


def test_a_try_leaves_nothing_and_nothing_changed(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.write_text("old")
    for name in ("there", "new"):
        try_to_write(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert there.read_text() == "old"


def test_a_try_takes_no_draft_away_that_another_process_may_be_writing(tmp_path: Path) -> None:
    draft = draft_path(tmp_path / "file")
    draft.write_text("half")
    try_to_write(tmp_path / "file")
    assert draft.read_text() == "half"


def test_a_try_finds_what_the_draft_would_meet(tmp_path: Path) -> None:
    """Its name is longer than that of the file."""
    with pytest.raises(OSError, match="too long"):
        try_to_write(tmp_path / ("x" * 254))
