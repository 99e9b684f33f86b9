"""Watches the board's file, and tells streams what changed in it."""

from __future__ import annotations

import threading
import time
from typing import Final, Self

import structlog

from prefstream.consumer.board.live.broadcast import Broadcast
from prefstream.consumer.board.live.payloads import NumbersChanged
from prefstream.consumer.board.report.payloads import BoardStatus
from prefstream.consumer.board.report.reports import Reports
from prefstream.consumer.board.store.reader import BoardReader
from prefstream.schemas import PrefstreamError

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.25
"""Between two looks into the file, one small query each: four events a second are as many as a page can show."""

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
        self._counters = reader.counters()
        self._changed_at = 0.0
        self._status: BoardStatus | None = None
        self._status_at = 0.0
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

    def _look(self) -> None:
        self._tell_change()
        self._tell_status()

    def _tell_change(self) -> None:
        now, counters = time.monotonic(), self._reader.counters()
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
