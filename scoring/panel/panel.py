"""The panel: judges in threads, one each, and the answer they give together."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import Battle
from prefstream.scoring.errors import BattleTooLargeError, JudgeFaultError, MisuseError
from prefstream.scoring.extras import explained
from prefstream.scoring.golden.record import GoldenSet
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import Judge, JudgeBatch, Scores
from prefstream.scoring.panel.combine import JudgeAnswers, PanelAnswer, combine
from prefstream.scoring.panel.identity import decided_by_panel, identify, version_of
from prefstream.scoring.panel.length import length_odds
from prefstream.scoring.panel.orders import split
from prefstream.scoring.panel.recusal import Recusal, Recused
from prefstream.scoring.panel.threads import JudgeThreads, wait_for
from prefstream.scoring.panel.turns import OnJudged, turn_of

if TYPE_CHECKING:
    from narwhals.stable.v2.typing import IntoDataFrameT

CHUNK_BATTLES: Final = 128
"""Scored together: enough to sort by length into full micro-batches, few enough to show progress and bound memory."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """Battles, tokenised for every judge.

    Attributes:
        count: number of battles.
        padded_tokens: tokens that the forward passes of the costliest judge will read, padding included.
        parts: what each judge reads, in the panel's order; None for one that was left out.
        recused: who must not count where, a column per judge; None where nobody is recused.
        length_odds: what the answers' lengths are worth to the panel, as `length.length_odds` has it; None where the
            panel has no length slope.
    """

    count: int
    padded_tokens: int
    parts: tuple[JudgeBatch | None, ...]
    recused: Recused | None = field(default=None, repr=False)
    length_odds: NDArray[np.float64] | None = field(default=None, repr=False)


class Panel:
    """Judges that vote together. A context manager; closes its judges.

    `score` takes battles; `encode` and `score_encoded` are its two halves. `encode` may be called from any thread, also
    while the others run. They may be called by several threads; their batches then queue up at each judge, and who is
    done with one goes on to the next while others still have it.

    Attributes:
        identity: which panel this is; every answer says it.
        length_slope: nats of the log odds of A against B per doubling of length, that answers are told without, too
            (`adjusted`); None where they are not.
        recuse: by judge, shell patterns for names of models that it does not judge.
        decides: what decides, beside its judges, what it answers.
        golden: battles with the answers that it is known to give, for `golden.check.require_golden`; None where nobody
            knows any. To read and to state them is part of loading, to ask for them is not: it takes a batch.
    """

    def __init__(
        self,
        judges: Sequence[Judge] | JudgeThreads,
        *,
        swap: bool = False,
        calibration: Calibration | None = None,
        calibration_version: str | None = None,
        length_slope: float | None = None,
        recuse: Mapping[str, Sequence[str]] | None = None,
        weights: Mapping[str, float] | None = None,
        on_judge_failure: Literal["stop", "degrade"] = "stop",
        golden: GoldenSet | None = None,
    ) -> None:
        """Start the threads.

        Args:
            judges: at least one, with a positive sum of weights and different names; or the threads that they have
                already, which know what to do when one fails.
            swap: score both orders of every battle with the judges for which that matters.
            calibration: of the weighted mean.
            calibration_version: of the file that holds it, for the answers.
            length_slope: as the attribute; 0 is as None.
            recuse: as the attribute: where `model_a` or `model_b` of a battle fits a pattern, the judge does not count.
            weights: by judge, in place of those that the judges have.
            on_judge_failure: raise when a judge fails for good, or go on without it.
            golden: as the attribute.

        Raises:
            MisuseError: `recuse` names a judge that is not there, or holds no list of patterns.
        """
        self._threads = (
            judges if isinstance(judges, JudgeThreads) else JudgeThreads(judges, degrade=on_judge_failure == "degrade")
        )
        self.judges = self._threads.judges
        self.swap = swap
        self._calibration = calibration or Calibration()
        self.length_slope = length_slope or None
        self.recuse = dict(recuse or {})
        self._recusal = Recusal([judge.name for judge in self.judges], self.recuse)
        self._weights = {judge.name: judge.weight for judge in self.judges} | dict(weights or {})
        decided = decided_by_panel(
            swap=swap, calibration=self._calibration, length_slope=self.length_slope, recuse=self.recuse
        )
        self.decides = {"weights": self._weights, **decided}
        self.identity = identify(self.judges, self._weights, decided, calibration_version=calibration_version)
        self.golden = golden

    def __repr__(self) -> str:
        """Who is in it, for a notebook."""
        judges = ", ".join(f"{judge.name} ({judge.provenance.kind})" for judge in self.judges)
        return f"<{type(self).__name__}: {judges}{'; in both orders' if self.swap else ''}>"

    @property
    def trained(self) -> bool:
        """Whether no judge has a random head: if one has, the probabilities mean nothing."""
        return all(judge.provenance.trained is not False for judge in self.judges)

    @property
    def left_out(self) -> tuple[str, ...]:
        """Names of judges that failed for good, in the panel's order."""
        return self._threads.left_out

    @property
    def on_fault(self) -> Callable[[JudgeFaultError], None]:
        """Called with every fault of a judge, in whatever thread notices; set it to be told.

        Those that pass when it is tried again and those that cost it a replica are among them.
        """
        return self._threads.on_fault

    @on_fault.setter
    def on_fault(self, told: Callable[[JudgeFaultError], None]) -> None:
        self._threads.on_fault = told

    @property
    def weights(self) -> Mapping[str, float]:
        """Of the judges in the mean, by name; they need not sum to 1."""
        return self._weights

    def recalibrated(self, calibration: CalibrationFile | None) -> Panel:
        """The same judges, weighed and calibrated in another way: a panel beside this one, of which nothing is loaded.

        Both may score at the same time. They share judges and threads: closing one closes the other.

        Args:
            calibration: the panel's temperature, tie bias and length slope, and weights, in place of what this panel
                has; None for none of them. A judge that it gives no weight has its own.

        Raises:
            MisuseError: it calibrates a single judge in another way than that one was loaded; or it names a judge that
                the panel does not have, or none that counts.
        """
        version = None if calibration is None else version_of(calibration)
        calibration = calibration or CalibrationFile()
        own = {judge.name: judge for judge in self.judges}
        if strangers := sorted({*calibration.judges, *calibration.weights} - own.keys()):
            raise MisuseError(f"panel.recalibrated: the panel has no judge {strangers[0]}")
        for name, wanted in calibration.judges.items():
            if own[name].settings.get("calibration") != wanted.model_dump(mode="json"):
                raise MisuseError(f"panel.recalibrated: {name}: a judge's own calibration is taken when it is loaded")
        weights = {judge.name: judge.weight for judge in self.judges} | dict(calibration.weights)
        if not any(weights.values()):
            raise MisuseError("panel.recalibrated: every weight is 0; at least one judge must count")
        return Panel(
            self._threads,
            swap=self.swap,
            calibration=calibration.panel,
            calibration_version=version,
            length_slope=calibration.length_slope,
            recuse=self.recuse,
            weights=weights,
            golden=None if self.golden is None else self.golden.of_judges_alone(),
        )

    def shares_judges(self, other: Panel) -> bool:
        """Whether closing one of both closes the other."""
        return self.judges is other.judges

    def encode(self, battles: Sequence[Battle]) -> EncodedBatch:
        """Tokenise battles for every judge that still takes part.

        Args:
            battles: any number, none included; all of them are in memory at once.

        Raises:
            MisuseError: one is no battle, or what is given can be walked only once.
        """
        if not isinstance(battles, Sequence) or isinstance(battles, str | bytes):
            raise MisuseError(f"panel.encode: one {type(battles).__name__} was given; call it with a list of battles")
        strangers = {type(one).__name__ for one in battles if not isinstance(one, Battle)}
        if strangers:
            raise MisuseError(
                f"panel: {', '.join(sorted(strangers))} given where battles are expected; make them by "
                "Battle(id=..., prompt=..., response_a=..., response_b=...)"
            )
        exchanged: list[Battle] = []
        if self.swap and not all(judge.symmetric for judge in self.judges):
            exchanged = [battle.swap() for battle in battles]
        both = [*battles, *exchanged]
        parts = tuple(
            None if judge.name in self.left_out else judge.encode(battles if judge.symmetric else both)
            for judge in self.judges
        )
        padded_tokens = max((part.padded_tokens for part in parts if part), default=0)
        return EncodedBatch(
            len(battles),
            padded_tokens,
            parts,
            recused=self._recusal.of(battles),
            length_odds=None if self.length_slope is None else length_odds(battles, self.length_slope),
        )

    def score(self, battles: Iterable[Battle]) -> list[PanelAnswer | BattleTooLargeError]:
        """Let every judge score battles, and combine what they say; any number, a chunk at a time.

        Args:
            battles: of which `CHUNK_BATTLES` at a time are taken and scored together.

        Returns:
            One per battle, in order: the answer, or the error of a judge's device that is too small for it.

        Raises:
            MisuseError: what is given holds something else than battles, or the panel is closed.
            JudgeFaultError: a judge failed for good and the panel is set to stop, or no judge that counts is left.
        """
        if isinstance(battles, Battle | EncodedBatch) or not isinstance(battles, Iterable):
            wanted = (
                "score_encoded(batch)" if isinstance(battles, EncodedBatch) else "a list of battles: score([battle])"
            )
            raise MisuseError(f"panel.score: one {type(battles).__name__} was given; call it with {wanted}")
        answers: list[PanelAnswer | BattleTooLargeError] = []
        remaining = iter(battles)
        while chunk := list(itertools.islice(remaining, CHUNK_BATTLES)):
            answers += self.score_encoded(self.encode(chunk))
        return answers

    def score_frame(self, frame: IntoDataFrameT) -> IntoDataFrameT:
        """Score a data frame of battles; a row that is no battle costs no other row its answer.

        Args:
            frame: of pandas or Polars, or a PyArrow table, with the columns `prompt`, `response_a` and `response_b`:
                texts, lists of turns, or JSON lists in strings, as in Kaggle's CSV. A panel with recusal reads
                `model_a` and `model_b`, too, where they are there.

        Returns:
            A frame of the same kind with the same rows and columns, and these beside them: `probability_model_a`,
            `probability_model_b`, `probability_tie`, `preferred`, `disagreement`, and `error`, which is null where
            there is an answer, and else says why there is none. With a length slope `adjusted_model_a`,
            `adjusted_model_b` and `adjusted_tie`; with recusal `recused`, the judges' names, null where nobody is.

        Raises:
            MisuseError: it is no such frame, or the panel is closed.
            MissingExtraError: `prefstream[judges]`, which has what reads frames, is not installed.
            JudgeFaultError: as `score`.
        """
        with explained("Panel.score_frame", "judges"):
            from prefstream.scoring.panel.frame import score_frame  # the stream must not pay for narwhals

        return score_frame(self, frame)

    def score_encoded(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> list[PanelAnswer | BattleTooLargeError]:
        """Let every judge score a batch that is tokenised already: the second half of `score`.

        For programs that tokenise the next batch while this one is scored.

        Args:
            batch: what `encode` returned.
            on_judged: told when each judge began and ended, in the judge's thread.

        Returns:
            As `score`.

        Raises:
            MisuseError: the panel is closed.
            JudgeFaultError: a judge failed for good and the panel is set to stop, or no judge that counts is left.
        """
        return self.begin(batch, on_judged=on_judged)()

    def begin(
        self, batch: EncodedBatch, *, on_judged: OnJudged | None = None
    ) -> Callable[[], list[PanelAnswer | BattleTooLargeError]]:
        """Give every judge a batch, and return at once: for programs that let another panel score meanwhile.

        Args:
            batch: what `encode` returned.
            on_judged: as of `score_encoded`.

        Returns:
            What waits for the judges and returns, or raises, as `score_encoded` does; to be called once.

        Raises:
            MisuseError: the panel is closed.
        """
        if not isinstance(batch, EncodedBatch):
            raise MisuseError("panel.score_encoded takes what panel.encode returned; battles go to panel.score")
        running = [
            (judge, part, self._threads.submit_turn(judge, turn_of(judge, part, on_judged)))
            for judge, part in zip(self.judges, batch.parts, strict=True)
            if batch.count and part is not None and judge.name not in self.left_out
        ]
        return partial(self._collect, batch, running)

    def _collect(
        self, batch: EncodedBatch, running: Sequence[tuple[Judge, JudgeBatch, Future[Scores | None]]]
    ) -> list[PanelAnswer | BattleTooLargeError]:
        """Wait for the judges that have a batch, and combine what they say."""
        if not batch.count:
            return []
        answers: list[JudgeAnswers] = []
        too_large: dict[int, BattleTooLargeError] = {}
        faults: list[JudgeFaultError] = []
        for judge, part, future in running:
            try:
                scores = wait_for(judge, future)
            except JudgeFaultError as fault:
                self.on_fault(fault)
                faults.append(fault)
                continue
            if scores is None:
                continue
            for lost in scores.lost:
                self.on_fault(lost)
            answers.append(split(judge, part, scores, batch.count, swap=self.swap, weight=self._weights[judge.name]))
            too_large.update({position % batch.count: error for position, error in scores.too_large.items()})
        if faults and not self._threads.degrade:
            raise faults[0]
        if not sum(answer.weight for answer in answers):
            raise self._nobody_left(faults)
        names = {answer.name for answer in answers}
        # Of this batch: one that overlaps it may have had a judge that failed at the next.
        left_out = tuple(judge.name for judge in self.judges if judge.name not in names)
        return combine(
            answers,
            calibration=self._calibration,
            identity=self.identity,
            left_out=left_out,
            too_large=too_large,
            recused=None if batch.recused is None else batch.recused[:, [judge.name in names for judge in self.judges]],
            length_odds=batch.length_odds,
        )

    def submit(self, judge: Judge, work: Callable[[], T]) -> Future[T]:
        """Let a judge work in its own thread, where nothing else uses it; again after a fault that may pass.

        Args:
            judge: one of the panel's.
            work: what to call there. Read its result by `wait_for`.

        Raises:
            MisuseError: the panel is closed.
        """
        return self._threads.submit(judge, work)

    def close(self) -> None:
        """Wait for batches that are being scored, then free every judge's memory. May be called twice."""
        self._threads.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _nobody_left(self, faults: Sequence[JudgeFaultError]) -> JudgeFaultError:
        if faults:
            return faults[-1]
        return JudgeFaultError(", ".join(self.left_out), "every judge that counts has failed", transient=False)
