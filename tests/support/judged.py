"""Labelled battles and forecasts of them, made for tests."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from prefstream.schemas import OUTCOMES, Battle, Outcome
from prefstream.scoring.evaluation.results import Evaluated
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.panel.predict import Forecast, Predictions, panel_forecast
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.trust.votes import TrustVotes

MARK = "BATTLETEXT"
"""Stands in every text of every battle made here."""

EVALUATED = Evaluated(file="judged.jsonl", file_sha256="0" * 64, predictions=None, version="0", swap=False)


def make_labelled(count: int, *, prompts: int | None = None, seed: int = 0) -> list[LabelledBattle]:
    """Battles in which the longer answer tends to win.

    Args:
        count: of battles.
        prompts: number of different prompts; by default one a battle.
        seed: of lengths and labels.
    """
    draw = random.Random(seed)
    made = []
    for number in range(count):
        chars_a, chars_b = draw.randint(10, 4000), draw.randint(10, 4000)
        roll = draw.random()
        outcome = 2 if roll < 0.2 else int((chars_a < chars_b) != (roll > 0.9))
        rounds = 1 + number % 3
        made.append(
            LabelledBattle(
                Battle(
                    id=f"battle-{number}",
                    prompt=(f"{MARK} {number % (prompts or count)}", *("more",) * (rounds - 1)),
                    response_a=(MARK + "a" * chars_a, *("",) * (rounds - 1)),
                    response_b=(MARK + "b" * chars_b, *("",) * (rounds - 1)),
                    language="English" if number % 4 else None,
                ),
                Label(OUTCOMES[outcome], tuple(np.eye(3)[outcome].tolist())),
                line=number + 1,
                source=("arena", "<chats & more>")[number % 2],
                tier="core" if number % 5 else "arena",
            )
        )
    return made


def make_probabilities(count: int, *, seed: int = 0) -> Triples:
    """Random rows that sum to 1."""
    return np.random.default_rng(seed).dirichlet((2.0, 2.0, 1.0), count)


def make_predictions(labelled: Sequence[LabelledBattle], probabilities: Triples) -> Predictions:
    """A panel of one judge that is not symmetric and was asked in both orders."""
    judge = Forecast("one", probabilities, as_given=probabilities, swapped=np.roll(probabilities, 1, axis=0))
    return Predictions(
        positions=np.arange(len(labelled)),
        panel=panel_forecast(probabilities, [judge]),
        judges=(judge,),
        unanswered={},
    )


def exchange(labelled: Sequence[LabelledBattle]) -> list[LabelledBattle]:
    """Every battle with A and B exchanged, and so its label."""
    other: dict[Outcome, Outcome] = {"model_a": "model_b", "model_b": "model_a", "tie": "tie"}
    return [
        replace(
            one,
            battle=one.battle.swap(),
            label=replace(
                one.label,
                outcome=other[one.label.outcome],
                target=(one.label.target[1], one.label.target[0], one.label.target[2]),
            ),
        )
        for one in labelled
    ]


def make_trust_votes(count: int, *, seed: int = 0, **columns: Any) -> TrustVotes:
    """One vote a battle, a second after the preference and a minute after the vote before it.

    Args:
        count: of votes.
        seed: of forecasts, lengths and verdicts, which are those of a perfect panel.
        columns: of `TrustVotes`, in place of the made ones.
    """
    draw = np.random.default_rng(seed)
    forecasts = columns.get("forecasts", make_probabilities(count, seed=seed))
    voted_ms = np.asarray(columns.get("voted_ms", 1_760_000_000_000 + 60_000 * np.arange(count)))
    made = {
        "battles": np.arange(count),
        "outcomes": (draw.random(count)[:, None] > forecasts.cumsum(axis=1)).sum(axis=1).clip(0, 2),
        "forecasts": forecasts,
        "voted_ms": voted_ms,
        "published_ms": voted_ms - 1_000,
        "characters_a": draw.integers(10, 4_000, count).astype(float),
        "characters_b": draw.integers(10, 4_000, count).astype(float),
        "weights": np.ones(count),
        "asked_for": np.zeros(count, dtype=bool),
        "languages": ["en" if number % 3 else "de" for number in range(count)],
        "panels": ["panel"] * count,
    }
    given = {
        name: column if name in {"languages", "panels"} else np.asarray(column) for name, column in columns.items()
    }
    return TrustVotes(**{**made, **given})
