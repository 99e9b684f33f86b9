"""Votes beside forecasts."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.judged import make_trust_votes


def test_a_forecast_came_first_where_its_record_is_older() -> None:
    votes = make_trust_votes(3, published_ms=[1_000, 1_000, 1_001], voted_ms=[1_001, 1_000, 1_000])
    assert votes.forecast_first.tolist() == [True, False, False]


def test_some_votes_are_those_votes_in_every_respect() -> None:
    votes = make_trust_votes(5)
    some = votes.at(np.array([False, True, False, True, False]))
    assert len(some) == 2
    assert some.outcomes.tolist() == [votes.outcomes[1], votes.outcomes[3]]
    assert some.forecasts == pytest.approx(votes.forecasts[[1, 3]])
    assert [some.languages, some.panels] == [[votes.languages[1], votes.languages[3]], [votes.panels[1]] * 2]
