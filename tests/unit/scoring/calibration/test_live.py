"""A live calibration changes what serves only for good reason, by a little, and never by one voter's will."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.scoring.calibration.live import Decision, LiveCalibrator, LiveRules, ServedCalibration, decide
from prefstream.scoring.calibration.live_votes import CastVote, Opinions, VoteColumns, VoteWindow, effective
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile

RULES = LiveRules(half_life=500.0, later_votes=100, every_ms=1_000, weights_from=200)
SERVED = ServedCalibration(("one", "two"), (2.0, 2.0), CalibrationFile(length_slope=0.5))
TIE = 2


def drawn(
    count: int, shares: Sequence[float], seed: int = 0, *, first: int = 0, voters: int = 10_000, weight: float = 1.0
) -> list[CastVote]:
    """Votes, one a millisecond, whose outcomes have these shares whatever the judges say."""
    rng = np.random.default_rng(seed)
    votes = []
    for number in range(first, first + count):
        answers = rng.dirichlet([4.0, 4.0, 3.0], size=2)
        said = Opinions("panel", answers, np.ones(2, dtype=np.bool_), weight, number)
        outcome = int(rng.choice(3, p=shares))
        votes.append(CastVote(b"%d" % number, b"%d" % rng.integers(voters), (number, 0, number), outcome, said))
    return votes


def decided(
    votes: Sequence[CastVote], rules: LiveRules = RULES, served: ServedCalibration = SERVED, since: int = -1
) -> Decision:
    return decide(VoteColumns.of(votes, 2), served, rules, since=since)


def test_votes_that_say_tie_far_more_often_than_the_panel_make_ties_likelier() -> None:
    decision = decided(drawn(600, [0.2, 0.2, 0.6]))
    assert decision.verdict == "better"
    assert decision.file is not None
    assert decision.file.panel.tie_bias == 0.5  # the bound: odds of .27 need 1.4 nats to be those of .6
    assert decision.change is not None
    assert decision.error is not None
    assert decision.change < -2 * decision.error


def test_step_by_step_it_gets_to_where_the_votes_are() -> None:
    served = SERVED
    votes = drawn(600, [0.2, 0.2, 0.6])
    for _ in range(8):
        decision = decided(votes, served=served)
        if decision.verdict != "better" or decision.file is None:
            break
        served = served.with_file(decision.file)
    assert served.answers(VoteColumns.of(votes, 2))[:, TIE].mean() == pytest.approx(0.6, abs=0.06)


def test_the_length_slope_goes_with_the_temperature() -> None:
    file = decided(drawn(600, [0.2, 0.2, 0.6])).file
    assert file is not None
    assert file.panel.temperature == 1.25  # votes that don't follow the judges
    assert file.length_slope == pytest.approx(0.5 / 1.25)


def test_weights_are_left_alone_until_there_are_enough_votes() -> None:
    votes = drawn(600, [0.2, 0.2, 0.6])
    few, many = decided(votes, replace(RULES, weights_from=10_000)).file, decided(votes).file
    assert few is not None
    assert few.weights == {}
    assert many is not None
    assert set(many.weights) == {"one", "two"}
    assert sum(many.weights.values()) == pytest.approx(1.0)


def test_a_judge_without_weight_keeps_none() -> None:
    served = ServedCalibration(("one", "two"), (1.0, 0.0), CalibrationFile())
    file = decided(drawn(600, [0.2, 0.2, 0.6]), served=served).file
    assert file is not None
    assert served.with_file(file).weights == (1.0, 0.0)


def test_a_judge_that_is_recused_decides_nothing() -> None:
    votes = drawn(600, [0.2, 0.2, 0.6])
    counts = np.array([True, False])
    recused = [
        vote._replace(opinions=Opinions("panel", vote.opinions.answers, counts, at=vote.opinions.at)) for vote in votes
    ]
    alone = ServedCalibration(("one", "two"), (1.0, 0.0), CalibrationFile(length_slope=0.5))
    panels = [decided(recused).file, decided(votes, served=alone).file]
    assert panels[0] is not None
    assert panels[1] is not None
    assert panels[0].panel == panels[1].panel


def test_what_came_before_what_serves_was_chosen_is_no_judge_of_it() -> None:
    votes = drawn(600, [0.2, 0.2, 0.6])
    assert decided(votes, since=votes[-100].order[0]).verdict == "too_few_later_votes"
    assert decided(votes, since=votes[-101].order[0]).verdict == "better"


def test_heavy_votes_are_fewer_than_they_look() -> None:
    heavy = [*drawn(300, [0.2, 0.2, 0.6]), *drawn(3, [0.2, 0.2, 0.6], first=300, weight=1_000.0)]
    assert effective(np.array([vote.opinions.weight for vote in heavy])) < 4
    assert decided(heavy).verdict == "too_few_later_votes"


def test_votes_that_are_as_the_panel_says_change_nothing() -> None:
    rng = np.random.default_rng(3)
    votes = [
        vote._replace(outcome=int(rng.choice(3, p=vote.opinions.answers.mean(axis=0))))
        for vote in drawn(800, [1, 0, 0])
    ]
    assert decided(votes).verdict == "not_better"


def test_one_voter_does_not_move_it_however_often_they_vote() -> None:
    calibrator = LiveCalibrator(RULES)
    calibrator.add(drawn(5_000, [0.0, 0.0, 1.0], voters=1))
    assert len(calibrator) == 100
    assert calibrator.look(10_000, SERVED).verdict == "too_few_later_votes"


def test_who_votes_all_the_time_is_no_larger_part_of_those_that_judge_a_fit() -> None:
    people, liar = drawn(900, [0.4, 0.4, 0.2]), drawn(600, [0.0, 0.0, 1.0], voters=1)
    liars = [vote._replace(voter=b"liar", order=(300 + number, 1, number)) for number, vote in enumerate(liar)]
    calibrator = LiveCalibrator(RULES)
    calibrator.add([*people, *liars])
    honest = LiveCalibrator(RULES)
    honest.add(people)
    moved = [one.look(10_000, SERVED).file for one in (calibrator, honest)]
    assert moved[0] is not None
    assert moved[1] is not None
    assert abs(moved[0].panel.tie_bias - moved[1].panel.tie_bias) < 0.2  # of .9 that lies alone would move it


def test_when_votes_stop_nothing_happens_any_more() -> None:
    calibrator = LiveCalibrator(RULES)
    calibrator.add(drawn(600, [0.2, 0.2, 0.6]))
    assert calibrator.due(10_000)
    calibrator.look(10_000, SERVED)
    assert not calibrator.due(10**12)
    calibrator.add(drawn(24, [0.2, 0.2, 0.6], first=600))
    assert not calibrator.due(10**12)
    calibrator.add(drawn(1, [0.2, 0.2, 0.6], first=624))
    assert calibrator.due(10**12)


def test_no_version_sooner_after_a_choice_than_it_may_be() -> None:
    calibrator = LiveCalibrator(RULES)
    calibrator.add(drawn(600, [0.2, 0.2, 0.6]))
    assert calibrator.look(1_300, SERVED, since=301).verdict == "too_soon"
    assert [calibrator.due(1_300), calibrator.due(1_301)] == [False, True]
    assert calibrator.look(1_301, SERVED, since=301).verdict == "better"


votes_of_few = st.lists(
    st.builds(
        lambda battle, voter, at, outcome: CastVote(
            b"%d" % battle,
            b"%d" % voter,
            (at, 0, 0),
            outcome,
            Opinions("panel", np.zeros((2, 3)), np.ones(2, np.bool_)),
        ),
        st.integers(0, 6),
        st.integers(0, 3),
        st.integers(0, 20),
        st.integers(0, 2),
    ),
    max_size=40,
)


@given(votes_of_few, st.integers(1, 4), st.integers(1, 12), st.randoms(use_true_random=False), st.integers(1, 40))
def test_what_is_held_depends_on_the_votes_and_not_on_how_they_came(
    votes: list[CastVote], most_of_voter: int, most: int, random: object, at_once: int
) -> None:
    shuffled = list(votes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = VoteWindow(most, most_of_voter), VoteWindow(most, most_of_voter)
    one.add(votes)
    for begin in range(0, len(shuffled), at_once):
        other.add(shuffled[begin : begin + at_once])
    assert [vote[:4] for vote in one.votes()] == [vote[:4] for vote in other.votes()]
    voters = [vote.voter for vote in one.votes()]
    assert all(voters.count(voter) <= most_of_voter for voter in voters)
    assert len(voters) <= most
    assert len({(vote.battle, vote.voter) for vote in one.votes()}) == len(voters)
    columns = VoteColumns.of(one.votes(), 2, 2)
    assert all(weight <= 2 + 1e-9 for weight in np.bincount(columns.voters, columns.weights))


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([(0.1, 0.1, 0.8), (0.49, 0.49, 0.02), (0.9, 0.1, 0.0), (0.33, 0.33, 0.34)]),
    st.floats(1.0, 3.0),
    st.floats(0.0, 2.0),
    st.floats(0.0, 0.5),
    st.floats(0.2, 5.0),
    st.floats(-3.0, 3.0),
)
@settings(max_examples=40)
def test_no_version_goes_further_than_it_may(
    seed: int, shares: tuple[float, ...], factor: float, nats: float, share: float, temperature: float, bias: float
) -> None:
    rules = replace(RULES, temperature_factor=factor, tie_bias=nats, weight_share=share)
    file = CalibrationFile(panel=Calibration(temperature=temperature, tie_bias=bias), weights={"one": 0.3, "two": 0.7})
    served = ServedCalibration(("one", "two"), (1.0, 1.0), CalibrationFile()).with_file(file)
    fitted = decided(drawn(350, shares, seed), rules, served).file
    assert fitted is not None
    near = 1e-9
    assert 1 / factor - near <= fitted.panel.temperature / temperature <= factor + near
    assert abs(fitted.panel.tie_bias - bias) <= nats + near
    moved = served.with_file(fitted).shares - served.shares
    assert np.abs(moved).max() <= share + near
    assert fitted.judges == file.judges


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 700)), max_size=30), st.integers(0, 5))
def test_never_more_often_than_allowed_and_never_without_later_votes(steps: list[tuple[int, int]], seed: int) -> None:
    calibrator, served, now, since, count = LiveCalibrator(RULES), SERVED, 0, -1, 0
    chosen: list[tuple[int, int]] = []
    for votes, waited in steps:
        calibrator.add(drawn(votes, [0.1, 0.1, 0.8], seed, first=now))
        now, count = now + max(votes, waited), count + votes
        if calibrator.due(now):
            decision = calibrator.look(now, served, since=since)
            if decision.verdict == "better" and decision.file is not None:
                assert decision.later >= RULES.later_votes - 1e-6
                served, since = served.with_file(decision.file), now
                chosen.append((now, count))
    for (at, had), (later, has) in pairwise(chosen):
        assert later - at >= RULES.every_ms
        assert has - had >= RULES.later_votes


def test_a_vote_of_the_future_is_left_until_its_time_so_that_none_chooses_twice() -> None:
    calibrator = LiveCalibrator(RULES)
    calibrator.add(drawn(600, [0.2, 0.2, 0.6]))
    first = calibrator.look(499, SERVED, since=-RULES.every_ms)
    assert first.file is not None
    assert first.verdict == "better"
    assert first.votes + first.later <= 500
    # What judged the first choice is no younger than it, and the hundred others came since.
    second = calibrator.look(1_499, SERVED.with_file(first.file), since=499)
    assert second.later == pytest.approx(100)


def test_a_look_whose_decision_could_not_be_carried_out_is_due_again_without_another_vote() -> None:
    calibrator = LiveCalibrator(RULES)
    calibrator.add(drawn(600, [0.2, 0.2, 0.6]))
    calibrator.look(10_000, SERVED)
    calibrator.take_back()
    assert calibrator.due(10_000)


def test_where_the_only_judge_that_counted_then_has_no_weight_now_the_others_count() -> None:
    """As they would in serving; a mean of no judge at all is not a number, and nothing would ever be better than it."""
    votes = drawn(600, [0.2, 0.2, 0.6])
    recused = [
        vote._replace(
            opinions=Opinions("panel", vote.opinions.answers, np.array([True, bool(number % 5)]), at=vote.opinions.at)
        )
        for number, vote in enumerate(votes)
    ]
    served = ServedCalibration(("one", "two"), (0.0, 1.0), CalibrationFile())
    decision, all_count = decided(recused, served=served), decided(votes, served=served)
    assert decision.verdict == "better"
    assert decision == all_count


def test_a_look_that_a_wrong_clock_put_into_the_future_is_not_waited_for() -> None:
    calibrator = LiveCalibrator(RULES)
    calibrator.looked(10**12)
    calibrator.add(drawn(600, [0.2, 0.2, 0.6]))
    assert calibrator.due(10_000)
