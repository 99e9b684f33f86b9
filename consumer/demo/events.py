"""What the demo sends: the package's own battles or somebody's, with what is held for right of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

import orjson

from prefstream.consumer.errors import UsageError
from prefstream.schemas import Battle, Outcome, decode_battle, encode_battle
from prefstream.schemas.vote import BOTH_BAD, Winner
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.files.content import file_format
from prefstream.scoring.files.labelled import read_labelled

SAMPLES: Final = "samples"


@dataclass(frozen=True, slots=True)
class DemoEvent:
    """One event of the demo: what is sent, and what of it can be shown.

    Attributes:
        name: the battle's id, or a made-up name for what is no battle.
        value: the record's value.
        battle: None for what is no battle.
        winner: of the package's own battles what their authors expect, of somebody's what people said of them; None
            where nobody says.
        tier: kind of battle, of the package's own.
    """

    name: str
    value: bytes = field(repr=False)
    battle: Battle | None = None
    winner: Winner | None = None
    tier: str | None = None

    @property
    def label(self) -> Outcome | None:
        """The winner in terms of a battle's three outcomes."""
        return "tie" if self.winner == BOTH_BAD else self.winner


def sample_entries() -> list[DemoEvent]:
    """The package's own battles, and three events that are none."""
    folder = files("prefstream.consumer.demo") / SAMPLES
    lines = (folder / "battles.jsonl").read_bytes().splitlines()
    malformed = (folder / "malformed.txt").read_bytes().splitlines()
    return [
        *map(_sample, lines),
        *(DemoEvent(f"malformed-{number}", line) for number, line in enumerate(malformed, 1)),
    ]


def file_entries(path: Path, on_bad_row: Callable[[str], None]) -> list[DemoEvent]:
    """The user's own battles; a line of JSONL that is none is sent as it is, a bad row of CSV can't be.

    Args:
        path: whatever `read_battles` reads.
        on_bad_row: told which row of CSV is left out, and why.

    Raises:
        FileError: the file can't be read.
        UsageError: it holds no battle.
    """
    entries = []
    said = _said(path)
    is_csv = file_format(path) == "csv"
    for record in read_battles(path):
        if record.battle:
            winner = said.get(record.line)
            entries.append(DemoEvent(record.battle.id, encode_battle(record.battle), record.battle, winner))
        elif not is_csv:
            entries.append(DemoEvent(f"{path.name}:{record.line}", record.raw))
        else:
            on_bad_row(f"{path.name}:{record.line} is left out: {record.rejected}")
    if not any(entry.battle for entry in entries):
        raise UsageError(f"{path} holds no battle; see `prefstream schema battle`")
    return entries


def _said(path: Path) -> dict[int, Winner]:
    """What people said, by the line of the battle; empty where the file doesn't tell."""
    try:
        records = list(read_labelled(path))
    except FileError:  # no columns of labels; what else is wrong is told when the battles are read
        return {}
    labels = {record.line: record.battle.label for record in records if record.battle}
    return {line: BOTH_BAD if label.both_bad else label.outcome for line, label in labels.items()}


def _sample(line: bytes) -> DemoEvent:
    battle, row = decode_battle(line), orjson.loads(line)
    return DemoEvent(battle.id, line, battle, row["winner"], row["tier"])
