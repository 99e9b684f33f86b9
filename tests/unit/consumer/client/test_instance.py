"""Names that are stable over restarts and unique among live processes."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.client import instance
from prefstream.consumer.client.instance import InstanceName, transactional_id
from prefstream.consumer.errors import UsageError


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_name_that_is_given_is_taken_as_it_is() -> None:
    assert InstanceName("g", "one").name == "one"


def test_a_transactional_id_is_that_of_one_group_and_one_instance() -> None:
    """`x` with `y-z` and `x-y` with `z` would fence each other."""
    names = ["x", "y", "z", "x-y", "y-z", "x-y-z", "1", "x-y-z-1"]
    groups = [*names, "x~1", "x-y~3", "-", "~"]
    ids = [transactional_id(group, name) for group in groups for name in names]
    assert len(set(ids)) == len(ids)


@given(
    st.lists(
        st.tuples(st.text("xy-~1", min_size=1), st.from_regex(r"[A-Za-z0-9._-]{1,8}", fullmatch=True)),
        min_size=2,
        unique=True,
    )
)
def test_a_transactional_id_begins_with_its_group_as_acls_have_it(pairs: list[tuple[str, str]]) -> None:
    ids = [transactional_id(group, name) for group, name in pairs]
    assert len(set(ids)) == len(pairs)
    assert all(id_.startswith(f"{group}-") for id_, (group, _) in zip(ids, pairs, strict=True))
    assert not any(id_.endswith(("~retry", "~doctor")) for id_ in ids)


def test_live_holders_have_different_names() -> None:
    with InstanceName("g") as first, InstanceName("g") as second:
        assert first.name != second.name


def test_a_name_that_was_given_back_is_given_out_again() -> None:
    with InstanceName("g") as first:
        name = first.name
    with InstanceName("g") as second:
        assert second.name == name


def test_groups_do_not_share_slots() -> None:
    with InstanceName("g") as first, InstanceName("other") as second:
        assert first.name.rpartition("-")[2] == second.name.rpartition("-")[2] == "0"


def test_the_name_can_be_an_instance_id_whatever_the_host_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "büro/42 é")
    with InstanceName("group/with strange: characters") as name:
        assert name.name == "b-ro-42---0"


def test_a_killed_process_gives_its_name_back(tmp_path: Path) -> None:
    """Without this its successor would wait for the transaction time-out."""
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from prefstream.consumer.client.instance import InstanceName\n"
        "held = InstanceName('g'); print(held.name, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        taken = process.stdout.readline().strip()
        with InstanceName("g") as other:
            assert other.name != taken
        process.kill()
        process.wait()
    with InstanceName("g") as successor:
        assert successor.name == taken


def test_forked_children_neither_free_the_name_nor_hold_it(tmp_path: Path) -> None:
    """A child has its parent's open files: its end must not free the name, and it must not keep it from a successor."""
    code = (
        "import os, sys, tempfile; tempfile.tempdir = sys.argv[1]\n"
        "from prefstream.consumer.client.instance import InstanceName\n"
        "held = InstanceName('g')\n"
        "short = os.fork()\n"
        "if not short: os._exit(0)\n"
        "os.waitpid(short, 0)\n"
        "if not os.fork(): print(held.name, flush=True)\n"  # the child: it has let go of the lock by now
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        taken = process.stdout.readline().strip()
        with InstanceName("g") as other:
            assert other.name != taken
        process.kill()
        process.wait()
        with InstanceName("g") as successor:  # while the other child lives
            assert successor.name == taken


def test_a_folder_that_cannot_be_used_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / f"prefstream-{os.getuid()}").touch()
    with pytest.raises(UsageError, match=r"no slot file in .*exists.*; set instance_id"):
        InstanceName("g")


def test_too_many_processes_are_told_to_name_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "MAX_SLOTS", 1)
    with InstanceName("g"), pytest.raises(UsageError, match="instance_id"):
        InstanceName("g")
