"""A client of server-sent events, as the HTML standard has one, that waits for what it wants."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from prefstream.consumer.board.api.responses import API

TIMEOUT_S = 100.0


@dataclass(frozen=True)
class Event:
    """One event."""

    type: str
    data: Any
    id: str | None


class Events:
    """A stream that is open.

    Attributes:
        status: of the answer.
        headers: of the answer.
        last_id: of the latest event that had one.
        retry_ms: as the server says; None: it does not.
        comments: that came.
    """

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = {name.lower(): text for name, text in response.getheaders()}
        self.last_id: str | None = None
        self.retry_ms: int | None = None
        self.comments: list[str] = []

    def __iter__(self) -> Iterator[Event]:
        """Events as they come, until the server ends the stream."""
        kind = "message"
        data: list[str] = []
        while raw := self._response.readline():
            line = raw.decode().rstrip("\n")
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            match name:
                case "" if line:
                    self.comments.append(value)
                case "":
                    if data:
                        yield Event(kind, json.loads("\n".join(data)), self.last_id)
                    kind, data = "message", []
                case "event":
                    kind = value
                case "data":
                    data.append(value)
                case "id":
                    self.last_id = value
                case "retry":
                    self.retry_ms = int(value)

    def next(self, kind: str) -> Event:
        """The next event of a type."""
        return next(event for event in self if event.type == kind)


@contextmanager
def events(url: str, after: str | None = None, last_event_id: str | None = None, **further: str) -> Iterator[Events]:
    """Open a board's stream.

    Args:
        url: of the board.
        after: in the query.
        last_event_id: in the header, as a browser sends it that comes back.
        further: headers.
    """
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=TIMEOUT_S)
    try:
        headers = further if last_event_id is None else {"Last-Event-ID": last_event_id, **further}
        path = f"{place.path}{API}/events" + ("" if after is None else f"?after={after}")
        connection.request("GET", path, headers=headers)
        yield Events(connection.getresponse())
    finally:
        connection.close()
