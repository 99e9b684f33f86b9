"""What a side is: a range of a topic, a file of answers, or a panel that is asked now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from prefstream.consumer.errors import UsageError
from prefstream.consumer.rescore.span import SPAN_METAVAR, TopicSpan
from prefstream.scoring.config import DEMO_PANEL

_PANEL_ENDINGS: Final = frozenset({".yaml", ".yml"})


@dataclass(frozen=True, slots=True)
class PanelSide:
    """A panel that is asked now.

    Attributes:
        path: of its file, or `demo`.
    """

    path: Path


@dataclass(frozen=True, slots=True)
class FileSide:
    """A file of answers.

    Attributes:
        path: of the file.
    """

    path: Path


Side: TypeAlias = TopicSpan | PanelSide | FileSide


def parse_side(text: str) -> Side:
    """Read what a person wrote. What exists as a file is one, whatever else it could mean.

    Raises:
        UsageError: it is nothing that answers could come from.
    """
    path = Path(text)
    if text == DEMO_PANEL or path.suffix.lower() in _PANEL_ENDINGS:
        return PanelSide(path)
    if path.exists():
        return FileSide(path)
    if "@" in text:
        return TopicSpan.parse(text)
    raise UsageError(
        f"{text}: no such file; give a file of answers, a panel file (.yaml), or a range of a topic ({SPAN_METAVAR})"
    )


def name_of(side: Side) -> str:
    """What a side is called, for people."""
    return side.text if isinstance(side, TopicSpan) else str(side.path)
