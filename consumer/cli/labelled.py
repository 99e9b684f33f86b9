"""What commands that learn from people's judgements share: reading the labelled battles that were chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from prefstream.consumer.cli.panel_option import UNTRAINED, leaving_at_once
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import CountProgress, FileProgress
from prefstream.schemas import Battle
from prefstream.scoring.adapters.receipt import training_hash
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import FileError
from prefstream.scoring.file_names import printable
from prefstream.scoring.files.labelled import LabelledBattle, read_again, read_labelled
from prefstream.scoring.files.row_warnings import REPEATED_ID, SeenIds
from prefstream.scoring.files.rows import RejectedRow

if TYPE_CHECKING:
    from prefstream.scoring.evaluation.battle_facts import BattleFacts
    from prefstream.scoring.panel.panel import Panel
    from prefstream.scoring.panel.predict import Predictions


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which battles of a labelled file are looked at.

    Attributes:
        file: the labelled file.
        tiers: only battles of these; empty for all.
        sources: only battles of these; empty for all.
        limit: no more than so many of them; None for all.
    """

    file: Path
    tiers: Collection[str] = ()
    sources: Collection[str] = ()
    limit: int | None = None

    def takes(self, one: LabelledBattle) -> bool:
        """Whether a battle is of these tiers and sources."""
        return (not self.tiers or one.tier in self.tiers) and (not self.sources or one.source in self.sources)


@dataclass(frozen=True, slots=True)
class ChosenBattles:
    """The battles that were chosen: what is known of each, and no text; texts are read anew by whoever needs them.

    Attributes:
        choice: what they were chosen by.
        facts: about them.
        rejected: how many rows that were read could not be used.
    """

    choice: RowFilter
    facts: BattleFacts
    rejected: int

    def __len__(self) -> int:
        return len(self.facts)

    def read(self) -> Iterator[Battle]:
        """The battles, from the first one on.

        Raises:
            FileError: the file can't be read, or is not what it was.
        """
        records = read_labelled(self.choice.file)
        battles = (record.content for record in records if isinstance(record.content, LabelledBattle))
        for one in read_again(filter(self.choice.takes, battles), self.facts.ids, self.choice.file):
            yield one.battle


def warn_of_training_data(file: Path, config: PanelConfig, console: Console) -> None:
    """Say of which judges a file is the very one that they learnt from: what is measured on it flatters.

    Args:
        file: of labelled battles.
        config: of the panel that is to judge them; of adapters that lie on a hub nothing is known.
        console: told.
    """
    learnt = {
        judge.name: digest
        for judge in config.judges
        if (adapter := getattr(judge, "adapter", None)) and (digest := training_hash(Path(adapter)))
    }
    found = hash_file(file) if learnt else ""
    if names := [name for name, digest in learnt.items() if digest == found]:
        learners = " and ".join(names)
        say(console, f"warning: {printable(file.name)} is what {learners} learnt from; take battles with other prompts")


def read_chosen(choice: RowFilter, console: Console, *, answers: bool = False) -> ChosenBattles:
    """Read the battles that were chosen; rows that can't be used are named on the console.

    Args:
        choice: which.
        console: for progress and rejected rows.
        answers: as for `gather_facts`.

    Raises:
        FileError: the file can't be read, has no battle of a tier or source that was asked for, or none at all.
    """
    from prefstream.scoring.evaluation.battle_facts import gather_facts

    with FileProgress(console, choice.file, verb="reading") as progress:
        reading = _Reading(choice, progress)
        facts = gather_facts(reading.chosen(), answers=answers)
    reading.refuse_unknown_names()
    if not len(facts):
        told = ", see above" if reading.rejected else ""
        raise FileError(f"{choice.file}: holds no labelled battle that could be used{told}")
    return ChosenBattles(choice, facts, reading.rejected)


@dataclass(slots=True)
class _Reading:
    """One reading of the file, which counts and tells what it meets."""

    choice: RowFilter
    progress: FileProgress
    rejected: int = 0
    whole: bool = False
    tiers: Counter[str] = field(default_factory=Counter)
    sources: Counter[str] = field(default_factory=Counter)

    def chosen(self) -> Iterator[LabelledBattle]:
        """The battles that were chosen, as they are read."""
        ids, count = SeenIds(), 0
        for rows, record in enumerate(read_labelled(self.choice.file), start=1):
            if isinstance(record.content, RejectedRow):
                self.rejected += 1
                self.progress.rejected(record.line, record.content)
            else:
                for warning in record.warnings:
                    self.progress.warned(record.line, warning)
                self.tiers[record.content.tier or ""] += 1
                self.sources[record.content.source or ""] += 1
                if self.choice.takes(record.content):
                    if ids.is_repeated(record.content.battle.id):
                        self.progress.warned(record.line, REPEATED_ID)
                    count += 1
                    yield record.content
            self.progress.advanced(record.done_bytes, rows)
            if count == self.choice.limit:
                return
        self.whole = True

    def refuse_unknown_names(self) -> None:
        """Refuse tiers and sources that no battle has; not where the rest of the file was not looked at."""
        named = (("--tier", self.choice.tiers, self.tiers), ("--source", self.choice.sources, self.sources))
        for option, asked, seen in named:
            unknown = sorted(set(asked) - set(seen))
            if unknown and self.whole:
                there = ", ".join(f"{name} ({count:,})" for name, count in seen.most_common() if name) or "none"
                raise FileError(
                    f"{self.choice.file}: no battle has {option} {', '.join(unknown)}; those named in it: {there}"
                )


def predict_all(judges: Panel, battles: Iterable[Battle], count: int, console: Console) -> Predictions:
    """Let a panel score battles, with progress; Ctrl-C ends the process at once.

    Args:
        judges: stays open.
        battles: as they are read.
        count: how many there are.
        console: for progress, and for a word where judges are not trained.
    """
    from prefstream.scoring.panel.predict import predict

    if not judges.trained:
        say(console, UNTRAINED)
    with (
        leaving_at_once(console, "stopped: nothing is written"),
        CountProgress(console, count, verb="scoring") as progress,
    ):
        return predict(judges, battles, on_progress=progress.advanced)
