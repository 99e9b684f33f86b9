"""Answers that take time to compute: kept, given out at once, and computed anew behind the back of who asks.

What was asked before is answered with what is known, and begins to be computed anew where it is older than `fresh_s`.
So who asks waits only for what nobody asked lately: an answer that has not been fresh for `stale_s` is given to nobody.
Nothing is computed in the thread that serves.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

import structlog

from prefstream.schemas import PrefstreamError

log = structlog.get_logger(__name__)

MOST_KEPT: Final = 256
"""Answers; the ones that nobody asked for longest go first. With 200 models the largest has a megabyte."""

COST: Final = 10
"""An answer is fresh for at least so many times as long as it took: computing it anew, however often it is asked for,
takes a tenth of a core at most, and leaves the rest to reading and answering."""

STALE_S: Final = 60.0
"""Who asks once a day must not get what was true the day before; a page asks more often than this."""

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


@dataclass(slots=True)
class _Kept:
    answer: ReadyAnswer
    fresh_until: float


class AnswerCache(Generic[Key]):
    """Computes and keeps answers by key. `get` is for one event loop, `close` for any thread.

    Args:
        compute: makes an answer; called from threads of this object, for one key by one at a time.
        fresh_s: an answer that is older begins to be computed anew when it is asked for; one that takes long later.
        stale_s: for so long after that the old one is given out meanwhile; 0: who asks waits for the new one.
        clock: seconds, monotonic.
    """

    def __init__(
        self,
        compute: Callable[[Key], ReadyAnswer],
        *,
        fresh_s: float,
        stale_s: float = STALE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._compute = compute
        self._fresh_s = fresh_s
        self._stale_s = stale_s
        self._clock = clock
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._coming: dict[Key, Future[ReadyAnswer]] = {}
        self._lock = threading.Lock()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="prefstream-board")

    async def get(self, key: Key) -> ReadyAnswer:
        """The answer, at once where it was asked for lately.

        Raises:
            PrefstreamError: it can't be computed.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None and self._clock() < kept.fresh_until + self._stale_s:
                self._kept.move_to_end(key)
                if self._clock() >= kept.fresh_until and key not in self._coming:
                    self._start(key)
                return kept.answer
            coming = self._coming.get(key) or self._start(key)
        # Others may wait for it, too: it goes on when this one's client goes away.
        return await asyncio.shield(asyncio.wrap_future(coming))

    def close(self) -> None:
        """Begin nothing any more, and wait for what is being computed."""
        self._workers.shutdown(wait=True, cancel_futures=True)

    def _start(self, key: Key) -> Future[ReadyAnswer]:
        coming = self._workers.submit(self._renew, key)
        self._coming[key] = coming
        return coming

    def _renew(self, key: Key) -> ReadyAnswer:
        began = self._clock()
        try:
            answer = self._compute(key)
        except Exception as error:
            if not isinstance(error, PrefstreamError):
                log.exception("a board's answer failed")
            with self._lock:
                self._coming.pop(key, None)
            raise
        with self._lock:
            self._coming.pop(key, None)
            now = self._clock()
            self._kept[key] = _Kept(answer, now + max(self._fresh_s, COST * (now - began)))
            self._kept.move_to_end(key)
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        return answer
