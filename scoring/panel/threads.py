"""Judges in threads, one each, and what becomes of one that fails.

Each judge works in its own thread, which nothing else uses: what torch keeps per thread (autocast, inference mode,
thread count, CUDA stream) belongs to that judge. One with replicas has a thread more for each of them. Threads run at
the same time because torch and the tokenizers release the interpreter lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

import numpy as np
import structlog
import tenacity

from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError, MisuseError
from prefstream.scoring.judges.judge import Judge, Scores, close_all

ATTEMPTS: Final = 3
"""A flaky card recovers at once or not at all; more attempts would only delay the clear error."""

RETRY_WAIT_S: Final = 0.2
"""First wait between attempts, doubled for the second: short against a batch, long for a device's hiccup."""

T = TypeVar("T")


class JudgeThreads:
    """Runs the judges of a panel, each in its own thread.

    Args:
        judges: with different names.
        degrade: go on without a judge that failed for good.

    Attributes:
        on_fault: called with every fault of a judge, in whatever thread notices.
    """

    def __init__(self, judges: Sequence[Judge], *, degrade: bool) -> None:
        self.judges = tuple(judges)
        self.on_fault: Callable[[JudgeFaultError], None] = lambda _: None
        self._degrade = degrade
        self._left_out: tuple[str, ...] = ()
        self._lock = threading.Lock()
        self._threads = {
            judge.name: ThreadPoolExecutor(1, thread_name_prefix=f"judge-{judge.name}") for judge in self.judges
        }

    @property
    def degrade(self) -> bool:
        """Whether the others go on without a judge that failed for good."""
        return self._degrade

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of judges that failed for good, in their order."""
        return self._left_out

    def submit(self, judge: Judge, work: Callable[[], T]) -> Future[T]:
        """Let a judge work in its own thread; again after a fault that may pass.

        Args:
            judge: one of these.
            work: what to call there. Read its result by `wait_for`.

        Raises:
            MisuseError: they are closed.
        """
        try:
            return self._threads[judge.name].submit(self._in_turn, judge, work)
        except RuntimeError:  # all that a pool of threads says of being shut down
            raise MisuseError("the panel is closed; score inside its `with` block, or load it again") from None

    def submit_turn(self, judge: Judge, turn: Callable[[], Scores]) -> Future[Scores | None]:
        """As `submit`; None of a judge that has failed since it got this to do."""
        return self.submit(judge, partial(self._unless_left_out, judge, turn))

    def close(self) -> None:
        """Wait for what is being scored, then free every judge's memory. May be called twice."""
        for judge in self.judges:
            self._threads[judge.name].shutdown(wait=True, cancel_futures=True)
        close_all(self.judges)

    def _with_retry(self, work: Callable[[], T]) -> T:
        def tell(attempt: tenacity.RetryCallState) -> None:
            if attempt.outcome and isinstance(fault := attempt.outcome.exception(), JudgeFaultError):
                self.on_fault(fault)

        return tenacity.Retrying(
            stop=tenacity.stop_after_attempt(ATTEMPTS),
            wait=tenacity.wait_exponential(multiplier=RETRY_WAIT_S),
            retry=tenacity.retry_if_exception(_may_pass),
            before_sleep=tell,
            reraise=True,
        )(work)

    def _in_turn(self, judge: Judge, work: Callable[[], T]) -> T:
        """In the judge's thread: what it fails at for good is its last piece of work, where the others are to go on."""
        try:
            done = self._with_retry(work)
            if isinstance(done, Scores):
                _require_finite(judge, done)
        except BattleTooLargeError:
            raise
        except Exception as error:
            if self._degrade:
                self._leave_out(_as_fault(judge, error))
            raise
        else:
            return done

    def _unless_left_out(self, judge: Judge, turn: Callable[[], Scores]) -> Scores | None:
        return None if judge.name in self._left_out else turn()

    def _leave_out(self, fault: JudgeFaultError) -> None:
        with self._lock:
            self._left_out = tuple(
                judge.name for judge in self.judges if judge.name == fault.judge or judge.name in self._left_out
            )
        structlog.get_logger().error("judge left out", judge=fault.judge, detail=fault.detail)


def wait_for(judge: Judge, future: Future[T]) -> T:
    """Wait for what `Panel.submit` began.

    Raises:
        JudgeFaultError: the judge failed for good, in whatever way.
        BattleTooLargeError: the judge's device is too small for a sequence.
    """
    try:
        return future.result()
    except (JudgeFaultError, BattleTooLargeError):
        raise
    except Exception as error:
        raise _as_fault(judge, error) from error


def _as_fault(judge: Judge, error: Exception) -> JudgeFaultError:
    if isinstance(error, JudgeFaultError):
        return error
    # The text of a foreign exception may hold anything; its type and trace say where to look.
    return JudgeFaultError(judge.name, f"{type(error).__name__} while scoring", transient=False)


def _require_finite(judge: Judge, scores: Scores) -> None:
    """No answer of the panel is made of what is no number, whatever kind of judge gave it."""
    if not np.isfinite(scores.probabilities).all():
        raise JudgeFaultError(judge.name, "a probability is no finite number", transient=False)


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, JudgeFaultError) and error.transient
