"""What people said of a battle, as data sets and people spell it."""

from __future__ import annotations

from typing import Final

from prefstream.schemas import Outcome

SPELLINGS: Final[dict[str, Outcome]] = {
    "model_a": "model_a",
    "a": "model_a",
    "model_b": "model_b",
    "b": "model_b",
    "tie": "tie",
    "c": "tie",
    "tie (bothbad)": "tie",
    "bothbad": "tie",
    "both_bad": "tie",
}
"""Outcomes by their spellings, in small letters: those of Kaggle, of LMArena's data sets, of judges' verdicts."""

BOTH_BAD: Final = frozenset({"tie (bothbad)", "bothbad", "both_bad"})
"""Spellings of the second kind of tie: neither answer was any good. It counts as a tie."""


def _shown(name: str) -> str:
    return name.upper() if len(name) == 1 else name


SPELLINGS_HELP: Final = "; ".join(
    f"{outcome}: " + ", ".join(_shown(name) for name, said in SPELLINGS.items() if said == outcome)
    for outcome in dict.fromkeys(SPELLINGS.values())
)
"""The table above as one line, for the help and for messages. Capitals don't matter."""


def normal_spelling(winner: str) -> str:
    """A spelling as the table has it."""
    return winner.strip().lower()
