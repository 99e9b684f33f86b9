"""The report on trust, from what the store has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.consumer.board.store.reader import BoardReader
from prefstream.consumer.board.store.reading import JudgedVotes, Weighting, vote_weights
from prefstream.consumer.board.trust.groups import (
    ANSWERS,
    CUT,
    DISAGREEMENT,
    ENTROPY,
    FLIPPED,
    INPUTS,
    OF_VOTED,
    PAIR,
    POSITION_GAP,
    TRUNCATED,
    WIDE_DISAGREEMENT,
    count_pairs,
    group_of_hours,
    group_of_votes,
)
from prefstream.consumer.board.trust.warnings import warnings_of
from prefstream.scoring.moments import EPOCH, milliseconds
from prefstream.scoring.trust.contrast import BattleGroup, contrast
from prefstream.scoring.trust.over_time import STEPS, measure_over_time
from prefstream.scoring.trust.prior import prequential_prior
from prefstream.scoring.trust.results import (
    Answers,
    Drift,
    Selection,
    Shipped,
    StepName,
    TrustReport,
    TrustTime,
    TrustWindow,
    WindowName,
)
from prefstream.scoring.trust.votes import TrustVotes
from prefstream.scoring.trust.window import measure_window

WINDOWS: Final[Mapping[WindowName, timedelta]] = {"day": timedelta(days=1), "week": timedelta(weeks=1)}

WEEKS_BEFORE: Final = timedelta(weeks=4)
"""What a window is compared with; also how far back the class prior looks, and who gets a vote is told of."""

WEIGHTINGS: Final[Mapping[Weighting, str]] = {
    "none": "all votes count equally",
    "all": "votes that were asked for weigh the inverse of the probability with which they were, others 1",
    "known": "votes that were asked for weigh the inverse of the probability with which they were, others nothing",
}

MOST_SLICES: Final[Mapping[StepName, int]] = {"hour": 48, "day": 31}
"""The newest ones, empty ones counted."""

_MOST_DRAWS: Final = 20_000_000
"""Of the bootstrap, by which its draws are fewer where votes are many: a second and a half."""

_MOST_SLICE_DRAWS: Final = 500
"""Ends of intervals then rest on twelve each: enough for a line over time."""

_HOUR: Final = timedelta(hours=1)


def build_trust(
    reader: BoardReader, now: datetime, *, shipped: Shipped | None = None, weighting: Weighting = "all"
) -> TrustReport:
    """Say whether the judges can be trusted.

    Args:
        reader: of the board's file.
        now: where the last day and week end.
        shipped: the figures that the panel was shipped with, where somebody says.
        weighting: what votes weigh, as for strengths.

    Raises:
        BoardFileError: the file can't be read.
    """
    begin = now - WEEKS_BEFORE
    with reader.snapshot():
        judged = reader.judged(since_ms=milliseconds(begin), until_ms=milliseconds(now) + 1)
        battles = _Battles(reader, now)
        drift = tuple(_drift(window, length, now, battles) for window, length in WINDOWS.items())
        answers = tuple(_answers(window, battles.group(now - length, now)) for window, length in WINDOWS.items())
        selection = _selection(reader, judged, battles.group(begin, now), begin, now)
    told = TrustReport(
        at=now,
        weighting=WEIGHTINGS[weighting],
        windows=_windows(judged, now, shipped, weighting),
        answers=answers,
        drift=drift,
        selection=selection,
        shipped=shipped,
    )
    return told.model_copy(update={"warnings": tuple(warnings_of(told))})


def build_trust_over_time(
    reader: BoardReader, now: datetime, step: StepName, *, weighting: Weighting = "all"
) -> TrustTime:
    """Say how good the judges were in each of the last hours or days.

    Args:
        reader: of the board's file.
        now: of the newest slice.
        step: how long a slice is.
        weighting: what votes weigh, as for strengths.

    Raises:
        BoardFileError: the file can't be read.
    """
    since = EPOCH + ((now - EPOCH) // STEPS[step] + 1 - MOST_SLICES[step]) * STEPS[step]
    # The class prior of the oldest slice has learned from the weeks before, as that of the others has.
    votes = trust_votes(
        reader.judged(since_ms=milliseconds(since - WEEKS_BEFORE), until_ms=milliseconds(now) + 1), weighting
    )
    return measure_over_time(
        step,
        votes,
        since=since,
        prior=prequential_prior(votes.outcomes, votes.weights),
        resamples=_draws(int((votes.voted_ms >= milliseconds(since)).sum()), most=_MOST_SLICE_DRAWS),
    )


def trust_votes(judged: JudgedVotes, weighting: Weighting) -> TrustVotes:
    """Votes as trust takes them: by time.

    Args:
        judged: as the store has them.
        weighting: what each weighs.
    """
    asked_for = judged.review_chosen & np.isfinite(judged.review_probability)
    order = np.argsort(judged.voted_at, kind="stable")
    return TrustVotes(
        battles=judged.battles[order],
        outcomes=judged.outcomes[order],
        forecasts=judged.forecasts[order],
        weights=vote_weights(judged.review_probability, judged.review_chosen, weighting)[order],
        voted_ms=judged.voted_at[order],
        published_ms=judged.published_at[order],
        characters_a=judged.characters[order, 0],
        characters_b=judged.characters[order, 1],
        asked_for=asked_for[order],
        languages=_named(judged.language_names, judged.languages[order]),
        panels=_named(judged.panel_hashes, judged.panels[order]),
    )


def _named(names: Sequence[str], places: NDArray[np.intp]) -> list[str | None]:
    """The first name is empty, and stands for one that is not known."""
    return [names[place] or None for place in places.tolist()]


def _windows(
    judged: JudgedVotes, now: datetime, shipped: Shipped | None, weighting: Weighting
) -> tuple[TrustWindow, ...]:
    votes = trust_votes(judged, weighting)
    prior = prequential_prior(votes.outcomes, votes.weights)
    told = []
    for window, length in WINDOWS.items():
        rows = votes.voted_ms >= milliseconds(now - length)
        told.append(
            measure_window(
                window,
                votes.at(rows),
                since=now - length,
                until=now,
                prior=prior[rows],
                shipped=shipped,
                resamples=_draws(int(rows.sum()), most=1_000),
            )
        )
    return tuple(told)


def _draws(votes: int, *, most: int) -> int:
    """Of the bootstrap, for so many votes."""
    return int(np.clip(_MOST_DRAWS // max(1, votes), 200, most))


class _Battles:
    """All battles of the last weeks, by hour.

    Args:
        reader: of the board's file, in a snapshot.
        now: where the last hour ends.
    """

    def __init__(self, reader: BoardReader, now: datetime) -> None:
        begin = now - WEEKS_BEFORE - max(WINDOWS.values())
        self._hours = reader.hours(since_hour=_hour(begin), until_hour=_hour(now) + 1)
        self._histograms = reader.histograms(since_hour=_hour(begin), until_hour=_hour(now) + 1)
        self._groups: dict[tuple[int, int], BattleGroup] = {}

    def group(self, since: datetime, until: datetime) -> BattleGroup:
        """Those of the hours after that of `since`, until the hour of `until` is over."""
        start, end = _hour(since) + 1, _hour(until) + 1
        if (start, end) not in self._groups:
            self._groups[start, end] = group_of_hours(
                [facts for facts in self._hours if start <= facts.hour < end],
                [row for row in self._histograms if start <= row[0] < end],
            )
        return self._groups[start, end]


def _drift(window: WindowName, length: timedelta, now: datetime, battles: _Battles) -> Drift:
    since, begin = now - length, now - length - WEEKS_BEFORE
    recent, before = battles.group(since, now), battles.group(begin, since)
    return Drift(
        window=window,
        since=since,
        compared_since=begin,
        inputs=tuple(contrast(what, recent, before) for what in INPUTS),
        answers=tuple(contrast(what, recent, before) for what in ANSWERS),
    )


def _answers(window: WindowName, battles: BattleGroup) -> Answers:
    return Answers(
        window=window,
        battles=battles.size(DISAGREEMENT),
        disagreement=battles.mean(DISAGREEMENT),
        disagree=battles.share(DISAGREEMENT, WIDE_DISAGREEMENT),
        entropy=battles.mean(ENTROPY),
        position_gap=battles.mean(POSITION_GAP),
        flipped=battles.mean(FLIPPED),
        truncated=battles.share(TRUNCATED, {CUT}),
    )


def _selection(
    reader: BoardReader, judged: JudgedVotes, battles: BattleGroup, begin: datetime, now: datetime
) -> Selection:
    start = _hour(begin) + 1
    pairs = count_pairs(reader.pairs(since_hour=start, until_hour=_hour(now) + 1))
    everyone = BattleGroup({**battles.counts, PAIR: pairs}, battles.totals)
    voted = group_of_votes(judged, since_ms=milliseconds(EPOCH + start * _HOUR))
    others = everyone.without(voted)
    return Selection(
        voted=voted.size(ENTROPY),
        others=others.size(ENTROPY),
        contrasts=tuple(contrast(what, voted, others) for what in OF_VOTED),
    )


def _hour(moment: datetime) -> int:
    return int((moment - EPOCH) // _HOUR)
