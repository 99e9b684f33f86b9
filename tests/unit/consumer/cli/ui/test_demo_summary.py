"""The demo's last screen: what it says first, what it calls whose verdict, and that it fits."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import pytest
from rich.console import Console, RenderableType

from prefstream.consumer.cli.ui.demo_screen import Screen
from prefstream.consumer.cli.ui.demo_summary import stream_box, worth_box
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.demo.demo import Check
from prefstream.consumer.demo.events import DemoEvent, sample_entries
from prefstream.consumer.demo.found import RIGHT_IS_LONGER, RIGHT_IS_SHORTER, Judged
from prefstream.schemas import Probabilities
from prefstream.scoring.card.card import Card
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import prior_panel_config
from tests.support.samples import a_preference

WIDTH = 80

FOR_A = Probabilities(model_a=0.5, model_b=0.3, tie=0.2)
FOR_B = Probabilities(model_a=0.25, model_b=0.5, tie=0.25)


@pytest.fixture(scope="module")
def panel() -> Iterator[Panel]:
    with load_panel(prior_panel_config()) as panel:
        yield panel


def always_a(events: Sequence[DemoEvent]) -> list[Judged]:
    """What a panel that always prefers A gives for events with a label."""
    return [(a_preference(probabilities=FOR_A), event, event.label) for event in events if event.label]


def lines_of(drawn: RenderableType | None) -> list[str]:
    """What is drawn, a line each, without frames."""
    assert drawn is not None
    console = Console(file=io.StringIO(), width=WIDTH, record=True)
    console.print(drawn)
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= WIDTH
    return [line.strip("│╭╮╰╯─ ") for line in lines]


def text_of(drawn: RenderableType | None) -> str:
    return " ".join(" ".join(lines_of(drawn)).split())


def test_of_the_panel_that_ships_peoples_verdicts_come_first(panel: Panel) -> None:
    lines = lines_of(worth_box(Card.read(), always_a(sample_entries()), panel, expected=True))
    order = ("what these", "Against people's verdicts", "arena, ", "core, ", "people ", "clear-cut ", "samples ")
    places = [next(place for place, line in enumerate(lines) if line.startswith(start)) for start in order]
    assert places == sorted(places)


def test_it_has_the_cards_figures_and_what_to_hold_them_against(panel: Panel) -> None:
    card = Card.read()
    lines = lines_of(worth_box(card, [], panel, expected=True))
    for name, tier in card.tiers.items():
        at = next(place for place, line in enumerate(lines) if line.startswith(f"{name}, {tier.battles} battles"))
        assert f"{tier.panel.log_loss.value:.3f} [" in lines[at]
        assert f"{100 * (tier.panel.accuracy.value or 0):.0f} % [" in lines[at]
        for told, baseline, line in zip(("reading", "by length"), tier.baselines, lines[at + 1 :], strict=False):
            assert line.startswith(told)
            assert f"{baseline.log_loss.value:.3f}" in line
    assert "63 to 67 % of MT-bench's and 66 % of AlpacaEval's, which have no ties" in " ".join(lines)


def test_samples_are_told_as_what_they_are(panel: Panel) -> None:
    """In half of either kind of clear-cut sample A is right."""
    text = text_of(worth_box(None, always_a(sample_entries()), panel, expected=True))
    assert "found in 16 of the 32 samples that have a wrong one" in text
    assert "in 8 of 16 where it is the longer, in 8 of 16 where it is the shorter" in text
    assert "64 hard cases, written for this project; by what their authors expect: log loss" in text
    assert "They go by length" not in text
    assert "adjusted" not in text
    assert "people" not in text


def test_that_length_decides_is_told_where_it_does(panel: Panel) -> None:
    """A panel that says A, on samples whose right answer is A where it is longer and B where it is shorter."""
    events = [
        event
        for event in sample_entries()
        if (event.tier, event.label) in {(RIGHT_IS_LONGER, "model_a"), (RIGHT_IS_SHORTER, "model_b")}
    ]
    text = text_of(worth_box(None, always_a(events), panel, expected=True))
    assert "in 8 of 8 where it is the longer, in 0 of 8 where it is the shorter. They go by length" in text


def test_what_is_found_with_length_taken_out_is_told_beside(panel: Panel) -> None:
    """Every answer says A, but B as if both were equally long: right where the others are wrong."""
    answers = [
        (a_preference(probabilities=FOR_A, adjusted=FOR_B), event, event.label)
        for event in sample_entries()
        if event.label and (event.tier, event.label) in {(RIGHT_IS_LONGER, "model_a"), (RIGHT_IS_SHORTER, "model_b")}
    ]
    text = text_of(worth_box(None, answers, panel, expected=True))
    assert "in 0 of 8 where it is the shorter. They go by length. " in text
    assert "With length taken out (adjusted) it is found in 8: in 0 and in 8" in text


def test_somebodys_own_battles_are_held_against_what_people_said(panel: Panel) -> None:
    event = DemoEvent("1", b"{}", winner="model_a")
    text = text_of(worth_box(None, always_a([event]), panel, expected=False))
    assert (
        "what people said of 1 battle: log loss 0.693, right in 100 % (a third for each outcome: 1.099, 33 %)" in text
    )
    assert "clear-cut" not in text
    assert "expect" not in text


def test_of_what_nothing_is_known_nothing_is_told(panel: Panel) -> None:
    assert worth_box(None, [], panel, expected=False) is None


@pytest.mark.parametrize(
    ("expected", "whose"), [(True, "what the samples' authors expect"), (False, "what people said")]
)
def test_votes_are_told_as_whose_they_are(panel: Panel, expected: bool, whose: str) -> None:
    screen = Screen(Console(file=io.StringIO()), panel, total=67, expected=expected)
    result = Check(
        produced=67, preferences=(), dead_letters=("not_json", "missing_field", "wrong_type"), lost=64, twice=0
    )
    text = text_of(stream_box(result, StreamConfig.load(), screen, votes=64, page=None))
    assert f"67 records on battles, 64 on votes: {whose}" in text
    assert "64 lost, 0 twice" in text
