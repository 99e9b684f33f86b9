"""One event to all streams, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest
from pydantic import BaseModel, model_serializer

from prefstream.consumer.board.live import broadcast
from prefstream.consumer.board.live.broadcast import MOST_WAITING, Broadcast, EventStream
from prefstream.consumer.errors import NoLiveEventsError

BOUND_S = 100.0


class Told(BaseModel):
    """Counts how often it is encoded."""

    number: int
    encoded: list[int] = []

    @model_serializer
    def _told(self) -> dict[str, int]:
        self.encoded.append(self.number)
        return {"number": self.number}


async def taken(stream: EventStream, count: int) -> list[bytes]:
    frames = stream.frames()
    async with asyncio.timeout(BOUND_S):
        return [await anext(frames) for _ in range(count)]


async def all_of(stream: EventStream) -> list[bytes]:
    async with asyncio.timeout(BOUND_S):
        return [frame async for frame in stream.frames()]


def in_thread(call: Callable[[], object]) -> None:
    thread = threading.Thread(target=call)
    thread.start()
    thread.join(BOUND_S)


def test_every_stream_gets_an_event_that_was_encoded_once() -> None:
    told = Told(number=7)

    async def look() -> None:
        sent = Broadcast()
        streams = [sent.open() for _ in range(5)]
        in_thread(lambda: sent.publish("told", told))
        for stream in streams:
            assert await taken(stream, 1) == [b'event: told\ndata: {"number":7}\n\n']

    asyncio.run(look())
    assert told.encoded == [7]


def test_where_nobody_listens_nothing_is_encoded() -> None:
    told = Told(number=7)
    Broadcast().publish("told", told)
    assert told.encoded == []


def test_who_comes_later_gets_the_newest_of_what_is_kept_and_where_it_begins() -> None:
    async def look() -> None:
        sent = Broadcast()
        sent.publish("state", Told(number=1), keep=True)
        sent.publish("state", Told(number=2), keep=True)
        sent.publish("other", Told(number=3))
        sent.publish_text("numbered", "{}", event_id="k-9")
        stream = sent.open()
        assert stream.since == "k-9"
        sent.close()
        assert await all_of(stream) == [b'event: state\ndata: {"number":2}\n\n']

    asyncio.run(look())


def test_a_stream_that_takes_nothing_is_cut_off_and_the_others_go_on() -> None:
    async def look() -> None:
        sent, cut = Broadcast(), asyncio.Event()
        slow, quick = sent.open(cut.set), sent.open()
        for number in range(MOST_WAITING + 1):
            sent.publish("told", Told(number=number))
            await taken(quick, 1)
        async with asyncio.timeout(BOUND_S):
            await cut.wait()
        assert len(sent) == 1
        assert await all_of(slow) == []

    asyncio.run(look())


def test_closing_ends_streams_after_what_waits_and_cuts_off_who_does_not_take_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(broadcast, "GOODBYE_S", 0.0)

    async def look() -> None:
        sent, cut, never = Broadcast(), asyncio.Event(), asyncio.Event()
        stuck, quick = sent.open(cut.set), sent.open(never.set)
        sent.publish("told", Told(number=1))
        in_thread(sent.close)
        assert len(await all_of(quick)) == 1
        sent.leave(quick)
        async with asyncio.timeout(BOUND_S):
            await cut.wait()
        sent.leave(stuck)
        assert not never.is_set()
        with pytest.raises(NoLiveEventsError, match="the board ends"):
            sent.open()

    asyncio.run(look())


def test_who_signs_out_gets_no_more_in_any_window() -> None:
    async def look() -> None:
        sent = Broadcast()
        one, other, anothers, nobodys = (sent.open(session=session) for session in ("a", "a", "b", None))
        sent.publish("told", Told(number=1))
        sent.end_session("a")
        sent.publish("told", Told(number=2))
        sent.close()
        assert [len(await all_of(stream)) for stream in (anothers, nobodys)] == [2, 2]
        assert [len(await all_of(stream)) for stream in (one, other)] == [1, 1]

    asyncio.run(look())


def test_events_may_come_after_the_loop_that_served_them_is_gone() -> None:
    sent = Broadcast()

    async def begin() -> EventStream:
        return sent.open()

    asyncio.run(begin())
    sent.publish("told", Told(number=1))
    sent.close()
