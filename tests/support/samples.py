"""What the tests of the contract draw from: battles, JSON, probabilities, a preference."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from hypothesis import strategies as st

from prefstream.schemas import Battle, JudgeOpinion, KafkaSource, Preference, Probabilities, Provenance, parse_battle
from prefstream.schemas.battle import MAX_ID, MIN_ID

USER_TEXT = "seventeen purple elephants"

texts = st.text(max_size=40)
ids = st.text(min_size=1, max_size=20).filter(lambda text: not text.isspace())
turn_lists = st.lists(texts, min_size=1, max_size=4)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
"""What `json.loads` can give, and NaN."""


def fields(**changes: object) -> dict[str, Any]:
    return {"id": "b1", "prompt": ["hi"], "response_a": ["yes"], "response_b": ["no"]} | changes


@st.composite
def battles(draw: st.DrawFn) -> Battle:
    rounds = draw(st.integers(1, 4))
    turns = st.lists(texts, min_size=rounds, max_size=rounds)
    return parse_battle(
        {
            "id": draw(ids | st.integers(MIN_ID, MAX_ID)),
            "prompt": draw(turns),
            "response_a": draw(turns),
            "response_b": draw(turns),
            "model_a": draw(st.none() | texts),
            "model_b": draw(st.none() | texts),
            "language": draw(st.none() | texts),
            "occurred_at": draw(st.none() | st.datetimes(timezones=st.just(UTC))),
        }
    )


def triples() -> st.SearchStrategy[Probabilities]:
    """Probabilities as a float32 softmax makes them."""
    positive = st.floats(min_value=1e-6, max_value=1.0)
    return st.tuples(positive, positive, positive).map(
        lambda parts: Probabilities(
            model_a=parts[0] / sum(parts), model_b=parts[1] / sum(parts), tie=parts[2] / sum(parts)
        )
    )


EVEN = Probabilities(model_a=0.25, model_b=0.25, tie=0.5)


def a_preference(**changes: object) -> Preference:
    fields: dict[str, object] = {
        "id": "b1",
        "probabilities": EVEN,
        "preferred": "tie",
        "judges": (JudgeOpinion(name="gemma", probabilities=EVEN, provenance=Provenance(kind="prior")),),
        "disagreement": 0.0,
        "source": KafkaSource(topic="battles", partition=0, offset=1),
    }
    return Preference(**(fields | changes))
