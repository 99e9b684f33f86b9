"""Which panel is to answer: what is written is read again, and what names a path is none."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefstream.schemas import (
    Canary,
    ContractError,
    InvalidEventError,
    PanelChoice,
    PanelVersion,
    decode_panel_choice,
    encode_panel_choice,
)

NOW = datetime(2026, 5, 1, tzinfo=UTC)

names = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,20}\Z")
calibrations = st.fixed_dictionaries({"panel": st.fixed_dictionaries({"tie_bias": st.floats(-1, 1)})})
versions = st.builds(PanelVersion, panel=st.none() | names, calibration=st.none() | calibrations)
choices = st.builds(
    PanelChoice,
    group=st.text(min_size=1),
    serving=versions,
    canary=st.none(),
    pinned=st.booleans(),
    chosen_at=st.datetimes(timezones=st.just(UTC)),
    chosen_by=st.just("test"),
    why=st.none() | st.text(max_size=50),
    earlier=st.lists(versions, max_size=16).map(tuple),
)


@given(choices)
def test_what_is_written_is_read_again(choice: PanelChoice) -> None:
    assert decode_panel_choice(encode_panel_choice(choice)) == choice


def test_a_canary_is_read_again() -> None:
    choice = PanelChoice(group="g", canary=Canary(panel="two", share=0.05), chosen_at=NOW, chosen_by="test")
    assert decode_panel_choice(encode_panel_choice(choice)) == choice


@pytest.mark.parametrize(
    "name", ["../other", "/etc/panel", "https://example.org/panel", "a b", ".hidden", "", "x" * 101, "a\n"]
)
def test_no_name_of_a_panel_leads_anywhere(name: str) -> None:
    with pytest.raises(ContractError):
        PanelVersion(panel=name)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_canary_has_a_share_of_the_battles(share: float) -> None:
    with pytest.raises(ContractError):
        Canary(panel="two", share=share)


def test_a_canary_is_another_panel_than_the_one_that_serves() -> None:
    with pytest.raises(ContractError, match="is the panel that serves"):
        PanelChoice(
            group="g",
            serving=PanelVersion(panel="one"),
            canary=Canary(panel="one", share=0.5),
            chosen_at=NOW,
            chosen_by="test",
        )


@pytest.mark.parametrize("value", [None, b"", b"{", b"[]", b'{"group": 1}', b'{"group": "g", "schema_version": "2.0"}'])
def test_what_is_no_choice_is_refused(value: bytes | None) -> None:
    with pytest.raises(InvalidEventError):
        decode_panel_choice(value)


fields = st.sampled_from([*PanelChoice.model_fields, "later"])


@given(st.dictionaries(fields, st.none() | st.text() | st.floats(allow_nan=False)))
def test_whatever_stands_there_is_a_choice_or_refused(given_fields: dict[str, Any]) -> None:
    value = orjson.dumps(given_fields)
    try:
        choice = decode_panel_choice(value)
    except InvalidEventError:
        return
    assert decode_panel_choice(encode_panel_choice(choice)) == choice
