"""The newest verdicts, and what happens as it happens, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final, TypeAlias

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import Receive, Scope, Send

from prefstream.consumer.board.api.answers import ReadyAnswer
from prefstream.consumer.board.api.middleware import HEAD_ALONE
from prefstream.consumer.board.api.responses import JSON, ready_response
from prefstream.consumer.board.live.broadcast import Broadcast, EventStream
from prefstream.consumer.board.live.feed import LiveFeed
from prefstream.consumer.board.live.payloads import VerdictPage
from prefstream.consumer.board.store.verdicts import MOST_OF_A_BATCH
from prefstream.schemas.battle import MAX_ID_CHARS

EVENTS: Final = "text/event-stream"

CUT: Final = "cut"
"""What a connection's state has the way under by which it is closed at once (`server.BoardConnection`)."""

_HEADERS: Final = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
"""Nothing on the way may keep events, pack them, or wait for more of them (the last is nginx's)."""

_WHAT_COMES: Final = """\
One stream a page. Events: `verdicts` (what came, at most four times a second; who comes back with the id of the last
one gets what came since), `status` (as the address of that name; at once, when it changes, and every 5 s), `changed`
(numbers changed: ask again for what is shown), and `dead_letters`. A comment comes where nothing else does for 15 s. A
client that takes nothing is cut off, and may come back. Data is JSON.
"""

_Limit: TypeAlias = Annotated[int, Query(ge=1, le=MOST_OF_A_BATCH, description="At most so many.")]
_Id: TypeAlias = Annotated[
    str | None, Query(max_length=MAX_ID_CHARS, description="Only the one of this battle; none where it is not kept.")
]
_After: TypeAlias = Annotated[
    str | None, Query(max_length=64, description="Id of the last event that is known, as `verdicts` tells it.")
]
_LastEventId: TypeAlias = Annotated[
    str | None, Header(max_length=64, description="Likewise, as a browser sends it that comes back.")
]


def live_routes(feed: LiveFeed, session_of: Callable[[HTTPConnection], str | None]) -> APIRouter:
    """The addresses of what happens.

    Args:
        feed: where it comes from.
        session_of: the cookie by which a request is answered; a stream ends when its browser signs out.
    """
    router = APIRouter()

    async def verdicts(request: Request, limit: _Limit = 50, id: _Id = None) -> Response:  # noqa: A002 - its name
        ready = await run_in_threadpool(lambda: ReadyAnswer.of(feed.verdicts(limit, id), JSON))
        return ready_response(request, ready)

    async def events(request: Request, after: _After = None, last_event_id: _LastEventId = None) -> Response:
        if request.scope.get(HEAD_ALONE):
            return Response(media_type=EVENTS, headers=_HEADERS)
        cut = request.scope.get("state", {}).get(CUT, _nothing)
        stream = feed.broadcast.open(cut, session=session_of(request))
        try:
            begin = await run_in_threadpool(feed.begin_of, stream, last_event_id or after)
        except BaseException:
            feed.broadcast.leave(stream)
            raise
        return EventsResponse(feed.broadcast, stream, begin)

    router.add_api_route(
        "/verdicts",
        verdicts,
        response_model=VerdictPage,
        summary="The newest verdicts.",
        operation_id="verdicts",
    )
    router.add_api_route(
        "/events",
        events,
        response_class=StreamingResponse,
        summary="What happens, as it happens: server-sent events.",
        description=_WHAT_COMES,
        operation_id="events",
        responses={200: {"description": "Without end.", "content": {EVENTS: {"schema": {"type": "string"}}}}},
    )
    return router


class EventsResponse(StreamingResponse):
    """A stream's events, until either side ends it.

    Args:
        broadcast: that the stream is of.
        stream: begun for this answer.
        begin: what is sent before what the stream has.
    """

    def __init__(self, broadcast: Broadcast, stream: EventStream, begin: bytes) -> None:
        super().__init__(_all_of(begin, stream), media_type=EVENTS, headers=_HEADERS)
        self._broadcast = broadcast
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._broadcast.leave(self._stream)


async def _all_of(begin: bytes, stream: EventStream) -> AsyncIterator[bytes]:
    yield begin
    async for frame in stream.frames():
        yield frame


def _nothing() -> None:
    """Where the server has no way to close a connection at once."""
