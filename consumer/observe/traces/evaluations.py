"""A preference as evaluations of the two responses, for backends that show them beside what they are about."""

from __future__ import annotations

from typing import Final, Literal

from prefstream.consumer.observe.traces.names import EVALUATION_LABEL, EVALUATION_NAME, EVALUATION_SCORE, RESPONSE_ID
from prefstream.schemas import Battle, Preference

PREFERENCE: Final = "prefstream.preference"
"""What is evaluated: how probable it is that a person prefers this response to the other one."""

Label = Literal["preferred", "not_preferred", "tie"]


def evaluations_of(battle: Battle, preference: Preference) -> list[dict[str, str | float]]:
    """Attributes of an event for each response that has an id.

    Args:
        battle: names the responses.
        preference: the answer to it. A response's score is its probability there; ties count for neither.
    """
    sides: list[tuple[str | None, float, Label]] = [
        (battle.response_id_a, preference.probabilities.model_a, _label(preference, "model_a")),
        (battle.response_id_b, preference.probabilities.model_b, _label(preference, "model_b")),
    ]
    return [
        {EVALUATION_NAME: PREFERENCE, EVALUATION_SCORE: score, EVALUATION_LABEL: label, RESPONSE_ID: response_id}
        for response_id, score, label in sides
        if response_id is not None
    ]


def _label(preference: Preference, side: Literal["model_a", "model_b"]) -> Label:
    if preference.preferred == "tie":
        return "tie"
    return "preferred" if preference.preferred == side else "not_preferred"
