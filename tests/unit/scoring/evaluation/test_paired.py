"""Two forecasts battle by battle: one piece for the evaluation and for whoever compares two panels."""

from __future__ import annotations

from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.bootstrap import Resamples
from prefstream.scoring.evaluation.evaluate import evaluate
from prefstream.scoring.evaluation.paired import compare_paired
from prefstream.scoring.panel.predict import Forecast
from tests.support.judged import EVALUATED, make_labelled, make_predictions, make_probabilities


def test_it_is_what_the_evaluation_says_of_a_reference() -> None:
    labelled = make_labelled(60, prompts=30)
    facts, said, other = gather_facts(labelled), make_probabilities(60), make_probabilities(60, seed=1)
    evaluation = evaluate(
        facts,
        make_predictions(labelled, said),
        EVALUATED,
        reference=Forecast("other", other, as_given=other),
        resamples=50,
    )
    [reference] = [one for one in evaluation.panel.comparisons if one.baseline == "other"]
    draws = Resamples(facts.prompts, resamples=50)
    assert compare_paired(said, other, facts.outcomes, draws, baseline="other") == reference
