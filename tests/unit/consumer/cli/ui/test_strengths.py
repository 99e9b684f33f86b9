"""The drawn table of models: it fits, and what it draws is where it should be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from prefstream.consumer.board.report.payloads import ModelLine, StrengthTable
from prefstream.consumer.cli.ui.strengths import (
    Scale,
    draw,
    interval,
    ranks,
    strengths_table,
    without_rating,
)

ratings = st.floats(0, 3000, allow_nan=False)


def line(model: str = "x", rating: float | None = 1000.0, **changes: object) -> ModelLine:
    fields = {
        "place": 1,
        "model": model,
        "rating": rating,
        "lower": None,
        "upper": None,
        "rank_low": None,
        "rank_high": None,
        "battles": 10,
        "votes": 10.0,
        "why_no_interval": None,
    }
    return ModelLine.model_validate(fields | changes)


def table(*lines: ModelLine) -> StrengthTable:
    return StrengthTable(method="votes", label="", style_control=False, models=lines, votes=1, preferences=0)


@given(st.lists(st.tuples(ratings, st.floats(0, 900)), min_size=1, max_size=8), st.integers(1, 80))
def test_a_dot_stands_between_its_whiskers(found: list[tuple[float, float]], width: int) -> None:
    lines = [line(rating=rating, lower=rating - half, upper=rating + half) for rating, half in found]
    scale = Scale.of(lines)
    for one in lines:
        drawn = draw(one, scale, width).plain
        assert len(drawn) == width
        assert drawn.count("●") == 1
        before, after = drawn.split("●")
        assert not {"┤"} & set(before)
        assert not {"├"} & set(after)


def test_intervals_of_about_one_size_have_both_ends_and_one_that_is_wild_leaves_the_others_room() -> None:
    usual = [line(rating=at, lower=at - half, upper=at + half) for at, half in ((900, 40), (1000, 50), (1200, 70))]
    assert Scale.of(usual) == Scale(860, 1270)
    wild = line(rating=800, lower=-4000, upper=5600)
    assert Scale.of([*usual, wild]) == Scale(800 - 1.5 * 60, 1200 + 1.5 * 60)


def test_whiskers_are_as_long_as_the_interval() -> None:
    scale = Scale(900, 1100)
    assert draw(line(rating=1050, lower=1025, upper=1075), scale, 9).plain == "    │├●┤ "
    assert draw(line(rating=1050, lower=1025, upper=1075), scale, 9, plain=True).plain == "    |[o] "
    assert draw(line(rating=950, lower=0, upper=5000), scale, 9).plain == "──●──────"
    assert draw(line(rating=None), scale, 9).plain == " " * 9


@given(
    st.lists(st.text(max_size=60), max_size=5),
    st.lists(st.tuples(ratings, st.floats(0, 900), st.integers(0, 10**6)), min_size=5, max_size=5),
    st.integers(60, 200),
)
def test_no_name_makes_the_table_too_wide(names: list[str], found: list[tuple[float, float, int]], width: int) -> None:
    lines = [
        line(name, rating, lower=rating - half, upper=rating + half, rank_low=1, rank_high=5, battles=battles)
        for name, (rating, half, battles) in zip(names, found, strict=False)
    ]
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(strengths_table(table(*lines), width))
    for row in captured.get().splitlines():
        assert console.measure(row.rstrip()).maximum <= width if row.isascii() else True
        assert "\x1b" not in row


def drawn(width: int) -> str:
    lines = [
        line("a-model-of-24-characters", 1248.0, lower=900.0, upper=1596.0, rank_low=1, rank_high=12),
        line("another", 752.0, lower=404.0, upper=1100.0, rank_low=1, rank_high=12),
    ]
    console = Console(width=width, no_color=True)
    with console.capture() as captured:
        console.print(strengths_table(table(*lines), width))
    return captured.get()


def test_where_there_is_no_room_for_whiskers_the_numbers_are_whole() -> None:
    text = drawn(60)
    for told in ("a-model-of-24-characters", "rating", "95 %", "votes", "±348", "1–12"):
        assert told in text
    assert "…" not in text
    assert "●" not in text


def test_the_head_of_the_whiskers_is_their_scale() -> None:
    head = drawn(100).splitlines()[1]
    assert "404" in head
    assert "1596" in head


def test_an_interval_is_told_by_its_distances() -> None:
    assert interval(line(rating=1043.4, lower=1014.2, upper=1074.1)) == "+31/−29"
    assert interval(line(rating=1000, lower=990, upper=1010)) == "±10"
    assert interval(line()) == "–"


def test_a_rank_is_told_as_a_range() -> None:
    assert ranks(line(rank_low=2, rank_high=4)) == "2–4"
    assert ranks(line(rank_low=2, rank_high=2)) == "2"


def test_models_without_a_rating_are_told_once_for_each_reason() -> None:
    lines = [line(f"m{number}", None, why_no_interval="won every vote") for number in range(6)]
    lines.append(line("alone", None, why_no_interval="met nobody"))
    assert without_rating(lines) == ["m0, m1, m2, m3 and 2 more: won every vote", "alone: met nobody"]
