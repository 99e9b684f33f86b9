"""A judge's model on several devices: whichever of them is free takes the next micro-batch.

The cut is that of one device, and so are the answers, to the bit: which device reads a micro-batch changes nothing in
it. A replica that fails for good is taken out, and the others read what it had taken; the last one's failure is the
judge's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from typing import ParamSpec, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.forward import Forward, Rows
from prefstream.scoring.judges.logits import Logits, Passes
from prefstream.scoring.judges.microbatch import MicroBatch, Pending, Taker, distinct

_T = TypeVar("_T")
_P = ParamSpec("_P")


class _Answers:
    """What is known so far of sequences that are read together."""

    def __init__(self, count: int, outputs: int) -> None:
        self.values: NDArray[np.float32] = np.zeros((count, outputs), dtype=np.float32)
        self.too_large: set[int] = set()
        self._readers: dict[int, Forward] = {}

    def take(self, rows: Rows, reader: Forward) -> None:
        """What one replica read."""
        self.values[list(rows.indices)] = rows.values
        self.too_large.update(rows.too_large)
        self._readers.update(dict.fromkeys(rows.indices, reader))

    def who_is_not_finite(self) -> Forward | None:
        """Who gave the first number that is none; None where all are numbers."""
        broken = np.flatnonzero(~np.isfinite(self.values).all(axis=1))
        return self._readers[int(broken[0])] if len(broken) else None

    def is_wanting(self, micro_batch: MicroBatch) -> bool:
        """Whether one of its sequences has no answer, or one that is no finite number."""
        indices = list(micro_batch.indices)
        return not (self.too_large.isdisjoint(indices) and np.isfinite(self.values[indices]).all())

    def mend(self, rows: Rows) -> bool:
        """Take from another replica what one had no answer to; False where there is nothing of that."""
        mended = False
        for index, row in zip(rows.indices, rows.values, strict=True):
            if np.isfinite(row).all() and (index in self.too_large or not np.isfinite(self.values[index]).all()):
                self.values[index] = row
                self.too_large.discard(index)
                mended = True
        return mended


class Replicas:
    """Runs the same sequence classifier on several devices, each in a thread of its own."""

    def __init__(self, forwards: Sequence[Forward], *, judge: str) -> None:
        """Start the threads.

        Args:
            forwards: at least two that answer alike; closed with this.
            judge: name, for messages.
        """
        self._forwards = tuple(forwards)
        self._living = self._forwards
        self._judge = judge
        self._untold: list[JudgeFaultError] = []
        self._threads = {
            forward: ThreadPoolExecutor(1, thread_name_prefix=f"judge-{judge}-{place}")
            for place, forward in enumerate(forwards, start=1)
        }

    @property
    def forwards(self) -> tuple[Forward, ...]:
        """All of them, those that were taken out included."""
        return self._forwards

    @property
    def budget_tokens(self) -> int:
        """Padded tokens of one pass, at most: as many as each of those that are left has room for."""
        return min(forward.budget_tokens for forward in self._living)

    def padded_tokens(self, lengths: Sequence[int]) -> int:
        """Tokens that passes over sequences of these lengths read, padding included.

        Args:
            lengths: tokens of each.
        """
        return self._living[0].padded_tokens(lengths, self.budget_tokens)

    def passes(self, lengths: Sequence[int]) -> Passes:
        """Which sequences of these lengths go through a pass together, as of now, on whichever device.

        Args:
            lengths: tokens of each.
        """
        return self._living[0].passes(lengths, self.budget_tokens)

    def logits(self, sequences: Sequence[Sequence[int]], *, names: Sequence[str] = ()) -> Logits:
        """Run every sequence through one of the models, one that occurs several times once.

        Args:
            sequences: token ids, at least one each.
            names: of what each sequence is of, for messages; none, or one for each.

        Raises:
            JudgeFaultError: as `Forward.logits`, where the last replica fails, or all of them give numbers that are
                not finite.
        """
        different, positions = distinct(sequences)
        answers = _Answers(len(different), self._living[0].outputs)
        self._read(different, answers)
        if (blinded := answers.who_is_not_finite()) is not None:
            raise blinded.not_finite(answers.values[positions], names)
        lost, self._untold = tuple(self._untold), []
        return Logits(answers.values, frozenset(answers.too_large), lost).at(positions)

    def warm_up(self, sequence: Sequence[int]) -> bool:
        """As `Forward.warm_up`, on all devices at once, each in the thread that will score there.

        Args:
            sequence: to fill the pass with.

        Returns:
            Whether it fits everywhere, at least alone.

        Raises:
            JudgeFaultError: a device failed; nothing is taken out.
        """
        warming = [self._submit(forward, forward.warm_up, sequence) for forward in self._living]
        wait(warming)
        return all(future.result() for future in warming)

    def close(self) -> None:
        """Let go of all models and give the devices' memory back."""
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)
        with ExitStack() as stack:
            for forward in self._forwards:
                stack.callback(forward.close)

    def _read(self, sequences: Sequence[Sequence[int]], answers: _Answers) -> None:
        cut = self._living[0].cutting(sequences)
        pending = Pending.all_of(sequences, cut, tokens=self.budget_tokens)
        while pending:  # again where one failed when the others had found nothing left
            takers = {forward: Taker(pending) for forward in self._living}
            running = {
                forward: self._submit(forward, _read_or_give_up, forward, sequences, taker)
                for forward, taker in takers.items()
            }
            wait(running.values())
            for forward, future in running.items():
                try:
                    answers.take(future.result(), forward)
                except JudgeFaultError as fault:
                    self._take_out(forward, fault)
            for forward, taker in takers.items():
                if wanting := [micro_batch for micro_batch in taker.taken if answers.is_wanting(micro_batch)]:
                    self._ask_others(forward, sequences, Pending(wanting, cut, tokens=self.budget_tokens), answers)

    def _ask_others(
        self, forward: Forward, sequences: Sequence[Sequence[int]], wanting: Pending, answers: _Answers
    ) -> None:
        """Have others read what one could not: where one of them can, its device is at fault, and not what it read."""
        for other in self._living:
            if other is forward:
                continue
            taker = Taker(wanting)
            try:
                rows = self._submit(other, other.read, sequences, taker).result()
            except JudgeFaultError as fault:
                taker.give_up()
                self._take_out(other, fault)
                continue
            if answers.mend(rows):
                detail = f"no answer on {forward.device} to what {other.device} answers: short of memory, or not finite"
                self._take_out(forward, JudgeFaultError(self._judge, detail, transient=False))
                return
            taker.give_up()

    def _take_out(self, forward: Forward, fault: JudgeFaultError) -> None:
        """Go on without a replica that failed for good; its model stays where it is until all are closed.

        Raises:
            JudgeFaultError: it was the last one.
        """
        if forward not in self._living:
            return
        left = tuple(one for one in self._living if one is not forward)
        if not left:
            raise fault
        self._living = left
        structlog.get_logger().error(
            "replica taken out", judge=self._judge, device=forward.device, detail=fault.detail, left=len(left)
        )
        detail = f"{fault.detail}; {len(left)} of {len(self._forwards)} replicas are left"
        self._untold.append(JudgeFaultError(self._judge, detail, transient=False, replica=forward.device))

    def _submit(self, forward: Forward, work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> Future[_T]:
        try:
            return self._threads[forward].submit(work, *args, **kwargs)
        except RuntimeError:  # all that a pool of threads says of being shut down
            raise JudgeFaultError(self._judge, "is closed", transient=False) from None


def _read_or_give_up(forward: Forward, sequences: Sequence[Sequence[int]], taker: Taker) -> Rows:
    """Read what is pending; what was taken by who then fails is pending again at once, for those who still read."""
    try:
        return forward.read(sequences, taker, shared=True)
    except JudgeFaultError:
        taker.give_up()
        raise
