"""Who may ask a board that listens on its own machine alone: nobody by a name that is not this machine's.

A page anywhere can make its own name point to 127.0.0.1 once a browser has loaded it, and then read what listens there
(DNS rebinding). Such a request names that page's host; an address, or `localhost`, can't be made to point elsewhere.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import Any, Final

from prefstream.consumer.board.api.middleware import App

LOCALHOST: Final = "localhost"


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    address = _address(host)
    return host.lower() == LOCALHOST or (address is not None and address.is_loopback)


def host_of(header: str) -> str:
    """The host that a `Host` header names, without its port and in lower case."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].rstrip(".").lower()


class KnownHosts:
    """Refuses requests that ask for a host of another name, as ASGI has it.

    Args:
        app: what answers.
        names: hosts that may be asked for, beside addresses and `localhost`.
        refuse: makes the answer to the others, of a status.
    """

    def __init__(self, app: App, *, names: Collection[str], refuse: Callable[[HTTPStatus], App]) -> None:
        self._app = app
        self._names = {name.lower() for name in names}
        self._refuse = refuse

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer, or refuse."""
        asked = [value for name, value in scope.get("headers", ()) if name == b"host"]
        if scope["type"] == "http" and not all(self._is_known(host_of(value.decode("latin-1"))) for value in asked):
            await self._refuse(HTTPStatus.MISDIRECTED_REQUEST)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_known(self, host: str) -> bool:
        ours = host == LOCALHOST or host.endswith(f".{LOCALHOST}")
        return ours or host in self._names or _address(host) is not None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
