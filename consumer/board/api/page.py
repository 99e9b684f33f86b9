"""The live page: `/`, and its files under `/page/`, out of the package.

They hold nothing of the board, so they are open to whoever may open the form for the token. They are read once, and
found by their whole name: no path of a request ever meets the file system.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import PurePosixPath
from typing import Final

from fastapi import FastAPI, HTTPException, Request, Response

from prefstream.consumer.board.api.answers import ReadyAnswer
from prefstream.consumer.board.api.responses import ready_response

PAGE: Final = "/page"

POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing from elsewhere, nothing inline, and no text that becomes markup: `innerHTML` and its like throw."""

# Not by `mimetypes`: what that says depends on the machine, and a script of another type is not run.
MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

_HEADERS: Final = {"Content-Security-Policy": POLICY}
_INDEX: Final = "index.html"


def add_page_routes(app: FastAPI) -> None:
    """Serve the page at `/`, and what it is made of under `/page/`.

    Args:
        app: gets the routes; they are no part of the API's document.
    """
    found = dict(page_files())
    index = found.pop(_INDEX)

    async def page(request: Request) -> Response:
        return ready_response(request, index, _HEADERS)

    async def file(request: Request) -> Response:
        answer = found.get(request.path_params["name"])
        if answer is None:
            raise HTTPException(404)
        return ready_response(request, answer, _HEADERS)

    app.add_route("/", page, include_in_schema=False)
    app.add_route(f"{PAGE}/{{name:path}}", file, include_in_schema=False)


def page_files() -> Iterator[tuple[str, ReadyAnswer]]:
    """Each file of the page that a browser may ask for, by its name below the page's folder, ready to be sent."""
    for name, file in _walk(files("prefstream.consumer.board").joinpath("page"), ""):
        if (media_type := MEDIA_TYPES.get(PurePosixPath(name).suffix)) is not None:
            yield name, ReadyAnswer.of(file.read_text(encoding="utf-8"), media_type)


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, Traversable]]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, entry
