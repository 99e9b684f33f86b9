"""The report on trust: which votes and battles are of which window, and what a change of either does to it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from prefstream.consumer.board.store.reading import Weighting
from prefstream.consumer.board.store.records import PreferenceRecord, VoteRecord
from prefstream.consumer.board.store.store import Store
from prefstream.consumer.board.trust.build import (
    MOST_SLICES,
    WEEKS_BEFORE,
    build_trust,
    build_trust_over_time,
    trust_votes,
)
from prefstream.consumer.board.trust.groups import INPUTS, LANGUAGE, LENGTH, OF_VOTED, PAIR, TRUNCATED
from prefstream.schemas.preference import Review
from prefstream.scoring.evaluation import metrics
from prefstream.scoring.evaluation.bootstrap import Estimate
from prefstream.scoring.trust.results import Contrast, Shipped, StepName, TrustReport, TrustTime
from tests.support.board import BEGIN_MS, preference_record, vote_record

HOUR, DAY = 3_600_000, 86_400_000
NOW_MS = BEGIN_MS + 40 * DAY
NOW = datetime.fromtimestamp(NOW_MS / 1_000, UTC)

WEIGHED: tuple[tuple[Weighting, list[int]], ...] = (("none", [1, 1, 1]), ("all", [4, 1, 1]), ("known", [4, 0, 0]))

Change = Callable[[int], dict[str, Any]]


def battles(
    count: int, start_ms: int, end_ms: int, *, first: int = 0, change: Change = lambda _: {}
) -> list[PreferenceRecord]:
    """Preferences of battles that come evenly over a time."""
    rng = random.Random(first)
    step = (end_ms - start_ms) // count
    return [
        preference_record(first + number, rng, at=start_ms + step * number, **{"language": "English", **change(number)})
        for number in range(count)
    ]


def votes_for(preferences: Sequence[PreferenceRecord], *, after_ms: int = HOUR) -> list[VoteRecord]:
    """One for each, drawn by the panel's own probabilities."""
    rng = random.Random(9)
    found = []
    for one in preferences:
        said = one.preference
        winner = rng.choices(
            ("model_a", "model_b", "tie"),
            (said.probabilities.model_a, said.probabilities.model_b, said.probabilities.tie),
        )[0]
        found.append(vote_record(int(said.id[1:]), winner, at=one.at + after_ms, offset=one.offset))
    return found


def report_on(preferences: Sequence[PreferenceRecord], votes: Sequence[VoteRecord], **options: Any) -> TrustReport:
    with Store(vote_window=timedelta(days=60)) as store:
        store.apply(preferences, votes)
        return build_trust(store.reader(), NOW, **options)


def named(contrasts: Sequence[Contrast]) -> dict[str, Contrast]:
    return {one.what: one for one in contrasts}


def test_a_vote_is_of_the_window_in_which_it_came_whenever_its_battle_was() -> None:
    old = battles(60, NOW_MS - 5 * DAY, NOW_MS - 3 * DAY)
    new = battles(40, NOW_MS - 20 * HOUR, NOW_MS - 2 * HOUR, first=60)
    late = votes_for(old[:10], after_ms=5 * DAY - HOUR)
    report = report_on([*old, *new], [*votes_for(old[10:]), *votes_for(new), *late[:1]])
    assert [(one.window, one.votes) for one in report.windows] == [("day", 41), ("week", 91)]
    assert report.windows[0].since == NOW - timedelta(days=1)
    assert report.windows[1].until == NOW


def test_votes_that_came_before_the_forecast_are_not_counted() -> None:
    found = battles(80, NOW_MS - 20 * HOUR, NOW_MS - 2 * HOUR)
    report = report_on(found, [*votes_for(found[:50]), *votes_for(found[50:], after_ms=-1_000)])
    day = report.windows[0]
    assert (day.votes, day.not_counted.forecast_not_first) == (50, 30)


def test_a_board_without_anything_says_so_and_holds_no_number_that_is_none() -> None:
    for preferences in ([], battles(5, NOW_MS - DAY // 2, NOW_MS)):
        report = report_on(preferences, votes_for(preferences[:2], after_ms=1))
        assert all(window.why_nothing for window in report.windows)
        assert all(one.distance is None for drift in report.drift for one in (*drift.inputs, *drift.answers))
        assert report.warnings == ()
        json.dumps(report.model_dump(mode="json"), allow_nan=False)


def test_the_prior_is_that_of_the_votes_before_whichever_window_they_are_of() -> None:
    """All ties for weeks, then none: the prior of the day has learned from the weeks."""
    before = battles(300, NOW_MS - 20 * DAY, NOW_MS - 10 * DAY)
    recent = battles(40, NOW_MS - 20 * HOUR, NOW_MS - 2 * HOUR, first=300)
    ties = [vote_record(int(one.preference.id[1:]), "tie", at=one.at + HOUR, offset=one.offset) for one in before]
    wins = [vote_record(int(one.preference.id[1:]), "model_a", at=one.at + HOUR, offset=one.offset) for one in recent]
    day = report_on([*before, *recent], [*ties, *wins], weighting="none").windows[0]
    assert day.quality is not None
    known = 300 + np.arange(40)
    for_a = (np.arange(40) + 1) / (2 * known + 3)
    assert day.quality.against_prior.prior_log_loss.value == pytest.approx(float(-np.log(for_a).mean()))


@pytest.mark.parametrize(
    ("feature", "change"),
    [
        (LANGUAGE, lambda number: {"language": "German" if number % 2 else "English"}),
        (LENGTH, lambda number: {"style": _twenty_times_as_long()}),
        (TRUNCATED, lambda number: {"judges": _that_read_nothing_whole()}),
    ],
    ids=[LANGUAGE, LENGTH, TRUNCATED],
)
def test_inputs_that_are_others_than_in_the_weeks_before_are_told(feature: str, change: Change) -> None:
    before = battles(600, NOW_MS - 25 * DAY, NOW_MS - 2 * DAY)
    same = battles(200, NOW_MS - 23 * HOUR, NOW_MS, first=600)
    others = battles(200, NOW_MS - 23 * HOUR, NOW_MS, first=600, change=change)
    calm, changed = (report_on([*before, *recent], ()) for recent in (same, others))
    assert not named(calm.drift[0].inputs)[feature].differs
    assert named(changed.drift[0].inputs)[feature].differs
    assert {one.what for one in changed.drift[0].drifted} >= {feature}
    assert any(feature in warning for warning in changed.warnings)
    assert not any("differ from those of the weeks before" in warning for warning in calm.warnings)


def test_a_window_is_compared_with_the_four_weeks_before_it_and_no_others() -> None:
    """A week ago everything changed: the day has the old ones before it, too, and the week has nothing else."""
    old = battles(400, NOW_MS - 28 * DAY, NOW_MS - 7 * DAY - HOUR, change=lambda _: {"language": "German"})
    new = battles(400, NOW_MS - 7 * DAY + HOUR, NOW_MS, first=400)
    ancient = battles(40, NOW_MS - 39 * DAY, NOW_MS - 36 * DAY, first=800, change=lambda _: {"language": "Dutch"})
    day, week = (named(drift.inputs)[LANGUAGE] for drift in report_on([*ancient, *old, *new], ()).drift)
    assert (week.battles, week.other_battles) == (400, 400)
    assert day.battles + day.other_battles == 800
    assert {share.category for share in week.most} == {"English", "German"}
    assert week.distance == 1.0


def test_who_gets_a_vote_is_told_where_it_is_not_by_chance() -> None:
    found = battles(
        900, NOW_MS - 10 * DAY, NOW_MS - DAY, change=lambda number: {"language": "German" if number % 3 else "English"}
    )
    english = [one for one in found if one.preference.language == "English"]
    by_chance = random.Random(0).sample(found, 250)
    chosen, drawn = (report_on(found, votes_for(some)).selection for some in (english[:250], by_chance))
    assert (chosen.voted, chosen.others) == (250, 650)
    assert [one.what for one in chosen.differing] == [LANGUAGE]
    assert drawn.differing == ()
    assert tuple(one.what for one in drawn.contrasts) == OF_VOTED
    assert named(drawn.contrasts)[PAIR].battles == 250


def test_a_warning_names_what_differs_and_what_that_means() -> None:
    found = battles(
        300, NOW_MS - 10 * DAY, NOW_MS - DAY, change=lambda number: {"language": "German" if number % 3 else "English"}
    )
    (warning,) = report_on(found, votes_for([one for one in found if one.preference.language == "English"])).warnings[
        -1:
    ]
    assert "voted on differ from the others in language (English 100% voted and 0% others" in warning


def test_answers_are_those_of_all_battles_of_the_window() -> None:
    found = battles(100, NOW_MS - 20 * HOUR, NOW_MS - HOUR)
    day = report_on(found, ()).answers[0]
    said = [one.preference for one in found]
    assert day.battles == 100
    assert day.disagreement == pytest.approx(np.mean([one.disagreement for one in said]), abs=1e-8)
    assert day.disagree == pytest.approx(np.mean([one.disagreement >= 0.09 for one in said]))
    assert day.entropy == pytest.approx(np.mean([one.uncertainty.entropy for one in said if one.uncertainty]), abs=1e-8)
    gaps = [[judge.position_gap for judge in one.judges if judge.position_gap is not None] for one in said]
    assert day.position_gap == pytest.approx(np.mean([np.mean(each) for each in gaps if each]), abs=1e-8)
    flips = [
        [
            judge.as_given.preferred != judge.swapped.preferred
            for judge in one.judges
            if judge.as_given and judge.swapped
        ]
        for one in said
    ]
    assert day.flipped == pytest.approx(np.mean([np.mean(each) for each in flips if each]), abs=1e-8)


def over_time(preferences: Sequence[PreferenceRecord], votes: Sequence[VoteRecord], step: StepName) -> TrustTime:
    with Store(vote_window=timedelta(days=60)) as store:
        store.apply(preferences, votes)
        return build_trust_over_time(store.reader(), NOW, step, weighting="none")


@pytest.mark.parametrize(("step", "step_ms"), [("hour", HOUR), ("day", DAY)])
def test_slices_of_time_are_the_newest_ones_and_no_more(step: StepName, step_ms: int) -> None:
    most = MOST_SLICES[step]
    found = battles(10 * most, NOW_MS - (most + 9) * step_ms, NOW_MS - 2_000)
    told = over_time(found, votes_for(found, after_ms=1_000), step)
    assert len(told.slices) == most
    assert told.slices[-1].start <= NOW < told.slices[-1].end
    assert told.slices[0].start == told.slices[-1].end - most * timedelta(milliseconds=step_ms)


def test_the_prior_of_the_oldest_slice_has_learned_from_votes_before_it() -> None:
    """All ties for days, then none for an hour, of which alone there are figures."""
    before = battles(300, NOW_MS - 20 * DAY, NOW_MS - 10 * DAY)
    recent = battles(40, NOW_MS - 3 * HOUR, NOW_MS - 2 * HOUR, first=300)
    ties = [vote_record(int(one.preference.id[1:]), "tie", at=one.at + HOUR, offset=one.offset) for one in before]
    wins = [vote_record(int(one.preference.id[1:]), "model_a", at=NOW_MS - 1, offset=one.offset) for one in recent]
    [hour] = over_time([*before, *recent], [*ties, *wins], "hour").slices
    for_a = (np.arange(40) + 1) / (2 * (300 + np.arange(40)) + 3)
    assert hour.prior_log_loss.value == pytest.approx(float(-np.log(for_a).mean()))


def test_votes_that_were_asked_for_weigh_by_the_switch() -> None:
    reviews = [Review(probability=0.25, chosen=True), Review(probability=0.25, chosen=False), None]
    found = battles(90, NOW_MS - 20 * HOUR, NOW_MS - 2 * HOUR, change=lambda number: {"review": reviews[number % 3]})
    with Store(vote_window=timedelta(days=60)) as store:
        store.apply(found, votes_for(found))
        judged = store.reader().judged()
        for weighting, expected in WEIGHED:
            votes = trust_votes(judged, weighting)
            assert votes.weights[:3].tolist() == expected
            assert votes.asked_for[:3].tolist() == [True, False, False]
        report = build_trust(store.reader(), NOW, weighting="known")
    assert report.windows[0].votes == 30
    assert report.windows[0].not_counted.without_weight == 60


def test_votes_come_by_time_whatever_order_they_were_read_in() -> None:
    found = battles(50, NOW_MS - 20 * HOUR, NOW_MS - 2 * HOUR)
    votes = votes_for(found)
    random.Random(0).shuffle(votes)
    with Store() as store:
        store.apply(found, votes)
        told = trust_votes(store.reader().judged(), "none")
    assert (np.diff(told.voted_ms) >= 0).all()
    quality = report_on(found, votes, weighting="none").windows[0].quality
    assert quality is not None
    assert quality.log_loss.value == pytest.approx(metrics.log_loss(told.forecasts, told.outcomes).of_all())


def test_judges_that_are_worse_than_they_were_shipped_are_warned_of() -> None:
    found = battles(300, NOW_MS - 20 * HOUR, NOW_MS - 2 * HOUR)
    tight = Estimate(value=0.2, low=0.19, high=0.21)
    shipped = Shipped(
        file="test.jsonl",
        version="0.1.0",
        battles=500,
        log_loss=tight,
        accuracy=Estimate(value=0.9, low=0.88, high=0.92),
        calibration_error=tight,
        calibration_error_by_chance=0.02,
        longer_excess=None,
    )
    report = report_on(found, votes_for(found), shipped=shipped)
    assert report.shipped == shipped
    assert any("worse than they were shipped" in warning for warning in report.warnings)
    assert not any("shipped" in warning for warning in report_on(found, votes_for(found)).warnings)


def test_the_weeks_before_are_as_long_as_votes_are_looked_back_on() -> None:
    assert timedelta(weeks=1) < WEEKS_BEFORE
    assert set(INPUTS) == {LANGUAGE, LENGTH, TRUNCATED}


def _twenty_times_as_long() -> Any:
    style = preference_record(0, random.Random(1)).preference.style
    assert style is not None
    longer = style.a.model_copy(update={"characters": 20 * (style.a.characters + 500)})
    return style.model_copy(update={"a": longer, "b": longer})


def _that_read_nothing_whole() -> Any:
    said = preference_record(0, random.Random(1)).preference
    cut = said.judges[0].truncation
    assert cut is not None
    return tuple(
        judge.model_copy(update={"truncation": cut.model_copy(update={"dropped_prompt": 3})}) for judge in said.judges
    )
