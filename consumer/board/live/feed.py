"""Watches the board's file, and tells streams what changed in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Final, Self

import structlog
from fastapi.sse import format_sse_event

from prefstream.consumer.board.live.broadcast import RETRY_MS, Broadcast, EventStream
from prefstream.consumer.board.live.payloads import NumbersChanged
from prefstream.consumer.board.report.payloads import BoardStatus
from prefstream.consumer.board.report.reports import Reports
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.board.store.verdicts import event_id, sequence_of
from prefstream.schemas import PrefstreamError

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.25
"""Between two looks into the file, one small query each: four events a second are as many as a page can show."""

MOST_AT_ONCE: Final = 20
"""Verdicts in an event, the newest: nobody reads more in a quarter of a second, and a page's list has sixty."""

VERDICTS: Final = "verdicts"
_COUNTED: Final = "preferences"

STATUS_S: Final = 1.0
"""Between two statuses of which something differs."""

STATUS_ANYWAY_S: Final = 5.0
"""Between two in any case: a page that hears none for longer can say that it does not know how things are."""


class LiveFeed:
    """Publishes what is new, in a thread of its own from entering the context to leaving it, which ends all streams.

    It is to be left before the server is, which waits for its streams.

    Args:
        reports: makes the status.
        reader: what is stored; its thread looks at it often.
        refresh_s: that numbers changed is told at most every so many seconds.

    Attributes:
        broadcast: where others publish, too.
    """

    def __init__(self, reports: Reports, reader: BoardReader, *, refresh_s: float) -> None:
        self.broadcast = Broadcast()
        self._reports = reports
        self._reader = reader
        self._refresh_s = refresh_s
        self._key = str(reader.meta("file_key"))
        self._counters = reader.counters()
        self._told = self._counters.get(_COUNTED, 0)
        self.broadcast.move_to(event_id(self._key, self._told))
        self._changed_at = 0.0
        self._status: BoardStatus | None = None
        self._status_at = 0.0
        # After a restart all pages come back at once, and have missed the same: it is built, and in memory, once.
        self._resuming = threading.Lock()
        self._resumed: tuple[tuple[int, int], bytes] = ((0, 0), b"")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefstream-live", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.broadcast.close()
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        failing = False
        while True:
            try:
                self._look()
                failing = False
            except PrefstreamError as error:
                if not failing:
                    log.warning("no live events", why=str(error))
                failing = True
            except Exception:
                if not failing:
                    log.exception("no live events")
                failing = True
            if self._stop.wait(LOOK_S):
                return

    def verdicts(self, limit: int, battle_id: str | None = None) -> str:
        """A `VerdictPage` in JSON, of what streams were told already: one that is opened then goes on from there.

        Args:
            limit: at most so many.
            battle_id: only the one of this battle, where it is kept.
        """
        told = self._told
        if battle_id is not None:
            verdict = self._reader.verdict_of(battle_id)
            return f'{{"verdicts":[{verdict or ""}],"id":"{event_id(self._key, told)}"}}'
        found = self._reader.verdicts(until=told, limit=limit)
        return f'{{"verdicts":[{_joined(found)}],"id":"{event_id(self._key, told)}"}}'

    def begin_of(self, stream: EventStream, after: str | None) -> bytes:
        """What a stream begins with: what its client missed, as far as it is kept, and where it is now.

        Args:
            stream: just opened.
            after: id of the last event that the client has; of another file's, or none, it missed nothing.
        """
        until = sequence_of(self._key, stream.since)
        missed = None if after is None else sequence_of(self._key, after)
        if until is None or missed is None or missed >= until:
            return format_sse_event(id=stream.since, retry=RETRY_MS)
        with self._resuming:
            if self._resumed[0] != (missed, until):
                text = _new_verdicts(self._reader.verdicts(after=missed, until=until), until - missed)
                frame = format_sse_event(data_str=text, event=VERDICTS, id=stream.since, retry=RETRY_MS)
                self._resumed = (missed, until), frame
            return self._resumed[1]

    def _look(self) -> None:
        with self._reader.snapshot():
            counters = self._reader.counters()
            new = self._reader.verdicts(after=self._told, limit=MOST_AT_ONCE)
        self._tell_verdicts(counters.get(_COUNTED, 0), new)
        self._tell_change(counters)
        self._tell_status()

    def _tell_verdicts(self, counted: int, new: Sequence[tuple[int, str]]) -> None:
        if counted > self._told:
            text = _new_verdicts(new, counted - self._told)
            self.broadcast.publish_text(VERDICTS, text, event_id=event_id(self._key, counted))
            self._told = counted

    def _tell_change(self, counters: dict[str, int]) -> None:
        now = time.monotonic()
        if counters != self._counters and now - self._changed_at >= self._refresh_s:
            self.broadcast.publish("changed", NumbersChanged())
            self._counters, self._changed_at = counters, now

    def _tell_status(self) -> None:
        since_s = time.monotonic() - self._status_at
        if since_s < STATUS_S:
            return
        status = self._reports.status()
        same = self._status is not None and status == self._status.model_copy(update={"now": status.now})
        if same and since_s < STATUS_ANYWAY_S:
            return
        self.broadcast.publish("status", status, keep=True)
        self._status, self._status_at = status, time.monotonic()


def _new_verdicts(found: Sequence[tuple[int, str]], came: int) -> str:
    """`NewVerdicts` in JSON."""
    return f'{{"verdicts":[{_joined(found)}],"skipped":{came - len(found)}}}'


def _joined(found: Sequence[tuple[int, str]]) -> str:
    return ",".join(text for _, text in found)
