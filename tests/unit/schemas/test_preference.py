"""Invariants of the published answer."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from pydantic import ValidationError

from prefstream.schemas import (
    OUTCOMES,
    SCHEMA_VERSION,
    ContractError,
    FileSource,
    KafkaSource,
    Probabilities,
    Timings,
    Truncation,
)
from tests.support.samples import a_preference, triples


@given(triples())
def test_preferred_is_the_most_probable(probabilities: Probabilities) -> None:
    best = getattr(probabilities, probabilities.preferred)
    assert all(best >= getattr(probabilities, outcome) for outcome in OUTCOMES)


def test_of_equals_the_first_is_preferred() -> None:
    third = 1 / 3
    assert Probabilities(model_a=third, model_b=third, tie=third).preferred == "model_a"
    assert Probabilities(model_a=0.2, model_b=0.4, tie=0.4).preferred == "model_b"


@pytest.mark.parametrize("error", [2e-6, -2e-6, 0.5])
def test_a_sum_off_one_is_refused(error: float) -> None:
    with pytest.raises(ContractError, match=r"^no Probabilities: should sum to 1 within 1e-06, not to "):
        Probabilities(model_a=0.2 + error / 2, model_b=0.3 + error / 2, tie=0.5)


def test_a_sum_off_by_rounding_is_accepted() -> None:
    Probabilities(model_a=0.2 + 9e-7, model_b=0.3, tie=0.5)


@pytest.mark.parametrize("triple", [(float("nan"), 0.5, 0.5), (-0.1, 0.6, 0.5), (1.1, 0.0, -0.1), (0.5, 0.5, None)])
def test_what_is_no_probability_is_refused(triple: tuple[object, ...]) -> None:
    with pytest.raises(ContractError):
        Probabilities(**dict(zip(OUTCOMES, triple, strict=True)))


def test_a_sum_that_is_none_is_told_by_the_fields_name_once() -> None:
    with pytest.raises(
        ContractError, match=r"^no Preference: probabilities should sum to 1 within 1e-06, not to 2\.5$"
    ):
        a_preference(probabilities={"model_a": 1.0, "model_b": 1.0, "tie": 0.5})


def test_a_prior_has_no_head_that_could_be_trained() -> None:
    [opinion] = a_preference().judges
    assert "trained" not in opinion.model_dump(exclude_none=True)["provenance"]


def test_it_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        a_preference().id = "other"  # type: ignore[misc]


def test_it_carries_its_schema_version() -> None:
    assert a_preference().schema_version == SCHEMA_VERSION == "1.1"


@pytest.mark.parametrize(
    "changes",
    [
        {"judges": ()},
        {"disagreement": 1.5},
        {"disagreement": -0.1},
        {"disagreement": float("nan")},
        {"preferred": "model_c"},
        {"schema_version": "2.0"},
        {"source": {"topic": "battles", "partition": -1, "offset": 0}},
        {"source": {"file": "x.csv", "line": 0}},
        {"source": {}},
        {"id": 7},
    ],
)
def test_out_of_contract_values_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ContractError, match=r"^no Preference: "):
        a_preference(**changes)


def test_source_is_a_topic_or_a_file() -> None:
    assert isinstance(a_preference(source={"file": "x.csv", "line": 2}).source, FileSource)
    assert isinstance(a_preference(source={"topic": "t", "partition": 0, "offset": 0}).source, KafkaSource)


def test_times_need_a_zone() -> None:
    seconds = {"queue_s": 0.0, "tokenise_s": 0.0, "inference_s": 0.0}
    Timings.model_validate(seconds | {"scored_at": datetime.now(UTC)})
    with pytest.raises(ValidationError):
        Timings.model_validate(seconds | {"scored_at": "2026-11-22T10:00:00"})


def test_truncation_counts_are_not_negative() -> None:
    counts = dict.fromkeys(Truncation.model_fields, 0)
    Truncation.model_validate(counts)
    with pytest.raises(ValidationError):
        Truncation.model_validate(counts | {"dropped_prompt": -1})


def test_all_that_is_wrong_is_told_together_in_its_parts_too() -> None:
    """By names and rules, without a word of pydantic's."""
    with pytest.raises(ContractError) as caught:
        a_preference(preferred="model_c", probabilities={"model_a": "high", "model_b": 0.5}, judges=())
    assert str(caught.value) == (
        "no Preference: probabilities.model_a should be a number; probabilities.tie is missing; preferred should be "
        "'model_a', 'model_b' or 'tie'; judges should not be empty"
    )


def test_an_error_does_not_quote_its_input() -> None:
    with pytest.raises(ContractError) as caught:
        a_preference(preferred="words of a user")
    assert "words of a user" not in str(caught.value)


def test_what_is_wrong_with_a_source_is_told_once_and_without_names_of_classes() -> None:
    with pytest.raises(ContractError, match=r"^no Preference: source should be a mapping of keys to values$"):
        a_preference(source=3)
    with pytest.raises(ContractError, match=r"^no Preference: source.offset should be .* 0; source.line is missing$"):
        a_preference(source={"file": "f", "topic": "t", "partition": 0, "offset": -1})
