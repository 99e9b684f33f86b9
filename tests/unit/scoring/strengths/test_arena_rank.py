"""LMArena's own package on the same battles: `recorded/record.py` tells how its answers were made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefstream.scoring.strengths.bradley_terry import rank_by_votes
from prefstream.scoring.strengths.connectivity import NEVER_MET, ONLY_LOST
from prefstream.scoring.strengths.results import Strength, Strengths
from prefstream.scoring.strengths.tallies import VotedBattles
from tests.support.drawn_votes import make_votes

RECORDED = Path(__file__).parent / "recorded"
Interval = tuple[float, float, float]


def recorded(name: str) -> Any:
    return json.loads((RECORDED / name).read_text(encoding="utf-8"))


def votes_of(name: str) -> tuple[VotedBattles, list[str]]:
    battles = recorded(f"battles_{name}.json")
    votes = make_votes(
        battles["model_a"],
        battles["model_b"],
        battles["outcome"],
        models=len(battles["models"]),
        style=np.array(battles["style"]),
    )
    return votes, battles["models"]


def theirs(name: str, how: str) -> dict[str, Interval]:
    said = recorded(f"arena_rank_{name}.json")[how]
    rows = zip(said["ratings"], said["rating_lower"], said["rating_upper"], strict=True)
    return dict(zip(said["competitors"], rows, strict=True))


def ours(ranked: Strengths, names: list[str]) -> dict[str, Strength]:
    return {names[int(row.model[1:])]: row for row in ranked.strengths}


def rated(rows: dict[str, Strength]) -> dict[str, Interval]:
    return {
        model: (row.rating, row.lower, row.upper)
        for model, row in rows.items()
        if row.rating is not None and row.lower is not None and row.upper is not None
    }


def compare(here: dict[str, Interval], there: dict[str, Interval]) -> tuple[np.ndarray, np.ndarray]:
    """Differences of ratings, and ratios of intervals' widths, ours by theirs."""
    one = np.array([here[model] for model in here])
    other = np.array([there[model] for model in here])
    return one[:, 0] - other[:, 0], (one[:, 2] - one[:, 1]) / (other[:, 2] - other[:, 1])


@pytest.mark.parametrize("how", ["plain", "plain_finite"])
def test_drawn_battles_give_their_table(how: str) -> None:
    votes, names = votes_of("drawn")
    apart, wider = compare(rated(ours(rank_by_votes(votes), names)), theirs("drawn", how))
    assert np.abs(apart).max() < 1e-3
    assert 1 < wider.min() <= wider.max() < 1.01


def test_style_control_gives_their_table_and_coefficients() -> None:
    votes, names = votes_of("drawn")
    ranked = rank_by_votes(votes, style_control=True)
    apart, wider = compare(rated(ours(ranked, names)), theirs("drawn", "style"))
    assert np.abs(apart).max() < 1e-3
    assert 1 < wider.min() <= wider.max() < 1.01
    coefficients = recorded("arena_rank_drawn.json")["style"]["coeffs"]
    np.testing.assert_allclose([effect.coefficient for effect in ranked.style], coefficients, atol=1e-6)


def test_real_battles_give_their_table_of_the_models_that_have_a_finite_strength() -> None:
    """Few battles each: our intervals are wider, as those of so few have to be."""
    votes, names = votes_of("dev")
    here = rated(ours(rank_by_votes(votes), names))
    there = theirs("dev", "plain_finite")
    assert here.keys() == there.keys()
    apart, wider = compare(here, there)
    assert np.abs(apart).max() < 1e-3
    assert wider.min() > 1


def test_real_battles_give_their_table_as_it_comes_but_for_where_its_zero_lies() -> None:
    """The mean of all 133 ratings is 1000 there, that of the 65 which exist is here."""
    votes, names = votes_of("dev")
    apart, _ = compare(rated(ours(rank_by_votes(votes), names)), theirs("dev", "plain"))
    assert np.abs(apart - apart.mean()).max() < 0.5
    assert apart.mean() == pytest.approx(-116.07, abs=0.01)


def test_what_has_no_finite_strength_has_one_there_that_its_search_stopped_at() -> None:
    votes, names = votes_of("dev")
    rows, there = ours(rank_by_votes(votes), names), theirs("dev", "plain")
    for model in ("mpt-30b-chat", "qwen1.5-7b-chat", "wizardlm-70b"):
        assert (rows[model].rating, rows[model].why_no_interval) == (None, ONLY_LOST)
        rating, lower, upper = there[model]
        assert rating < -1400
        assert upper - lower < 0.1
    assert rows["tulu_65B"].why_no_interval == NEVER_MET
