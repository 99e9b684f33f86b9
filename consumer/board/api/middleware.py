"""What every request passes before it reaches the app, and every answer on its way out; as ASGI has it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

from fastapi.responses import RedirectResponse

App: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]

SECURITY: Final = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}
"""On every answer: what the API gives out is for programs, and nothing in it is to be run by a browser."""

HEAD_ALONE: Final = "prefstream.head_alone"
"""What a request's scope has where a HEAD is answered as a GET: an answer without end would hold what nobody reads."""


class AsMeant:
    """Answers HEAD as GET (RFC 9110, 9.3.2; the server leaves the body out), and under a path as without it.

    uvicorn's own option for the path would put it before one that has it already. Behind this, a request's path begins
    with the root path, whether a proxy passed that on or took it off. The path without a slash behind it leads to the
    one with it, for all addresses in the page are relative; where to is relative, too, and so holds whatever the
    request's Host says.

    Args:
        app: what answers.
        root_path: under which a proxy shows it.
    """

    def __init__(self, app: App, *, root_path: str) -> None:
        self._app = app
        self._root_path = root_path

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on, or lead it to where the page is."""
        app = self._app
        if scope["type"] == "http":
            root, path = self._root_path, scope["path"]
            if root and path == root:
                app = RedirectResponse(f"{root.rpartition('/')[2]}/", headers={"Cache-Control": "no-store"})
            elif not path.startswith(f"{root}/"):
                path = root + path
            head_alone = scope["method"] == "HEAD"
            method = "GET" if head_alone else scope["method"]
            scope = scope | {"method": method, "root_path": root, "path": path, HEAD_ALONE: head_alone}
        await app(scope, receive, send)


class SecurityHeaders:
    """Puts headers on every answer that has none of the name.

    Args:
        app: what answers.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Pass a request on, and its answer back."""

        async def with_headers(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                headers: list[tuple[bytes, bytes]] = message.setdefault("headers", [])
                there = {name for name, _ in headers}
                ours = ((name.encode(), value.encode()) for name, value in SECURITY.items())
                headers.extend(one for one in ours if one[0] not in there)
            await send(message)

        await self._app(scope, receive, with_headers if scope["type"] == "http" else send)
