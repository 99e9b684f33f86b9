"""Server-sent events over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import format_sse_event
from starlette.types import Receive, Scope, Send

from prefstream.consumer.board.live.broadcast import RETRY_MS, Broadcast, EventStream
from prefstream.consumer.board.live.feed import LiveFeed

EVENTS: Final = "text/event-stream"

CUT: Final = "cut"
"""What a connection's state has the way under by which it is closed at once (`server.BoardConnection`)."""

_HEADERS: Final = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
"""Nothing on the way may keep events, pack them, or wait for more of them (the last is nginx's)."""

_WHAT_COMES: Final = """\
One stream a page. Events are `status` (as `status` answers; at once, when it changes, and every 5 s) and `changed`
(numbers changed: ask again for what is shown). A comment comes every 15 s where nothing else does. A client that takes
nothing is cut off, and comes back.
"""


def live_routes(feed: LiveFeed) -> APIRouter:
    """The addresses of what happens.

    Args:
        feed: where it comes from.
    """
    router = APIRouter()

    async def events(request: Request) -> EventsResponse:
        return EventsResponse(feed.broadcast, feed.broadcast.open(request.scope.get("state", {}).get(CUT, _nothing)))

    router.add_api_route(
        "/events",
        events,
        response_class=StreamingResponse,
        summary="What happens, as it happens: server-sent events.",
        description=_WHAT_COMES,
        operation_id="events",
        responses={200: {"content": {EVENTS: {"schema": {"type": "string"}}}}},
    )
    return router


class EventsResponse(StreamingResponse):
    """A stream's events, until either side ends it.

    Args:
        broadcast: that the stream is of.
        stream: begun for this answer.
    """

    def __init__(self, broadcast: Broadcast, stream: EventStream) -> None:
        super().__init__(_all_of(stream), media_type=EVENTS, headers=_HEADERS)
        self._broadcast = broadcast
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._broadcast.leave(self._stream)


async def _all_of(stream: EventStream) -> AsyncIterator[bytes]:
    yield format_sse_event(retry=RETRY_MS)
    async for frame in stream.frames():
        yield frame


def _nothing() -> None:
    """Where the server has no way to close a connection at once."""
