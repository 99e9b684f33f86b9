"""Standard input and pipes are files like others: read as often as a command needs them."""

from __future__ import annotations

import gzip
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from prefstream.consumer.cli.battles_file import input_file
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.battles import check_battles_file, read_battles
from tests.support.processes import START_S

CSV = b"id,prompt,response_a,response_b\n" + b"".join(b"%d,p,x,y\n" % number for number in range(20_000))

READ_TWICE = """
import sys
from prefstream.consumer.cli.battles_file import input_file
from prefstream.scoring.files.battles import check_battles_file, read_battles

file = input_file(sys.argv[1])
check_battles_file(file)
print(file, sum(1 for _ in read_battles(file)), sum(1 for _ in read_battles(file)))
"""


@pytest.mark.parametrize("content", [CSV, gzip.compress(CSV)], ids=["plain", "compressed"])
@pytest.mark.parametrize("way", ["pipe", "file", "socket"])
def test_standard_input_is_read_as_often_as_needed(tmp_path: Path, content: bytes, way: str) -> None:
    """A pipe is larger than its buffer here."""
    (tmp_path / "battles").write_bytes(content)
    command = f"{sys.executable} -c '{READ_TWICE}' -"
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if way == "socket":
            threading.Thread(target=_send, args=(ours, content)).start()
        shell = {"pipe": f"cat battles | {command}", "file": f"{command} < battles", "socket": command}[way]
        done = subprocess.run(
            ["bash", "-c", shell], stdin=theirs.fileno(), cwd=tmp_path, capture_output=True, text=True, timeout=START_S
        )
    assert (done.stdout, done.stderr) == ("/dev/stdin 20000 20000\n", "")


def _send(to: socket.socket, content: bytes) -> None:
    to.sendall(content)
    to.shutdown(socket.SHUT_WR)


def test_process_substitution_and_named_pipes_are_read_as_often_as_needed(tmp_path: Path) -> None:
    (tmp_path / "battles").write_bytes(CSV)
    shell = f"mkfifo fifo; (cat battles > fifo &) ; {sys.executable} -c '{READ_TWICE}' fifo"
    shell += f"; {sys.executable} -c '{READ_TWICE}' <(cat battles)"
    done = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, timeout=START_S)
    assert [line.split()[1:] for line in done.stdout.splitlines()] == [["20000", "20000"]] * 2, done.stderr


def test_what_can_not_be_kept_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(FileError, match=r"can't keep what comes from /dev/fd/\d+ in .*TMPDIR names another folder"):
        input_file(f"/dev/fd/{reading}")
    os.close(reading)


def test_nothing_on_standard_input_is_an_empty_file() -> None:
    file = input_file("/dev/null")
    with pytest.raises(FileError, match="is empty"):
        check_battles_file(file)


def test_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "battles.csv"
    assert input_file(str(path)) == path
    path.write_bytes(CSV)
    assert len(list(read_battles(input_file(str(path))))) == 20_000
