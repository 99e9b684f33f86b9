"""The board's file: one writer, a local disk, this version."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from prefstream.consumer.board.store import file
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.errors import BoardFileError, BoardWriteError
from tests.support.board import preference_record

HOLD = """
import sys
from pathlib import Path
from prefstream.consumer.board.store.store import Store
with Store(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_writes_a_file_and_another_is_told_which(tmp_path: Path) -> None:
    path = tmp_path / "board.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BoardFileError, match=rf"process {holder.pid} on .* has it"):
            Store(path)
        with BoardReader.open(path) as reader:  # readers are not kept out
            assert reader.counters() == {}
        holder.kill()
        holder.wait()
        Store(path).close()


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "board.db"
    with Store(path) as store:
        store.apply([preference_record(1, random.Random(1))])
        assert {one.name for one in tmp_path.iterdir()} == {"board.db", "board.db-wal", "board.db-shm", "board.db.lock"}
        assert {one.stat().st_mode & 0o777 for one in tmp_path.iterdir()} == {0o600}


def test_a_file_of_another_version_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "board.db"
    Store(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 999")
    connection.close()
    for opening in (Store, BoardReader.open):
        with pytest.raises(BoardFileError, match=r"has version 999 .* delete it: it is filled again"):
            opening(path)


def test_another_programs_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE songs (name TEXT)")
    connection.close()
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be taken for one" * 50)
    before = path.read_bytes(), text.read_bytes()
    for one in (path, text):
        for opening in (Store, BoardReader.open):
            with pytest.raises(BoardFileError, match=str(one)):
                opening(one)
    assert (path.read_bytes(), text.read_bytes()) == before


def test_a_file_that_was_made_for_other_topics_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "board.db"
    Store(path, settings={"preferences_topic": "preferences"}).close()
    Store(path, settings={"preferences_topic": "preferences"}).close()
    with pytest.raises(BoardFileError, match="was made for preferences_topic preferences, not other"):
        Store(path, settings={"preferences_topic": "other"})
    Store(path, settings={"preferences_topic": "preferences"}).close()  # the lock is not left behind


def test_a_network_file_system_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert file.file_system(tmp_path) not in file.NETWORK_FILE_SYSTEMS
    mount = type("Mount", (), {"mountpoint": str(tmp_path), "fstype": "nfs4"})
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: [mount])
    with pytest.raises(BoardFileError, match=r"network file system \(nfs4\)"):
        Store(tmp_path / "board.db")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(BoardFileError, match="there is no folder"):
        Store(tmp_path / "absent" / "board.db")
    with pytest.raises(BoardFileError, match="there is none"):
        BoardReader.open(tmp_path / "board.db")


def test_a_full_disk_leaves_nothing_of_a_batch(tmp_path: Path) -> None:
    rng = random.Random(1)
    with Store(tmp_path / "board.db") as store:
        store.apply([preference_record(1, rng)])
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(BoardWriteError, match="full"):
            store.apply([preference_record(number, rng) for number in range(2, 2000)])
        assert store.reader().counters()["preferences"] == 1
        store._connection.execute("PRAGMA max_page_count = 1000000")
        store.apply([preference_record(2, rng)])
        assert store.reader().counters()["preferences"] == 2


def test_a_file_that_is_damaged_while_it_is_written_is_told_as_such(tmp_path: Path) -> None:
    path, rng = tmp_path / "board.db", random.Random(20)
    with Store(path) as store:
        store.apply([preference_record(number, rng) for number in range(2_000)])
    with Store(path) as store:
        store._connection.execute("PRAGMA cache_size = 1")  # it reads from the disk
        content = path.read_bytes()
        path.write_bytes(content[:4096] + bytes(byte ^ 0x5A for byte in content[4096:]))
        with pytest.raises(BoardWriteError, match="damaged file is to be deleted"):
            store.apply([preference_record(number, rng) for number in range(5_000, 5_900)])


@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_is_deleted_while_it_is_used_is_not_written_any_more(tmp_path: Path, replaced: bool) -> None:
    path, rng = tmp_path / "board.db", random.Random(21)
    with Store(path) as store:
        store.apply([preference_record(1, rng)])
        for one in tmp_path.glob("board.db*"):
            one.rename(one.with_name(f"away-{one.name}"))
        if replaced:
            path.touch()
        with pytest.raises(BoardWriteError, match="deleted or replaced"):
            store.apply([preference_record(2, rng)])
    with Store(path) as store:  # it is made anew
        store.apply([preference_record(3, rng)])
        assert store.reader().counters() == {"preferences": 1}
