"""What the next choice is: another panel, a canary, and back."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.consumer.errors import UsageError
from prefstream.consumer.panels import choosing
from prefstream.schemas import PanelChoice, PanelVersion
from prefstream.schemas.panel_choice import MAX_EARLIER

NOW = datetime(2026, 5, 1, tzinfo=UTC)
FIRST = choosing.first_choice("g", NOW)

names = st.sampled_from(["one", "two", "three", None])


def version(name: str | None) -> PanelVersion:
    return PanelVersion(panel=name)


def chain(*chosen: str | None) -> PanelChoice:
    choice = FIRST
    for name in chosen:
        choice = choosing.serve(choice, version(name), NOW)
    return choice


def test_what_served_before_stands_in_the_choice() -> None:
    choice = chain("one", "two")
    assert choice.serving == version("two")
    assert choice.earlier == (version("one"), version(None))


@given(st.lists(names, max_size=30))
def test_going_back_as_often_as_possible_never_ends_at_the_same_panel_twice(chosen: list[str | None]) -> None:
    choice = chain(*chosen)
    seen = [choice.serving]
    while choice.earlier:
        choice = choosing.roll_back(choice, NOW)
        seen.append(choice.serving)
    assert len({one.panel for one in seen}) == len(seen)
    assert len(seen) <= MAX_EARLIER + 1


@given(st.lists(names, min_size=1, max_size=10), names)
def test_going_back_undoes_the_last_choice(chosen: list[str | None], last: str | None) -> None:
    before = chain(*chosen)
    after = choosing.serve(before, version(last), NOW)
    if after.serving != before.serving:
        assert choosing.roll_back(after, NOW).serving == before.serving


def test_a_canary_leaves_what_serves_and_ends_by_going_back() -> None:
    tried = choosing.try_out(chain("one"), version("two"), 0.1, NOW)
    assert (tried.serving, tried.canary and tried.canary.panel) == (version("one"), "two")
    assert choosing.roll_back(tried, NOW) == chain("one")


def test_a_canary_ends_where_a_panel_is_to_serve() -> None:
    tried = choosing.try_out(chain("one"), version("two"), 0.1, NOW)
    assert choosing.serve(tried, version("two"), NOW).canary is None


def test_the_panel_that_serves_can_not_be_tried_out() -> None:
    with pytest.raises(UsageError, match="one serves already"):
        choosing.try_out(chain("one"), version("one"), 0.1, NOW)


def test_there_is_nothing_before_the_first_choice() -> None:
    with pytest.raises(UsageError, match="nothing to go back to"):
        choosing.roll_back(FIRST, NOW)


def test_a_pin_stays_until_it_is_taken_off() -> None:
    pinned = choosing.pin(chain("one"), NOW, pinned=True)
    assert choosing.serve(pinned, version("two"), NOW).pinned
    assert not choosing.pin(pinned, NOW, pinned=False).pinned


def test_more_earlier_panels_than_are_kept_lose_the_oldest() -> None:
    choice = chain(*(f"panel-{number}" for number in range(MAX_EARLIER + 5)))
    assert len(choice.earlier) == MAX_EARLIER
    assert choice.earlier[0] == version(f"panel-{MAX_EARLIER + 3}")
