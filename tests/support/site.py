"""The site of the documents: built once for all of a session's tests, read, and served."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from filelock import FileLock

from tests.support.processes import child_environment

ROOT: Final = Path(__file__).parents[2]
BUILD: Final = ("-m", "sphinx", "--fail-on-warning", "-c", "docs", "-d")
"""The arguments of Python that build the site, up to the folders."""

SOURCES: Final = "https://code.example.org/blob/main"

BUILD_S: Final = 200
"""Some seconds, on a machine with nothing else to do."""


def built(folder: Path) -> Path:
    """The site, as CI builds it; a warning fails.

    Args:
        folder: that all of a session's processes share.
    """
    site = folder / "site"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / "lock"):
        if not site.exists():
            environment = child_environment() | {"SOURCE_URL": SOURCES}
            command = [sys.executable, *BUILD, str(folder / "doctrees"), ".", str(site)]
            done = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=BUILD_S, check=False
            )
            assert done.returncode == 0, done.stderr
    return site


class Page(HTMLParser):
    """What a page asks for, and where it can be entered.

    Args:
        path: of the page.

    Attributes:
        ids: of its elements.
        links: where its links lead.
        fetched: what a browser fetches to show it: scripts, styles, pictures.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what stands in a tag."""
        told = {name: value for name, value in attrs if value}
        if "id" in told:
            self.ids.add(told["id"])
        if tag == "a" and "href" in told:
            self.links.append(told["href"])
        elif tag == "link" and told.get("rel") not in {"index", "search", "next", "prev", "canonical"}:
            self.fetched.append(told["href"])
        self.fetched += [told[name] for name in ("src", "srcset", "poster", "data") if name in told]


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder; its address."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
