"""Whether the panels that serve still give the answers that they are known to give.

A card that breaks gives wrong numbers, and no error. So each panel answers its golden battles again from time to time,
as one batch between others. Where one does not give the known answers, nothing more is published: what was scored and
not committed yet is dropped with the process, and scored again by whoever reads on. That is so for `on_judge_failure:
degrade`, too: batches in flight hold what the broken judge said, and a start loads its weights anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Final, TypeAlias

import structlog

from prefstream.consumer.errors import GoldenFaultError, StalledError
from prefstream.consumer.observe.stream_metrics import StreamMetrics
from prefstream.scoring.errors import JudgeFaultError, MisuseError
from prefstream.scoring.golden.check import GoldenReport, check_golden, require_golden
from prefstream.scoring.panel.panel import Panel

log = structlog.get_logger(__name__)

PATIENCE: Final = 0.5
"""Parts of the time between checks that one that is due waits for a moment without work; then it goes between two
batches."""

HOLD_S: Final = 30.0
"""From a failed check to the end of the process, in which it is not ready and says why: two scrapes of Prometheus,
which a restart at once would hide."""


_Found: TypeAlias = GoldenReport | JudgeFaultError


class GoldenWatch:
    """Has the panels that serve checked. Belongs to the polling thread; they answer in a thread of the watch.

    Args:
        panels: those that answer now, the one on trial last; asked in every turn, for they may be others than before.
        every_s: from the end of a check to the next one.
        timeout_s: a check that takes longer ends the process.
        metrics: count checks.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        panels: Callable[[], Sequence[Panel]],
        every_s: float,
        timeout_s: float,
        metrics: StreamMetrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._panels = panels
        self._every_s = every_s
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, "golden")
        self._running: Future[list[tuple[Panel, _Found]]] | None = None
        self._began = self._ended = clock()
        self._passed_at = datetime.now(UTC)
        self._fault: GoldenFaultError | None = None

    @property
    def obstacle(self) -> GoldenFaultError | None:
        """Why nothing may be published; None where nothing is known against it."""
        return self._fault

    @property
    def busy(self) -> bool:
        """Whether golden battles are being scored, which nothing can interrupt."""
        return self._running is not None and not self._running.done()

    def turn(self, *, idle: bool) -> None:
        """Begin a check that is due, and hear of one that is done; to be called in every turn of the loop.

        Args:
            idle: nothing is in flight.

        Raises:
            GoldenFaultError: a panel did not give its answers, and operators had the time to see it.
            JudgeFaultError: a judge of the panel that serves failed for good at a golden battle.
            StalledError: a check takes too long.
        """
        now = self._clock()
        if self._fault is not None:
            if now - self._ended >= HOLD_S:
                raise self._fault
        elif self._running is not None:
            if self._running.done():
                running, self._running = self._running, None
                self._ended = now
                self._hear(running.result())
            elif now - self._began > self._timeout_s:
                raise StalledError(
                    f"golden battles have been scored for more than {self._timeout_s:.0f} s; raise score_timeout_s if "
                    "the judges are that slow"
                )
        elif now - self._ended >= self._every_s * (1.0 if idle else 1.0 + PATIENCE):
            known = [panel for panel in self._panels() if panel.golden is not None]
            self._began = self._ended = now
            if known:
                self._running = self._thread.submit(_check, known)

    def close(self) -> None:
        """Forget a check that is under way. A forward pass can't be interrupted: its thread ends with it."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _hear(self, found: Sequence[tuple[Panel, _Found]]) -> None:
        answering = self._panels()
        for panel, report in found:
            if not any(panel is one for one in answering):
                continue  # another one has taken over meanwhile
            if isinstance(report, JudgeFaultError):
                if panel is answering[0]:
                    raise report
                continue  # the one that serves answers in place of one on trial that breaks down
            self._metrics.golden_checked(passed=report.passed)
            if (problem := report.problem) is not None:
                since = self._passed_at.isoformat(timespec="seconds")
                self._fault = GoldenFaultError(
                    f"{problem}. The answers were right at {since}: what was published since may be wrong, and "
                    "prefstream rescore scores it once more"
                )
                return
            _tell_passed(report)
        self._passed_at = datetime.now(UTC)


def known_to_answer(panel: Panel) -> Panel:
    """The panel, once it gave the answers of its golden set, where it has one; it is closed where it does not.

    Args:
        panel: loaded, and not serving yet.

    Raises:
        GoldenSetError: it is another panel than the set is of, or answers otherwise.
        JudgeFaultError: a judge failed for good at a golden battle.
    """
    try:
        report = require_golden(panel)
    except BaseException:
        panel.close()
        raise
    if report is not None:
        _tell_passed(report)
    return panel


def _tell_passed(report: GoldenReport) -> None:
    log.info("golden set passed", set=report.source, detail=report.summary)


def _check(panels: Sequence[Panel]) -> list[tuple[Panel, _Found]]:
    found: list[tuple[Panel, _Found]] = []
    for panel in panels:
        if panel.golden is None:
            continue
        try:
            found.append((panel, check_golden(panel, panel.golden)))
        except JudgeFaultError as fault:
            found.append((panel, fault))
        except MisuseError:
            continue  # it was closed meanwhile: another one serves
    return found
