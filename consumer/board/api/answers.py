"""Answers that take time to compute: kept, given out at once, and computed anew behind the back of who asks.

What was asked before is answered with what is known, and begins to be computed anew where it is older than `fresh_s`.
So who asks waits only for what nobody asked lately: an answer that has not been fresh for `stale_s` is given to nobody
who does not say that it will do (as the page says, which asks again), and then to nobody any more where a newer one
fails. Nothing is computed in the thread that serves.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import structlog

from prefstream.consumer.errors import BoardBusyError
from prefstream.schemas import PrefstreamError

log = structlog.get_logger(__name__)

MOST_KEPT: Final = 256
"""Answers; the ones that nobody asked for longest go first. With 200 models the largest has a megabyte."""

COST: Final = 10
"""An answer is fresh for at least so many times as long as it took: computing it anew, however often it is asked for,
takes a tenth of a core at most, and leaves the rest to reading and answering."""

STALE_S: Final = 60.0
"""Who asks once a day must not get what was true the day before; a page asks more often than this."""

MOST_STALE_S: Final = 3_600.0
"""Whatever they say will do: numbers of the day before are not worth a second's look, either."""

MOST_COMING: Final = 64
"""Answers that are being computed, or wait for it: some twenty addresses in the few ways that a page can ask for them.
Strangers can make up as many queries as they like."""

CLOSE_S: Final = 5.0
"""What is being computed takes a second or two; on a busy machine the end of the process waits no longer for it."""

_WORKERS: Final = 2
"""A long one, such as strengths by the hour, holds nobody up who asks for the table of models."""

_WORTH_PACKING_BYTES: Final = 1024
_PACKING: Final = 5

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class ReadyAnswer:
    """A body that is ready to be sent.

    Attributes:
        body: as it is.
        packed: by gzip; None where that is not worth it.
        etag: by which a client that has it is spared the body.
        media_type: of the body.
    """

    body: bytes = field(repr=False)
    packed: bytes | None = field(repr=False)
    etag: str
    media_type: str

    @classmethod
    def of(cls, text: str, media_type: str) -> ReadyAnswer:
        """Make an answer ready."""
        body = text.encode()
        packed = gzip.compress(body, _PACKING, mtime=0) if len(body) >= _WORTH_PACKING_BYTES else None
        return cls(body, packed, f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"', media_type)


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """An answer, and how old it is.

    Attributes:
        answer: as it was computed.
        age_s: seconds since that began: it tells of what was known then.
        ttl_s: seconds for which it is still fresh; below 0 a newer one is being computed.
    """

    answer: ReadyAnswer
    age_s: float
    ttl_s: float


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: ReadyAnswer
    begun: float
    fresh_until: float

    def at(self, now: float) -> GivenAnswer:
        return GivenAnswer(self.answer, max(0.0, now - self.begun), self.fresh_until - now)


class AnswerCache(Generic[Key]):
    """Computes and keeps answers by key. `get` is for one event loop, `close` for any thread.

    Args:
        compute: makes an answer; called from threads of this object, for one key by one at a time.
        fresh_s: an answer that is older begins to be computed anew when it is asked for.
        cost: an answer is fresh for so many times as long as it took, where that is more; 0: it never is for longer.
        stale_s: for so long after that the old one is given out meanwhile; 0: who asks waits for the new one, whatever
            they say.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        compute: Callable[[Key], ReadyAnswer],
        *,
        fresh_s: float,
        cost: float = COST,
        stale_s: float = STALE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._fresh_s = fresh_s
        self._cost = cost
        self._stale_s = stale_s
        self._clock = clock
        self._closed = False
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._coming: dict[Key, Future[_Kept]] = {}
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="prefstream-board")

    async def get(self, key: Key, *, most_stale_s: float = 0.0) -> GivenAnswer:
        """The answer, at once where it was asked for lately.

        Args:
            key: of what.
            most_stale_s: who asks takes one that has not been fresh for so long, where that is more than `stale_s`; at
                most `MOST_STALE_S`.

        Raises:
            BoardBusyError: too many others are to be computed.
            PrefstreamError: it can't be computed.
        """
        stale_s = self._stale_s and max(self._stale_s, min(most_stale_s, MOST_STALE_S))
        with self._lock:
            now = self._clock()
            kept = self._kept.get(key)
            coming = self._coming.get(key)
            if kept is not None and now < kept.fresh_until + stale_s:
                self._kept.move_to_end(key)
                if now >= kept.fresh_until and coming is None and len(self._coming) < MOST_COMING:
                    self._start(key)
                return kept.at(now)
            if coming is None:
                if len(self._coming) >= MOST_COMING:
                    raise BoardBusyError(f"{MOST_COMING} other answers are being computed; ask again in some seconds")
                coming = self._start(key)
        # Others may wait for it, too: it goes on when this one's client goes away.
        computed = await asyncio.shield(asyncio.wrap_future(coming))
        return computed.at(self._clock())

    def close(self) -> None:
        """Begin nothing any more, and wait for what is being computed, `CLOSE_S` at most."""
        self._closed = True
        self._workers.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = [one for one in self._coming.values() if not one.cancelled()]
        wait(running, CLOSE_S)

    def _start(self, key: Key) -> Future[_Kept]:
        coming = self._workers.submit(self._renew, key)
        self._coming[key] = coming
        return coming

    def _renew(self, key: Key) -> _Kept:
        begun = self._clock()
        try:
            answer = self._compute(key)
        except Exception as error:
            if not (isinstance(error, PrefstreamError) or self._closed):
                log.exception("a board's answer failed")
            with self._lock:
                self._coming.pop(key, None)
                kept = self._kept.get(key)
                if kept is not None and self._clock() >= kept.fresh_until + self._stale_s:
                    del self._kept[key]  # who would take it for an hour is told why there is no newer one
            raise
        with self._lock:
            self._coming.pop(key, None)
            now = self._clock()
            kept = _Kept(answer, begun, now + max(self._fresh_s, self._cost * (now - begun)))
            self._kept[key] = kept
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return kept
