"""Features of battles: the same bits with other signs for the exchanged battle, whatever the texts hold."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import Battle
from prefstream.scoring.features.extract import Extractor, Features
from prefstream.scoring.features.names import BOTH, SIDES
from prefstream.scoring.features.spec import FeatureSpec
from prefstream.scoring.features.words import count_words, fold, presence
from tests.support.samples import battles

SPEC = FeatureSpec(hash_bits=10)
EXTRACTOR = Extractor(SPEC)
EXTRACTORS = (EXTRACTOR, Extractor(FeatureSpec(words=(1, 1), characters=(2, 4), hash_bits=8, mask_identity=False)))


def battle(a: str = "yes", b: str = "no", prompt: str = "Is it so?") -> Battle:
    return Battle(id="1", prompt=prompt, response_a=a, response_b=b)


def measured(one: Battle, extractor: Extractor = EXTRACTOR) -> dict[str, float]:
    """All measures of a battle by name."""
    features = extractor.extract([one])
    sides, both = features.sides.toarray()[0], features.both.toarray()[0]
    return {**dict(zip(SIDES, sides, strict=False)), **dict(zip(BOTH, both, strict=False))}


def rows(features: Features) -> tuple[np.ndarray, np.ndarray]:
    return features.sides.toarray(), features.both.toarray()


@pytest.mark.parametrize("extractor", EXTRACTORS, ids=["words", "words and characters"])
@given(given_battles=st.lists(battles(), min_size=1, max_size=4))
def test_exchanging_the_answers_turns_the_signs_of_one_part_and_leaves_the_other(
    extractor: Extractor, given_battles: list[Battle]
) -> None:
    sides, both = rows(extractor.extract(given_battles))
    swapped_sides, swapped_both = rows(extractor.extract([one.swap() for one in given_battles]))
    assert np.isfinite(sides).all()
    assert np.isfinite(both).all()
    assert (swapped_sides == -sides).all()
    assert (swapped_both == both).all()


@given(given_battles=st.lists(battles(), min_size=2, max_size=4))
def test_a_battle_has_the_same_features_alone_and_among_others(given_battles: list[Battle]) -> None:
    together = rows(EXTRACTOR.extract(given_battles))
    for place, one in enumerate(given_battles):
        for whole, alone in zip(together, rows(EXTRACTOR.extract([one])), strict=True):
            assert (whole[place] == alone[0]).all()


@given(one=battles(), a=st.text(max_size=9), b=st.text(max_size=9))
def test_who_answered_is_not_looked_at(one: Battle, a: str, b: str) -> None:
    named = one.model_copy(update={"model_a": a, "model_b": b, "id": b, "language": a})
    for before, after in zip(rows(EXTRACTOR.extract([one])), rows(EXTRACTOR.extract([named])), strict=True):
        assert (before == after).all()


@pytest.mark.parametrize("spec", [SPEC, FeatureSpec(hash_bits=7, characters=(3, 3))])
def test_there_are_as_many_columns_as_the_list_says(spec: FeatureSpec) -> None:
    features = Extractor(spec).extract([battle(), battle()])
    assert [features.sides.shape, features.both.shape] == [(2, columns) for columns in spec.columns]


@pytest.mark.parametrize("text", ["", " \n\t", "\x00", "\x00" * 50, "\ufffd", "\U0010ffff", "́" * 9, "⊢ ⊣", "🙂" * 20])
def test_odd_texts_have_features_like_any_other(text: str) -> None:
    for one in (battle(text, "no"), battle(text, text), battle("yes", "no", prompt=text)):
        assert np.isfinite(list(measured(one).values())).all()


def test_of_an_enormous_answer_its_ends_are_read() -> None:
    reads = Extractor(FeatureSpec(hash_bits=10, max_chars=1_000))
    huge = "first " + "a b " * 900_000 + "last"
    same_ends = "first " + "a b " * 500 + "c d " * 500 + "a b " * 500 + "last"
    one, other = (reads.extract([battle(text)]).sides.toarray()[0, len(SIDES) :] for text in (huge, same_ends))
    assert (one == other).all()
    assert measured(battle(huge), reads)["more characters"] > 10


def test_folding_counts_leaves_them_as_they_are() -> None:
    counts = presence(count_words((1, 2), bits=12).count(["one two three four five six seven eight"]))
    before = counts.copy()
    fold(counts, bits=2)
    assert (counts.data == before.data).all()
    assert (counts.indices == before.indices).all()


def test_identical_and_empty_answers_are_known() -> None:
    assert measured(battle("same", "same"))["identical"] == 1
    assert measured(battle("same", "same"))["similar"] == 1
    assert measured(battle("yes", "no"))["identical"] == 0
    assert measured(battle("yes", ""))["more blank turns"] == -1
    assert measured(battle("", " "))["both blank turns"] == 1


def test_a_refusal_is_known_at_the_beginning_of_a_turn_alone() -> None:
    refusal = "I'm sorry, but I can't help with that."
    assert measured(battle(refusal, "Sure."))["more refusal"] == 1
    assert measured(battle(refusal, refusal))["both refusal"] == 1
    assert measured(battle("He wept. " * 40 + refusal, "Sure."))["more refusal"] == 0


def test_an_answer_in_another_script_than_the_prompt_is_known() -> None:
    asked = "Сколько будет два плюс два?"
    assert measured(battle("It is four.", "Это четыре.", prompt=asked))["more other script than the prompt"] == 1
    assert measured(battle("4", "4.0", prompt=asked))["both other script than the prompt"] == 0


def test_words_of_scripts_without_blanks_are_counted() -> None:
    told = measured(battle("今天天气很好", "今天天气不好", prompt="天气"))
    assert 0 < told["similar"] < 1


def test_names_of_makers_are_masked_where_an_answer_tells_who_it_is() -> None:
    told = battle("I am ChatGPT, a model by OpenAI.", "I am Claude, a model by Anthropic.")
    sides = EXTRACTOR.extract([told]).sides.toarray()[0, len(SIDES) :]
    assert not sides.any()
    assert (
        Extractor(FeatureSpec(hash_bits=10, mask_identity=False)).extract([told]).sides.toarray()[0, len(SIDES) :].any()
    )


def test_a_bucket_is_named_by_what_falls_into_it() -> None:
    one = battle("alpha beta", "gamma", prompt="delta")
    of_prompt, of_answers = EXTRACTOR.sequences_of(one)
    assert "delta" in of_prompt
    assert {"alpha", "alpha beta", "gamma"} <= of_answers
    [bucket] = EXTRACTOR.buckets_of(["alpha beta"])
    assert EXTRACTOR.extract([one]).sides.toarray()[0, len(SIDES) + bucket] == 1


@pytest.mark.parametrize(
    "change",
    [{"words": (1, 1)}, {"characters": (3, 4)}, {"hash_bits": 11}, {"max_chars": 999}, {"mask_identity": False}],
)
def test_the_hash_of_the_list_tells_every_setting(change: dict[str, object]) -> None:
    other = FeatureSpec.model_validate({**SPEC.model_dump(), **change})
    assert other.hash != SPEC.hash
    assert re.fullmatch("[0-9a-f]{64}", other.hash)
