"""The stream, watched: its group's lag, its dead letters, its shadow, each in a thread of its own."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

from prefstream.consumer.board.report.surroundings import WatchedStream
from prefstream.consumer.board.watch.announcer import Publish
from prefstream.consumer.board.watch.dead_letters import MOST_READ_BACK, DeadLetterWatch
from prefstream.consumer.board.watch.lag import LagWatch
from prefstream.consumer.board.watch.shadow import ShadowWatch
from prefstream.consumer.config import TopicNames
from prefstream.consumer.observe.watcher import Watcher


class StreamWatch:
    """Watches from entering the context to leaving it. What it may not see, or what is not there, it tells.

    Args:
        names: the topics, and where they are.
        group_id: the stream's group.
        publish: is told of each input that becomes a dead letter from now on.
        shadow: reads a shadow's answers; None where none is looked at.
        most_read_back: dead letters of before that are read at most.
    """

    def __init__(
        self,
        names: TopicNames,
        group_id: str,
        publish: Publish,
        *,
        shadow: ShadowWatch | None = None,
        most_read_back: int = MOST_READ_BACK,
    ) -> None:
        self._group_id = group_id
        self._lag = LagWatch(names, group_id)
        self._dead_letters = DeadLetterWatch(names, publish, most_read_back=most_read_back)
        self._of_lag = Watcher("the stream's lag", self._lag.watch)
        self._of_dead_letters = Watcher("dead letters", self._dead_letters.watch)
        self._shadow = shadow
        self._of_shadow = None if shadow is None else Watcher("the shadow", shadow.watch)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self._of_lag)
        self._stack.enter_context(self._of_dead_letters)
        if self._of_shadow is not None:
            self._stack.enter_context(self._of_shadow)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def now(self) -> WatchedStream:
        """What is known at this moment; for any thread."""
        lag, no_lag = self._lag.lag, self._of_lag.why_not
        no_letters = self._of_dead_letters.why_not
        no_shadow = None if self._of_shadow is None else self._of_shadow.why_not
        return WatchedStream(
            group=self._group_id,
            lag=lag if no_lag is None else None,
            why_no_lag=no_lag,
            unanswered_s=self._lag.unanswered_s,
            dead_letters=self._dead_letters.counts() if no_letters is None else None,
            why_no_dead_letters=no_letters,
            shadow=self._shadow.now if self._shadow is not None and no_shadow is None else None,
            why_no_shadow=no_shadow,
        )
