"""A card's figures in Markdown, as the guide of the panel that ships quotes them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from prefstream.scoring.card.card import DEMO_CARD, Card, SystemCard
from prefstream.scoring.evaluation.bootstrap import Estimate

DEMO_GUIDE: Final = DEMO_CARD.with_name("README.md")

_BEGIN: Final = "<!-- card: python -m prefstream.scoring.card.make -->"
_END: Final = "\n<!-- /card -->"


def with_figures(text: str, card: Card) -> str:
    """A guide with a card's figures, between its two comments.

    Args:
        text: of the guide.
        card: whose figures.

    Raises:
        ValueError: the guide has no place for them.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError("the guide has no place for a card's figures")
    return f"{before}{begin}\n{figures(card)}{end}{after}"


def figures(card: Card) -> str:
    """Tables of how good the panel is and how well it is calibrated, and how often people agree with each other."""
    parts = (_quality(card), _calibration(card), _people(card))
    return "\n\n".join("\n".join(lines) for lines in parts)


def renew(path: Path, card: Card) -> None:
    """Write a card's figures into a guide.

    Raises:
        ValueError: the guide has no place for them.
        OSError: it can't be read or written.
    """
    path.write_text(with_figures(path.read_text(encoding="utf-8"), card), encoding="utf-8")


def _quality(card: Card) -> Iterator[str]:
    systems = next(iter(card.tiers.values())).systems
    yield _row("log loss / accuracy / winner found", *(system.name for system in systems))
    yield _row(*["---"] * (len(systems) + 1))
    for name, tier in card.tiers.items():
        yield _row(f"`{name}`, {tier.battles} battles, {tier.prompts} prompts", *map(_system, tier.systems))


def _calibration(card: Card) -> Iterator[str]:
    yield _row("calibration error", "of the panel", "of a perfect one, by chance", "95th percentile of that")
    yield _row(*["---"] * 4)
    for name, tier in card.tiers.items():
        found = tier.calibration
        yield _row(f"`{name}`", _figure(found.error), _number(found.by_chance), _number(found.by_chance_95))


def _people(card: Card) -> Iterator[str]:
    yield _row("how often people agree", "share", "who with whom")
    yield _row(*["---"] * 3)
    for name, tier in card.tiers.items():
        if tier.voters:
            where = f"`{name}`, {tier.voters.battles} battles that several voted on, ties counted"
            yield _row(where, _figure(tier.voters.each_other), "two of the voters")
            if tier.voters.panel.value is not None:
                yield _row("", _figure(tier.voters.panel), "one of the voters and the panel")
    for one in card.people:
        share = _number(one.low, 2) if one.low == one.high else f"{_number(one.low, 2)} to {_number(one.high, 2)}"
        yield _row(f"{one.among}, {'ties counted' if one.ties else 'no ties'}", share, f"{one.what} ({one.source})")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _system(system: SystemCard) -> str:
    found = (system.log_loss, system.accuracy, system.decided_accuracy)
    return " / ".join(map(_figure if system.kind == "panel" else _value, found))


def _figure(found: Estimate) -> str:
    if found.value is None:
        return _value(found)
    return f"{_value(found)} [{_number(found.low)}, {_number(found.high)}]"


def _value(found: Estimate) -> str:
    return _number(found.value)


def _number(number: float | None, digits: int = 3) -> str:
    """As the guide writes figures: without the zero in front."""
    return "?" if number is None else f"{number:.{digits}f}".removeprefix("0")
