"""Which records a shadow answers: those of a share, nested, whoever reads them; and when it may be one at all."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.errors import UsageError
from prefstream.consumer.stream.shadow import ShadowRule
from tests.support.samples import ids
from tests.support.streams import MALFORMED, battle_event, make_event

shares = st.floats(min_value=1e-9, max_value=1.0)


@given(ids, shares, shares)
def test_what_a_share_chooses_every_larger_one_chooses_too(battle_id: str, one: float, other: float) -> None:
    smaller, larger = sorted((one, other))
    assert ShadowRule(smaller).chooses(battle_id) <= ShadowRule(larger).chooses(battle_id)


@given(ids)
def test_a_share_of_1_chooses_every_battle_and_next_to_none_hardly_one(battle_id: str) -> None:
    assert ShadowRule(1.0).chooses(battle_id)
    assert not ShadowRule(1e-15).chooses(battle_id)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_of_many_battles_the_share_is_chosen(share: float) -> None:
    """Within five standard errors, and these ids are always the same."""
    count = 40_000
    chosen = sum(ShadowRule(share).chooses(f"battle-{number}") for number in range(count))
    assert abs(chosen / count - share) < 5 * (share * (1 - share) / count) ** 0.5


@given(st.integers(0, 10_000), st.integers(0, 40), st.integers(0, 2**40), shares)
def test_a_battle_is_chosen_by_its_id_wherever_it_stands(
    number: int, partition: int, offset: int, share: float
) -> None:
    rule = ShadowRule(share)
    record = make_event(battle_event(number), partition=partition, offset=offset).record
    assert rule.takes(record) == rule.chooses(f"battle-{number}")


@pytest.mark.parametrize("kind", MALFORMED)
def test_what_is_no_battle_is_taken_by_its_place_so_that_its_share_is_seen(kind: str) -> None:
    value, _ = MALFORMED[kind]
    records = [make_event(value, offset=offset).record for offset in range(400)]
    taken = [ShadowRule(0.25).takes(record) for record in records]
    assert taken == [ShadowRule(0.25).takes(record) for record in records]
    assert 60 < sum(taken) < 140


@pytest.mark.parametrize(
    ("settings", "rule"),
    [({}, None), ({"shadow": True}, None), ({"shadow": True, "share": 0.2}, ShadowRule(0.2))],
    ids=str,
)
def test_the_rule_is_that_of_the_settings(settings: dict[str, Any], rule: ShadowRule | None) -> None:
    assert ShadowRule.of(StreamConfig.load(**settings)) == rule


def test_a_shadow_has_a_group_of_its_own_and_writes_elsewhere() -> None:
    serving, shadow = StreamConfig.load(group_id="g"), StreamConfig.load(group_id="g", shadow=True)
    assert (serving.group, serving.answers_topic) == ("g", "preferences")
    assert (shadow.group, shadow.answers_topic) == ("g-shadow", "preferences.shadow")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"share": 0.1}, "share: only with shadow"),
        ({"max_lag": 10, "share": 0.2}, "share, max_lag: only with shadow"),
        ({"shadow": True, "share": 0}, "share"),
        ({"shadow": True, "share": 1.01}, "share"),
        ({"shadow": True, "share": float("nan")}, "share"),
        ({"shadow": True, "max_lag": 0}, "max_lag"),
        ({"shadow": True, "shadow_topic": "preferences"}, "must be topics of their own"),
    ],
    ids=str,
)
def test_settings_of_a_shadow_that_make_none_are_refused(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        StreamConfig.load(**settings)
