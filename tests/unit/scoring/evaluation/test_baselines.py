"""Baselines: fair, without a look at the prompts they forecast, and defined whatever the file holds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import log_loss

from prefstream.scoring.evaluation.baselines import CLASS_PRIOR, LENGTH_ONLY, fit_baselines, length_features
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.files.labelled import Label
from tests.support.judged import exchange, make_labelled


def test_lengths_beat_the_prior_where_the_longer_wins() -> None:
    facts = gather_facts(make_labelled(400))
    losses = {one.name: log_loss(facts.outcomes, one.probabilities, labels=[0, 1, 2]) for one in fit_baselines(facts)}
    assert losses[LENGTH_ONLY] < losses[CLASS_PRIOR] - 0.05


def test_both_are_blind_to_the_order() -> None:
    labelled = make_labelled(200)
    for one, other in zip(
        fit_baselines(gather_facts(labelled)), fit_baselines(gather_facts(exchange(labelled))), strict=True
    ):
        np.testing.assert_allclose(one.probabilities, other.probabilities[:, [1, 0, 2]], atol=1e-4)
        np.testing.assert_allclose(one.probabilities.sum(axis=1), 1.0, atol=1e-12)


def test_the_prior_is_the_share_of_each_outcome_among_other_prompts() -> None:
    labelled = make_labelled(10, prompts=2)
    labelled = [
        replace(one, battle=one.battle.model_copy(update={"prompt": (str(at % 2),)})) for at, one in enumerate(labelled)
    ]
    facts = gather_facts(labelled)
    prior = next(one for one in fit_baselines(facts) if one.name == CLASS_PRIOR).probabilities
    others = facts.outcomes[1::2]
    ties = int((others == 2).sum())
    assert prior[0, 2] == pytest.approx((2 * ties + 1) / (2 * len(others) + 3))
    assert prior[0, 0] == prior[0, 1]


def test_no_battle_is_forecast_by_what_saw_its_prompt() -> None:
    """A prompt of its own labels: if they leaked, its battles would be forecast as ties."""
    labelled = make_labelled(60)
    tie = Label("tie", (0.0, 0.0, 1.0))
    labelled = [
        replace(one, label=tie, battle=one.battle.model_copy(update={"prompt": ("all ties",)}))
        if at < 30
        else replace(one, label=Label("model_a", (1.0, 0.0, 0.0)))
        for at, one in enumerate(labelled)
    ]
    for one in fit_baselines(gather_facts(labelled)):
        assert (one.probabilities[:30, 2] < 0.05).all()


def test_a_file_of_ties_alone_has_baselines() -> None:
    labelled = [replace(one, label=Label("tie", (0.0, 0.0, 1.0))) for one in make_labelled(20)]
    for one in fit_baselines(gather_facts(labelled)):
        assert (one.probabilities[:, 2] > 0.9).all()


def test_outcomes_that_never_happen_stay_possible() -> None:
    labelled = [replace(one, label=Label("model_a", (1.0, 0.0, 0.0))) for one in make_labelled(20)]
    for one in fit_baselines(gather_facts(labelled)):
        assert (one.probabilities[:, 2] > 0).all()


def test_one_prompt_leaves_nothing_to_fit_on() -> None:
    labelled = [replace(one, battle=one.battle.model_copy(update={"prompt": ("same",)})) for one in make_labelled(20)]
    assert fit_baselines(gather_facts(labelled)) == []


def test_features_say_nothing_but_lengths() -> None:
    labelled = make_labelled(5)
    before, after = length_features(gather_facts(labelled)), length_features(gather_facts(exchange(labelled)))
    np.testing.assert_array_equal(before * [-1, 1, 1], after)
