"""Live calibration: whether a panel, fitted to the votes that people cast lately, is better than the one that serves.

A fit is judged on votes that were cast after all that it was made of (prequential, after Dawid 1984), against what
serves, recomputed on the same votes from what the judges said. Only what is better by more than chance may take its
place, and no further than within bounds. What is decided follows from the votes alone; from one look to the next
nothing is remembered but when it was, and how many votes have come since.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from prefstream.schemas import OUTCOMES
from prefstream.scoring.calibration.fit import CalibrationBounds, Targets, fit_calibration, fit_weights
from prefstream.scoring.calibration.live_votes import (
    DEFAULT_VOTER_VOTES,
    HELD_OF_VOTER,
    CastVote,
    VoteColumns,
    VoteWindow,
    effective,
)
from prefstream.scoring.judges.calibration import STEEPEST_LENGTH, Calibration, CalibrationFile
from prefstream.scoring.panel.combine import weighted_mean
from prefstream.scoring.panel.recusal import who_counts
from prefstream.scoring.probabilities import Triples, log_losses

Verdict: TypeAlias = Literal["better", "not_better", "too_few_votes", "too_few_later_votes", "too_soon"]

Vector: TypeAlias = NDArray[np.float64]

LEAST_VOTES: Final = 200.0
"""That a fit is made of: a share of ties of .3 is known give or take .03 then."""

HALF_LIVES: Final = 10
"""That votes are held for: what is older weighs less than a thousandth."""

LATER: Final = (1, 2, 4)
"""A fit is judged on so many times the votes that are needed at least, the fewest first: what matters much shows in
few, what matters little in many."""

LEAST_GAIN: Final = 0.001
"""Nats of log loss. For less it is not worth it that answers of before and after can't be compared bit by bit."""

_DIGITS: Final = 4
"""Of what is published: a fifth would move no probability by more than a ten-thousandth."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveRules:
    """When a calibration may take another's place, and how far from it it may be.

    Attributes:
        half_life: a vote that so many others came after counts half. In votes, not in time: a quiet night teaches
            nothing and should make nothing be forgotten, and of a thousand votes the fit is as sure whether they took
            an hour or a month.
        later_votes: that a fit is judged on, at least, counted as votes of equal weight. A quarter of these must have
            come since the last look: whoever looks again and again at the same votes finds luck.
        every_ms: from one look to the next, and from the choice of what serves to the first, at least.
        errors: standard errors of the difference in log loss by which it must be better.
        weights_from: votes, of equal weight, from which on the judges' weights are fitted, too.
        temperature_factor: by which the temperature may change, up or down.
        tie_bias: nats by which the tie bias may change, up or down.
        weight_share: by which a judge's share in the mean may change.
    """

    half_life: float = 1_000.0
    later_votes: int = 300
    every_ms: int = 3_600_000
    errors: float = 2.0
    weights_from: int = 1_000
    temperature_factor: float = 1.25
    tie_bias: float = 0.5
    weight_share: float = 0.1

    @property
    def held(self) -> int:
        """Votes that are worth holding."""
        return int(HALF_LIVES * self.half_life)


@dataclass(frozen=True, slots=True)
class ServedCalibration:
    """What serves.

    Attributes:
        judges: names, in the order of the votes' columns.
        weights: of these; they need not sum to 1, and who has 0 only listens.
        file: the calibration.
    """

    judges: tuple[str, ...]
    weights: tuple[float, ...]
    file: CalibrationFile

    @property
    def shares(self) -> Vector:
        """The weights, summing to 1."""
        weights: Vector = np.array(self.weights)
        shares: Vector = weights / weights.sum()
        return shares

    def with_file(self, file: CalibrationFile) -> ServedCalibration:
        """The same judges, calibrated in another way.

        Args:
            file: a judge that it gives no weight keeps its own.
        """
        weights = tuple(
            file.weights.get(judge, weight) for judge, weight in zip(self.judges, self.weights, strict=True)
        )
        return ServedCalibration(self.judges, weights, file)

    def answers(self, votes: VoteColumns) -> Triples:
        """What it says of the battles that were voted on.

        Args:
            votes: on them.

        Returns:
            Shape (n, 3).
        """
        return self.file.panel.apply(_mean(votes, self.shares))


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a fit is to take the place of what serves.

    Attributes:
        verdict: `better` where it is.
        votes: that the fit was made of, as votes of equal weight.
        later: votes that it was judged on, likewise.
        file: the fit, within bounds; None where there were too few votes.
        log_loss: of what serves, on the later votes, in nats.
        change: what the fit changes of it; below 0 is better.
        error: standard error of the change.
    """

    verdict: Verdict
    votes: float
    later: float
    file: CalibrationFile | None = None
    log_loss: float | None = None
    change: float | None = None
    error: float | None = None


class LiveCalibrator:
    """Takes votes, and looks from time to time whether another calibration would be better.

    Args:
        rules: what is asked of a fit.
        voter_votes: for which one voter counts at most, however often they vote.
    """

    def __init__(self, rules: LiveRules, voter_votes: int = DEFAULT_VOTER_VOTES) -> None:
        self._rules = rules
        self._voter_votes = voter_votes
        self._window = VoteWindow(rules.held, HELD_OF_VOTER * voter_votes)
        self._new = 0
        self._looked_ms: int | None = None
        self._before_look: tuple[int, int | None] = (0, None)

    def __len__(self) -> int:
        """Votes that are held, on answers of whichever panel."""
        return len(self._window)

    def add(self, votes: Iterable[CastVote]) -> None:
        """Take votes in, in whatever order they come."""
        self._new += self._window.add(votes)

    def forget_before(self, moment: int) -> None:
        """Let go of votes that were cast before a moment, in ms since the epoch."""
        self._window.forget_before(moment)

    def due(self, now: int) -> bool:
        """Whether it is time for a look, at a moment in ms since the epoch."""
        # A look of the future was taken by a clock that has been set right since: it must not be waited for.
        rested = self._looked_ms is None or not 0 <= now - self._looked_ms < self._rules.every_ms
        return rested and self._new >= self._rules.later_votes / 4

    def looked(self, now: int) -> None:
        """The next look is not due before it would be after one at this moment, in ms since the epoch."""
        self._before_look = self._new, self._looked_ms
        self._looked_ms = now
        self._new = 0

    def take_back(self) -> None:
        """What the last look decided could not be carried out: the next one is as due as that was."""
        self._new, self._looked_ms = self._before_look

    def look(
        self,
        now: int,
        served: ServedCalibration,
        *,
        since: int = -1,
        of_panel: Callable[[Sequence[CastVote]], Sequence[CastVote]] = lambda votes: votes,
    ) -> Decision:
        """Decide by the votes that are held, but for those of the future.

        These come of clocks that differ. Were they believed, what is chosen now would be judged again by votes that
        chose it: they would still be younger than the choice.

        Args:
            now: ms since the epoch.
            served: what serves.
            since: when it was chosen, ms since the epoch; before all votes where it never was.
            of_panel: chooses the votes on answers of the judges that serve.
        """
        votes = of_panel([vote for vote in self._window.votes() if vote.order[0] <= now])
        if now - since < self._rules.every_ms:
            self._looked_ms = since  # as soon as it may be there is a look
            return Decision("too_soon", float(len(votes)), 0.0)
        self.looked(now)
        return decide(VoteColumns.of(votes, len(served.judges), self._voter_votes), served, self._rules, since=since)


def decide(votes: VoteColumns, served: ServedCalibration, rules: LiveRules, *, since: int = -1) -> Decision:
    """Fit a panel's calibration, and say whether it is better than the one that serves.

    Args:
        votes: the oldest first, on answers of the panel's judges.
        served: what serves.
        rules: what is asked of a fit.
        since: ms since the epoch; a fit is judged on votes that were cast after that alone, such as after what serves
            was chosen: so no vote helps to choose twice.
    """
    newest = int((votes.times > since).sum())
    decision = Decision("too_few_later_votes", 0.0, effective(votes.weights[len(votes) - newest :]))
    for later in _later(votes.weights, newest, rules):
        fitted_on, judged_on = votes.at(slice(None, -later)), votes.at(slice(-later, None))
        aged = fitted_on.weights * _fading(fitted_on.counted, rules.half_life)
        enough = effective(aged)
        if enough < LEAST_VOTES:
            if decision.file is None:
                decision = Decision("too_few_votes", enough, effective(judged_on.weights))
            break
        file = fit_near(fitted_on, aged, served, rules)
        change, error, log_loss = _compare(judged_on, served, file)
        better = change < -max(rules.errors * error, LEAST_GAIN)
        decision = Decision(
            "better" if better else "not_better",
            enough,
            effective(judged_on.weights),
            file,
            log_loss,
            change,
            error,
        )
        if better:
            break
    return decision


def fit_near(votes: VoteColumns, weights: Vector, served: ServedCalibration, rules: LiveRules) -> CalibrationFile:
    """The best calibration of the panel that is no further from what serves than one version may be.

    Each judge keeps its own temperature and tie bias: these are taken when it is loaded, and moving the panel's does
    nearly the same.

    Args:
        votes: that it is fitted to.
        weights: of these, shape (n,).
        served: what serves.
        rules: how far from that it may be.
    """
    before = served.file
    targets = Targets(np.eye(len(OUTCOMES))[votes.outcomes], weights, np.zeros(len(votes), dtype=np.bool_))
    shares, named = served.shares, before.weights
    if (shares > 0).sum() > 1 and effective(weights) >= rules.weights_from:
        shares = _shares_near(votes, targets, shares, rules.weight_share)
        named = dict(zip(served.judges, shares.tolist(), strict=True))
    old, factor = before.panel, rules.temperature_factor
    bounds = CalibrationBounds(
        (max(0.01, old.temperature / factor), min(100.0, old.temperature * factor)),
        (max(-30.0, old.tie_bias - rules.tie_bias), min(30.0, old.tie_bias + rules.tie_bias)),
    )
    fitted = fit_calibration(_mean(votes, shares), targets.shares, weights, targets.masked, bounds)
    panel = Calibration(
        temperature=float(np.clip(round(fitted.temperature, _DIGITS), *bounds.temperatures)),
        tie_bias=float(np.clip(round(fitted.tie_bias, _DIGITS), *bounds.tie_biases)),
    )
    slope = before.length_slope
    if slope is not None:  # the log odds of A against B are divided by the temperature, and so is their slope
        moved = slope * old.temperature / panel.temperature
        slope = round(float(np.clip(moved, -STEEPEST_LENGTH, STEEPEST_LENGTH)), 6) or None
    return CalibrationFile(panel=panel, judges=before.judges, weights=named, length_slope=slope)


def _later(weights: Vector, newest: int, rules: LiveRules) -> Iterator[int]:
    """How many of the newest votes a fit is judged on: as few as are enough, then more."""
    back = weights[len(weights) - newest :][::-1]
    if not newest:
        return
    enough = back.cumsum() ** 2 / (back * back).cumsum()
    for times in LATER:
        reached = np.flatnonzero(enough >= times * rules.later_votes - 1e-6)
        if not len(reached) or reached[0] + 1 >= len(weights):
            return
        yield int(reached[0]) + 1


def _fading(counted: Vector, half_life: float) -> Vector:
    """Of votes, the oldest first, how much each counts: half after so many others, who count as much as they do."""
    after = counted[::-1].cumsum()[::-1] - counted
    faded: Vector = np.exp2(-after / half_life)
    return faded


def _shares_near(votes: VoteColumns, targets: Targets, shares: Vector, most: float) -> Vector:
    """The judges' shares, on the way from what serves to what fits best, as far as none moves by more than `most`."""
    counted = np.flatnonzero(shares > 0)
    fitted = np.zeros_like(shares)
    fitted[counted] = fit_weights(list(votes.answers[counted]), targets, list(_who_counts(votes, shares)[counted]))
    move = fitted - shares
    widest = float(np.abs(move).max())
    near: Vector = shares + move * min(1.0, most / widest if widest else 1.0)
    return near


def _mean(votes: VoteColumns, shares: Vector) -> Triples:
    counts = _who_counts(votes, shares)
    return weighted_mean(
        list(votes.answers), [np.where(counted, share, 0.0) for counted, share in zip(counts, shares, strict=True)]
    )


def _who_counts(votes: VoteColumns, shares: Vector) -> NDArray[np.bool_]:
    """Of each vote, which judges would count now: with other weights than then perhaps none that did has one."""
    counts: NDArray[np.bool_] = who_counts(~votes.counts.T, shares.tolist()).T
    return counts


def _compare(votes: VoteColumns, served: ServedCalibration, file: CalibrationFile) -> tuple[float, float, float]:
    """Log loss of a fit less that of what serves, its standard error, and the log loss of what serves.

    Votes of one person are alike, and so are votes on one battle: the error is that of whichever group makes it larger.
    """
    rows = np.arange(len(votes))
    before = log_losses(served.answers(votes))[rows, votes.outcomes]
    after = log_losses(served.with_file(file).answers(votes))[rows, votes.outcomes]
    weights = votes.weights / votes.weights.sum()
    change = float(weights @ (after - before))
    apart = weights * (after - before - change)
    errors = [float(np.linalg.norm(np.bincount(groups, apart))) for groups in (votes.voters, votes.battles)]
    return change, max(errors), float(weights @ before)
