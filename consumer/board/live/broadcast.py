"""One event to all streams: encoded once, kept for each in a queue of bounded length."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from pydantic import BaseModel

from prefstream.consumer.errors import NoLiveEventsError

MOST_STREAMS: Final = 256
"""At a time, one a page. Half of what the server takes: pages that stay open leave room for answers and probes."""

MOST_WAITING: Final = 64
"""Events that a client has not taken yet, some 10 s of a busy topic's; then its stream is closed. It comes back by its
last id. All streams share an event's bytes, so that slow clients take no more memory than that many events."""

HEARTBEAT_S: Final = 15.0
"""Proxies take a connection on which nothing came for a minute, some for half of one, for dead."""

RETRY_MS: Final = 2_000
"""A client comes back so long after its stream ended: a restart takes about as long."""

GOODBYE_S: Final = 0.5
"""For what is under way when the streams are closed; who has not taken it by then is cut off."""


class EventStream:
    """The events of one client.

    Made by `Broadcast.open` in the event loop that serves; `frames` is for that loop.

    Attributes:
        since: id of the last event before it began; empty where no event has had one.
        session: what its client signed in by; None where it did not.
    """

    def __init__(self, first: list[bytes], since: str, cut: Callable[[], None], session: str | None) -> None:
        self.since = since
        self.session = session
        self._waiting = deque(first)
        self._cut = cut
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._ended = False
        self._left = False

    async def frames(self) -> AsyncIterator[bytes]:
        """What is to be sent, until the stream is closed; a comment where nothing else was for a while."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._ended:
                return
            self._news.clear()
            if self._waiting or self._ended:  # come between the look and the clearing
                continue
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._news.wait()
            except TimeoutError:
                yield KEEPALIVE_COMMENT

    def put(self, frame: bytes) -> bool:
        """Let an event wait to be sent; False where the stream is over: where too many wait, say. For the broadcast."""
        if self._ended:
            return False
        if len(self._waiting) >= MOST_WAITING:
            self._ended = True
            self._waiting.clear()
            self._call(self._cut)
            return False
        self._waiting.append(frame)
        self._call(self._news.set)
        return True

    def end(self) -> None:
        """End after what waits; a client that takes nothing is cut off soon. For the broadcast."""
        self._ended = True
        self._call(self._news.set)
        self._call(lambda: self._loop.call_later(GOODBYE_S, self._cut_if_there))

    def left(self) -> None:
        """The client is gone. For the broadcast."""
        self._ended = self._left = True

    def _cut_if_there(self) -> None:
        if not self._left:
            self._cut()

    def _call(self, what: Callable[[], object]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what)


class Broadcast:
    """Tells all streams what happened. `publish` and `close` are for any thread, `open` for the event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._streams: set[EventStream] = set()
        self._newest: dict[str, bytes] = {}
        self._last_id = ""
        self._closed = False

    def __len__(self) -> int:
        """How many streams there are."""
        return len(self._streams)

    def publish(self, event: str, payload: BaseModel, *, keep: bool = False) -> None:
        """Tell all streams of something.

        Args:
            event: its type.
            payload: its data; encoded once.
            keep: who comes later gets it first, the newest one of each type.
        """
        if keep or self._streams:
            self.publish_text(event, payload.model_dump_json(), keep=keep)

    def publish_text(self, event: str, text: str, *, event_id: str | None = None, keep: bool = False) -> None:
        """As `publish`, of data that is JSON already.

        Args:
            event: its type.
            text: one line.
            event_id: by which a client that comes back says what it has.
            keep: as in `publish`.
        """
        frame = format_sse_event(data_str=text, event=event, id=event_id)
        with self._lock:
            if keep:
                self._newest[event] = frame
            if event_id is not None:
                self._last_id = event_id
            self._streams = {stream for stream in self._streams if stream.put(frame)}

    def move_to(self, event_id: str) -> None:
        """Events up to this id are none of those that streams will get from now on."""
        with self._lock:
            self._last_id = event_id

    def open(self, cut: Callable[[], None] = lambda: None, session: str | None = None) -> EventStream:
        """Begin a stream: it gets the newest of each type that is kept, then what comes.

        Args:
            cut: closes the connection, whatever is still to be sent; called in the event loop.
            session: what its client signed in by.

        Raises:
            NoLiveEventsError: there are too many, or the board ends.
        """
        with self._lock:
            if self._closed:
                raise NoLiveEventsError("the board ends; come back in some seconds")
            if len(self._streams) >= MOST_STREAMS:
                raise NoLiveEventsError(f"{MOST_STREAMS} pages get live events already; no more do until one is closed")
            stream = EventStream(list(self._newest.values()), self._last_id, cut, session)
            self._streams.add(stream)
            return stream

    def leave(self, stream: EventStream) -> None:
        """A stream's client is gone, or has got all of it."""
        with self._lock:
            stream.left()
            self._streams.discard(stream)

    def end_session(self, session: str) -> None:
        """End the streams of a client that signed out, in all its windows."""
        with self._lock:
            for stream in self._streams:
                if stream.session == session:
                    stream.end()

    def close(self) -> None:
        """End all streams, and begin none any more."""
        with self._lock:
            self._closed = True
            for stream in self._streams:
                stream.end()
