"""A model hub of one repository, on this machine: as much of it as its own client asks for."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

REVISION: Final = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def model_hub(repository: str, folder: Path) -> Iterator[str]:
    """Serve the files of a folder as a repository's, at one commit.

    Args:
        repository: its name.
        folder: what it holds.

    Yields:
        The hub's address.
    """

    class Hub(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            if path == f"/api/models/{repository}/tree/{REVISION}":
                files = [{"type": "file", "path": file.name, "size": file.stat().st_size} for file in folder.iterdir()]
                self._answer(200, json.dumps([{**file, "oid": "0" * 40} for file in files]).encode())
                return
            file = folder / path.rpartition("/")[2]
            if path == f"/{repository}/resolve/{REVISION}/{file.name}" and file.is_file():
                self._answer(200, file.read_bytes())
            else:
                self._answer(404, b"")

        def do_HEAD(self) -> None:
            self.do_GET()

        def _answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.send_header("X-Repo-Commit", REVISION)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keep silent."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
