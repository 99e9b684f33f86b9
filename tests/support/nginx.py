"""Debian's nginx in front of a board, as `deploy/nginx/board.conf` has it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.support.streams import wait_until

BOARD_CONF: Final = Path(__file__).parents[2] / "deploy" / "nginx" / "board.conf"

START_S: Final = 60.0

# Debian puts it where only root looks.
_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"

_MAIN: Final = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    gzip on;
    gzip_types *;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        include {folder}/board.conf;
    }}
}}
"""


@contextmanager
def nginx(board: str, folder: Path, *, takes_off: bool) -> Iterator[str]:
    """Show a board under `/board`; yields the address of nginx, without a path. Skips where it is not installed.

    Args:
        board: its URL.
        folder: for what nginx writes.
        takes_off: whether it takes the path off what it asks the board for.
    """
    program = shutil.which("nginx", path=_PATH)
    if program is None:
        pytest.skip("nginx is not installed (Debian: nginx-light)")
    text = BOARD_CONF.read_text(encoding="utf-8")
    told = "proxy_pass http://127.0.0.1:9465;"
    assert text.count(told) == 1
    (folder / "board.conf").write_text(text.replace(told, f"proxy_pass {board}{'/' if takes_off else ''};"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    user = "user root;" if os.geteuid() == 0 else ""  # whose folders nobody else may read
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder, port=port, user=user))
    process = subprocess.Popen([program, "-p", folder, "-e", folder / "error.log", "-c", folder / "nginx.conf"])
    try:
        wait_until(lambda: process.poll() is not None or answers(port), START_S, "nginx")
        assert process.poll() is None, (folder / "error.log").read_text(encoding="utf-8")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(START_S)


def answers(port: int) -> bool:
    """Whether something takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
