"""What a run over a card found, section by section, as it is written to a file for others to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from prefstream.scoring.errors import ScoringError
from prefstream.scoring.version import own_version

FORMAT: Final = 1
"""Of the file; higher where a field changes its meaning."""

Status: TypeAlias = Literal["passed", "failed", "skipped"]


class SectionName(StrEnum):
    """In the order in which they are run: what spoils all the others shows first, what takes longest comes last."""

    MACHINE = "machine"
    AGREEMENT = "agreement"
    THREADS = "threads"
    IN_8_BITS = "8bit"
    IN_4_BITS = "4bit"
    MEMORY = "memory"
    SPEED = "speed"
    LOOPS = "loops"


class SkippedError(ScoringError):
    """A section has no meaning on this machine; the message says why."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What a section found.

    Attributes:
        figures: for the file, as JSON has them.
        told: the same in words and few numbers, a line each.
        faults: what is not as it has to be, a sentence each; none if all is.
    """

    figures: Mapping[str, Any]
    told: tuple[str, ...]
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A section that was run, or could not be.

    Attributes:
        name: of it.
        status: failed where it broke off, or found something that is not as it has to be.
        reason: one line: why it failed or was skipped; None where it passed.
        seconds: that it took, the start of its process included.
        figures: as in `Findings`; empty where it broke off.
        told: likewise.
        where: of an error, the calls that led to it, from the outermost: file, line, function.
    """

    name: str
    status: Status
    reason: str | None = None
    seconds: float = 0.0
    figures: Mapping[str, Any] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    where: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardReport:
    """All of a run.

    Attributes:
        device: that it was about.
        battles: that were scored for speed.
        made_at: when it was begun.
        sections: in the order in which they were run.
    """

    device: str
    battles: int
    made_at: datetime
    sections: tuple[Section, ...]

    @property
    def passed(self) -> bool:
        """Whether no section failed; those that have no meaning here don't count."""
        return all(section.status != "failed" for section in self.sections)

    def to_fields(self) -> dict[str, Any]:
        """For a JSON file. No text of a battle is in it, and no path but those of source files."""
        return {
            "format": FORMAT,
            "prefstream": own_version(),
            "device": self.device,
            "battles": self.battles,
            "made_at": self.made_at.isoformat(timespec="seconds"),
            "passed": self.passed,
            "sections": [asdict(section) for section in self.sections],
        }
