"""Which features of a judge decide most, by names that people read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from prefstream.scoring.settings import Settings

Decides: TypeAlias = Literal["winner", "tie"]


class NamedFeature(Settings):
    """A feature, and how much it decides."""

    name: Annotated[str, Field(description="What is measured, or the word that most often fell into its bucket.")]
    decides: Annotated[
        Decides, Field(description="winner: above 0 speaks for the answer that has more of it; tie: for a tie.")
    ]
    weight: Annotated[float, Field(description="Nats per unit: of a count that is hashed, per presence.")]
    effect: Annotated[float, Field(description="Nats per standard deviation of the feature in training.")]
    hashed: Annotated[bool, Field(description="A word or run of characters; else a measure.")] = False


def strongest(named: Sequence[NamedFeature], *, decides: Decides, hashed: bool, most: int) -> list[NamedFeature]:
    """The features that decide most.

    Args:
        named: of a judge.
        decides: who wins, or whether it is a tie.
        hashed: of words, or of measures.
        most: how many.

    Returns:
        At most so many, the strongest first, whichever way they speak.
    """
    chosen = [one for one in named if one.decides == decides and one.hashed == hashed]
    return sorted(chosen, key=lambda one: (-abs(one.effect), one.name))[:most]


def describe_strongest(named: Sequence[NamedFeature], *, most: int) -> list[str]:
    """The strongest features in lines for people.

    Args:
        named: of a judge.
        most: in each line.
    """
    kinds: tuple[tuple[str, Decides, bool], ...] = (
        ("who wins, by measure", "winner", False),
        ("who wins, by words", "winner", True),
        ("a tie, by measure", "tie", False),
        ("a tie, by the prompt's words", "tie", True),
    )
    lines = []
    for title, decides, hashed in kinds:
        chosen = strongest(named, decides=decides, hashed=hashed, most=most)
        told = ", ".join(f"{_quoted(one)} {one.effect:+.3f}" for one in chosen)
        lines.append(f"{title}: {told or 'none'}")
    return lines


def _quoted(one: NamedFeature) -> str:
    """Words in quotation marks: some are marks themselves."""
    return f'"{one.name}"' if one.hashed else one.name
