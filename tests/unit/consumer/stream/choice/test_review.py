"""Who is asked to look: the published probability is the one that the draw keeps, whoever draws, and how often."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import UsageError
from prefstream.consumer.stream.choice.review import ReviewRule
from prefstream.consumer.stream.messages import Composer
from prefstream.schemas import decode_preference
from prefstream.schemas.preference import MAX_ENTROPY_BITS, Uncertainty
from tests.support.samples import a_preference, ids
from tests.support.streams import make_event

shares = st.floats(min_value=1e-6, max_value=1.0)
entropies = st.floats(min_value=0.0, max_value=MAX_ENTROPY_BITS)
rules = st.builds(
    lambda shares, above: ReviewRule(min(shares), above, max(shares)), st.tuples(shares, shares), entropies
)


def uncertainty(entropy: float) -> Uncertainty:
    return Uncertainty(entropy=entropy, between_judges=0.0)


@pytest.mark.parametrize("probability", [0.01, 0.05, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("name", ["{}", "battle-{}", "arena55k-{}"], ids=repr)
def test_of_many_ids_the_share_that_is_chosen_is_the_probability(probability: float, name: str) -> None:
    """Whatever ids look like: within five standard errors, and these ids are always the same."""
    count = 40_000
    rule = ReviewRule(probability, 1.0, probability)
    chosen = sum(rule.decide(name.format(number), uncertainty(0.5)).chosen for number in range(count))
    assert abs(chosen / count - probability) < 5 * (probability * (1 - probability) / count) ** 0.5


def test_weights_by_the_inverse_probability_give_back_what_was_sampled_from() -> None:
    """What the probability is published for: the mean over all battles, from those that were chosen."""
    rule = ReviewRule(0.05, 1.2, 0.6)
    battles = [(f"b{number}", (number * 0.618034) % 1 * MAX_ENTROPY_BITS) for number in range(60_000)]
    reviews = [(entropy, rule.decide(battle_id, uncertainty(entropy))) for battle_id, entropy in battles]
    total = sum(entropy / review.probability for entropy, review in reviews if review.chosen)
    weight = sum(1 / review.probability for _, review in reviews if review.chosen)
    truth = sum(entropy for _, entropy in battles) / len(battles)
    plain = [entropy for entropy, review in reviews if review.chosen]
    assert total / weight == pytest.approx(truth, rel=0.03)
    assert sum(plain) / len(plain) > 1.3 * truth


@given(rules, ids, entropies, entropies)
def test_more_doubt_is_never_looked_at_less(rule: ReviewRule, battle_id: str, one: float, other: float) -> None:
    less, more = (rule.decide(battle_id, uncertainty(entropy)) for entropy in sorted((one, other)))
    assert less.probability <= more.probability
    assert less.chosen <= more.chosen


@given(rules, ids, entropies)
def test_every_probability_is_one_of_two_and_what_is_certain_is_chosen(
    rule: ReviewRule, battle_id: str, entropy: float
) -> None:
    review = rule.decide(battle_id, uncertainty(entropy))
    assert review.probability == (rule.share_above if entropy >= rule.above else rule.share)
    assert review.chosen or review.probability < 1
    assert review == rule.decide(battle_id, uncertainty(entropy))


def test_an_answer_that_tells_no_uncertainty_is_as_any_other() -> None:
    assert ReviewRule(0.25, 0.0, 1.0).decide("b", None).probability == 0.25


def test_the_rule_is_that_of_the_settings() -> None:
    assert ReviewRule.of(StreamConfig.load()) is None
    config = StreamConfig.load(review_topic="r", review_share=0.1, review_above=0.7, review_share_above=0.3)
    assert ReviewRule.of(config) == ReviewRule(0.1, 0.7, 0.3)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"review_share": 0}, "review_share"),
        ({"review_share": 1.1}, "review_share"),
        ({"review_share_above": float("nan")}, "review_share_above"),
        ({"review_above": 1.6}, "review_above"),
        ({"review_share": 0.3, "review_share_above": 0.2}, "review_share_above: must not be less than review_share"),
    ],
)
def test_a_probability_that_is_none_is_refused(settings: dict[str, float], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        StreamConfig.load(None, **settings)


def test_a_preference_carries_its_review_whether_it_was_chosen_or_not() -> None:
    """Else nobody knew how probable a battle was that nobody was asked about."""
    composer = Composer("g")
    for share, chosen in ((1.0, True), (1e-9, False)):
        marked = ReviewRule(share, 1.0, 1.0).mark(a_preference())
        message = composer.preference(make_event(), marked, datetime(2026, 11, 28, tzinfo=UTC))
        assert message.chosen is chosen
        review = decode_preference(message.value or b"").review
        assert review is not None
        assert (review.probability, review.chosen) == (share, chosen)
