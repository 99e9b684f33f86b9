"""A preference beside the responses that it is about."""

from __future__ import annotations

import pytest

from prefstream.consumer.observe.traces.evaluations import PREFERENCE, evaluations_of
from prefstream.schemas import Battle, Outcome, Probabilities
from tests.support.samples import a_preference


def battle(a: str | None, b: str | None) -> Battle:
    return Battle(id="1", prompt="zqprompt", response_a="zqa", response_b="zqb", response_id_a=a, response_id_b=b)


@pytest.mark.parametrize(
    ("preferred", "labels"),
    [
        ("model_a", ["preferred", "not_preferred"]),
        ("model_b", ["not_preferred", "preferred"]),
        ("tie", ["tie", "tie"]),
    ],
)
def test_each_response_has_its_probability_and_what_it_came_to(preferred: Outcome, labels: list[str]) -> None:
    said = a_preference(probabilities=Probabilities(model_a=0.5, model_b=0.2, tie=0.3), preferred=preferred)
    a, b = evaluations_of(battle("chat-1", "chat-2"), said)
    assert a == {
        "gen_ai.evaluation.name": PREFERENCE,
        "gen_ai.evaluation.score.value": 0.5,
        "gen_ai.evaluation.score.label": labels[0],
        "gen_ai.response.id": "chat-1",
    }
    assert (b["gen_ai.evaluation.score.value"], b["gen_ai.evaluation.score.label"]) == (0.2, labels[1])


@pytest.mark.parametrize(("a", "b", "told"), [(None, None, []), (None, "2", ["2"]), ("1", None, ["1"])])
def test_a_response_without_an_id_is_not_told_of(a: str | None, b: str | None, told: list[str]) -> None:
    assert [one["gen_ai.response.id"] for one in evaluations_of(battle(a, b), a_preference())] == told
