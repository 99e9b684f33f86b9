"""Whether a panel gives the answers that it is known to give: the golden battles, scored once more in one batch.

Where nothing differs that could move a bit, every bit must be as it was: the same micro-batches give the same bits, so
anything else comes of broken weights, a broken card, or a mistake. Where something does, the answers must be near the
known ones, and a panel that has been near once is held to what it said then, to the bit, for as long as it is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from prefstream.schemas import OUTCOMES, Probabilities
from prefstream.scoring.errors import BattleTooLargeError, GoldenSetError
from prefstream.scoring.golden.bounds import LARGEST
from prefstream.scoring.golden.fingerprint import (
    AnsweredBattle,
    B,
    KnownPanel,
    differences,
    fingerprint,
    given_answer,
    moved,
    own_answer,
)
from prefstream.scoring.golden.record import GoldenSet, KnownAnswer, PanelRecord
from prefstream.scoring.probabilities import Triples

PANEL: Final = "panel"
"""Name of the answers that all judges give together; no judge's, as far as findings go: it comes last."""


@dataclass(frozen=True, slots=True)
class AnswerFinding:
    """One judge's answers, or the panel's, beside the known ones.

    Attributes:
        name: of the judge; `panel` for the panel.
        to_the_bit: whether nothing differs that could move a bit, so that all of them must be as they were.
        mean: absolute difference over all battles' probabilities.
        largest: of these.
        changed: battles of which a bit differs.
        bound: of the mean where bits may differ; a single probability may be ten times as far off.
    """

    name: str
    to_the_bit: bool
    mean: float
    largest: float
    changed: int
    bound: float

    @property
    def passed(self) -> bool:
        """Whether these are the known answers."""
        if self.to_the_bit:
            return not self.changed
        return self.mean <= self.bound and self.largest <= LARGEST * self.bound


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """What a check found.

    Attributes:
        source: the golden set's file.
        battles: of the set.
        others: what makes it another panel than the one that was recorded; nothing was scored then.
        moved: by judge, and by "" of all of them, what may have moved last bits.
        findings: each judge's answers in the panel's order, and the panel's behind them; the panel's own can't be
            compared where a judge was left out, or all are weighed and calibrated anew.
        unanswered: battles that a judge's device was too small for.
        left_out: names of judges that had failed for good before, or did in it.
        here: the same battles with the answers that were given now, which this panel, loaded as it is, must give again.
        seconds: that it took.
    """

    source: str
    battles: int
    others: tuple[str, ...]
    moved: Mapping[str, str]
    findings: tuple[AnswerFinding, ...]
    unanswered: int
    left_out: tuple[str, ...]
    here: GoldenSet | None
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether the panel gives the answers that it is known to give."""
        return not self.others and not self.unanswered and all(finding.passed for finding in self.findings)

    @property
    def summary(self) -> str:
        """Of a check that was passed: how near its answers were, in a line."""
        exact = all(not finding.changed for finding in self.findings)
        near = "as known, to the bit" if exact else f"near the known ones ({'; '.join(_near(self.findings))})"
        why = f", with {'; '.join(_named(self.moved))}" if self.moved else ""
        without = f", without {', '.join(self.left_out)}" if self.left_out else ""
        took = f"{self.seconds:.1f}" if self.seconds >= 1 else f"{self.seconds:.2f}"
        return f"answers to {self.battles} golden battles {near}{why}{without}; {took} s"

    @property
    def problem(self) -> str | None:
        """What is wrong, where, and what to do, in a line; None where nothing is."""
        if self.others:
            return (
                f"{self.source}: the panel is another one than this golden set is of: {'; '.join(self.others)}; load "
                "what it was made with, or make it anew (prefstream golden make) if that is meant to be"
            )
        if self.unanswered:
            return (
                f"{self.source}: {self.unanswered} of {self.battles} golden battles do not fit on the device, even "
                "alone; free its memory, or make the set anew (prefstream golden make)"
            )
        if self.passed:
            return None
        wrong = [finding for finding in self.findings if not finding.passed]
        judges = [finding for finding in wrong if finding.name != PANEL] or wrong
        return f"{self.source}: {'; '.join(map(self._told, judges))}; {_REMEDY}"

    def require(self) -> None:
        """Refuse a panel that did not pass.

        Raises:
            GoldenSetError: what is wrong.
        """
        if (problem := self.problem) is not None:
            raise GoldenSetError(problem)

    def _told(self, finding: AnswerFinding) -> str:
        who = "the panel" if finding.name == PANEL else f"judge {finding.name}"
        off = f"{_rounded(finding.mean)} on average, {_rounded(finding.largest)} at most"
        if finding.to_the_bit:
            return f"{who} answers {finding.changed} of {self.battles} golden battles otherwise, off by {off}"
        why = "; ".join(_named(self.moved)) or "a server of its own"
        return f"{who} is off its known answers by {off}; {why} can explain {_rounded(finding.bound)} on average"


_REMEDY: Final = (
    "its weights, on disk or in memory, its device or a library are not what they were: start again, and if it stays "
    "so, look at the device, and at what was written or installed since"
)


def check_golden(panel: KnownPanel[B], golden: GoldenSet) -> GoldenReport:
    """Let a panel answer golden battles in one batch, and compare.

    Args:
        panel: stays open.
        golden: with the answers that it is known to give.

    Raises:
        JudgeFaultError: a judge broke down, and the panel is set to stop, or none that counts is left.
        MisuseError: the panel is closed.
    """
    began = time.monotonic()
    batch = panel.encode(golden.battles)
    before = fingerprint(panel, batch)
    others = tuple(differences(golden, before, panel.left_out))
    if others:
        return _report(golden, began, others=others)
    given = panel.score_encoded(batch)
    # Of a device that ran out of memory meanwhile the cut is another one than was planned.
    after = fingerprint(panel, batch)
    moves = moved(golden.panel, before) or moved(golden.panel, after)
    answers = [answer for answer in given if not isinstance(answer, BattleTooLargeError)]
    if len(answers) < len(given):
        return _report(golden, began, moves=moves, unanswered=len(given) - len(answers), left_out=panel.left_out)
    return _report(
        golden,
        began,
        moves=moves,
        findings=tuple(_findings(golden, answers, moves)),
        left_out=panel.left_out,
        here=None if panel.left_out else _held_to(golden, after, answers),
    )


def require_golden(panel: KnownPanel[B]) -> GoldenReport | None:
    """Refuse a panel that has a golden set and does not give its answers; one that has none is let through.

    Where it passed, `panel.golden` has its own answers from then on, to be held to the bit.

    Args:
        panel: loaded, and not serving yet, or between two batches.

    Raises:
        GoldenSetError: it is another panel than the set is of, or answers otherwise.
        JudgeFaultError: as `check_golden`.
    """
    if panel.golden is None:
        return None
    report = check_golden(panel, panel.golden)
    report.require()
    panel.golden = report.here or panel.golden
    return report


def _held_to(golden: GoldenSet, record: PanelRecord, answers: Sequence[AnsweredBattle]) -> GoldenSet:
    """What this panel must answer from now on: what it answered now, where it can give the same bits again."""
    repeatable = {name for name, judge in record.judges.items() if judge.repeatable}
    all_are = len(repeatable) == len(record.judges)
    held = []
    for known, given in zip(golden.answers, answers, strict=True):
        here = given_answer(known.battle, given)
        judges = {name: said if name in repeatable else known.judges[name] for name, said in here.judges.items()}
        held.append(KnownAnswer(battle=known.battle, panel=here.panel if all_are else known.panel, judges=judges))
    return GoldenSet(golden.source, record, tuple(held))


def _report(
    golden: GoldenSet,
    began: float,
    *,
    others: tuple[str, ...] = (),
    moves: Mapping[str, str] | None = None,
    findings: tuple[AnswerFinding, ...] = (),
    unanswered: int = 0,
    left_out: tuple[str, ...] = (),
    here: GoldenSet | None = None,
) -> GoldenReport:
    return GoldenReport(
        source=golden.source,
        battles=len(golden.answers),
        others=others,
        moved=moves or {},
        findings=findings,
        unanswered=unanswered,
        left_out=left_out,
        here=here,
        seconds=time.monotonic() - began,
    )


def _findings(
    golden: GoldenSet, answers: Sequence[AnsweredBattle], moves: Mapping[str, str]
) -> Iterator[AnswerFinding]:
    names = [opinion.name for opinion in answers[0].judges]
    for place, name in enumerate(names):
        record = golden.panel.judges[name]
        yield _compared(
            name,
            [known.judges[name] for known in golden.answers],
            [own_answer(answer.judges[place]) for answer in answers],
            to_the_bit=record.repeatable and name not in moves and "" not in moves,
            bound=record.bound,
        )
    records = golden.panel.judges.values()
    if len(names) == len(records) and not golden.judges_alone:
        yield _compared(
            PANEL,
            [known.panel for known in golden.answers],
            [answer.probabilities for answer in answers],
            to_the_bit=not moves and all(record.repeatable for record in records),
            bound=max(record.bound for record in records),
        )


def _compared(
    name: str, known: Sequence[Probabilities], given: Sequence[Probabilities], *, to_the_bit: bool, bound: float
) -> AnswerFinding:
    gaps = np.abs(_triples(given) - _triples(known))
    changed = sum(one != other for one, other in zip(given, known, strict=True))
    return AnswerFinding(name, to_the_bit, float(gaps.mean()), float(gaps.max()), changed, bound)


def _triples(rows: Sequence[Probabilities]) -> Triples:
    return np.array([[getattr(row, outcome) for outcome in OUTCOMES] for row in rows], dtype=np.float64)


def _near(findings: Sequence[AnswerFinding]) -> Iterator[str]:
    for finding in findings:
        yield f"{finding.name} off by {_rounded(finding.mean)} of {_rounded(finding.bound)} on average"


def _named(moves: Mapping[str, str]) -> Iterator[str]:
    for name, what in moves.items():
        yield f"{name}: {what}" if name else what


def _rounded(value: float) -> str:
    return f"{value:.1g}" if value < 0.1 else f"{value:.2f}"
