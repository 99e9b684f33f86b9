"""One thing that is watched, in a thread of its own, as long as its process serves; what keeps it from that is told.

It never ends its process: who looks at numbers is better served without the lag than not at all, and judges go on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol, Self

import structlog

from prefstream.consumer.errors import BrokerUnreachableError, StreamError
from prefstream.schemas import PrefstreamError

log = structlog.get_logger(__name__)

AGAIN_S: Final = 5.0
"""Before the next try where brokers were not reached: they may be back any moment."""

AGAIN_LATER_S: Final = 30.0
"""Likewise where a person has to do something: make a topic, grant an ACL."""

JOIN_S: Final = 2.0
"""A stop does not wait longer for a call to brokers that are away; nothing is lost with it."""


class Watch(Protocol):
    """What a watcher runs."""

    def __call__(self, stop: threading.Event, tell: Callable[[StreamError | None], None], /) -> None:
        """Watch until `stop` is set, or until it must begin anew.

        Args:
            stop: ends it.
            tell: to be called with what keeps it from watching, and with None while nothing does.

        Raises:
            PrefstreamError: it can't go on; it is called again later.
        """


class Watcher:
    """Calls a watch from entering the context to leaving it, again and again.

    The log has a line where watching begins, and one where something keeps it from that; no more while that stays.

    Args:
        what: is watched, for the log.
        watch: does it.
    """

    def __init__(self, what: str, watch: Watch) -> None:
        self._what = what
        self._watch = watch
        self._why: str | None = "not looked at yet"
        self._told: type[Exception] | None = None
        self._stop = threading.Event()
        # A daemon: where brokers are away a call may outlast the process's end.
        self._thread = threading.Thread(target=self._run, name=f"prefstream-{what.replace(' ', '-')}", daemon=True)

    @property
    def why_not(self) -> str | None:
        """What keeps it from watching; None where nothing does. For any thread."""
        return self._why

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        while not self._stop.is_set():
            again_s = AGAIN_S
            try:
                self._watch(self._stop, self._tell)
            except PrefstreamError as error:
                self._tell(error)
                again_s = AGAIN_S if isinstance(error, BrokerUnreachableError) else AGAIN_LATER_S
            except Exception as error:
                if self._told is not type(error):
                    log.exception("not watched", what=self._what)
                self._why, self._told = "failed; the log says why", type(error)
                again_s = AGAIN_LATER_S
            self._stop.wait(again_s)

    def _tell(self, error: PrefstreamError | None) -> None:
        began = error is None and self._why is not None
        self._why = None if error is None else str(error)
        if error is not None and self._told is not type(error):
            log.warning("not watched", what=self._what, why=str(error))
        if began:
            log.info("watching", what=self._what)
        self._told = None if error is None else type(error)
