"""What commands that learn from people's judgements share: reading the labelled battles that were chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from prefstream.consumer.cli.panels import UNTRAINED, leaving_at_once, say
from prefstream.consumer.cli.ui.progress import CountProgress, FileProgress
from prefstream.scoring.errors import FileError
from prefstream.scoring.files.labelled import LabelledBattle, read_labelled
from prefstream.scoring.files.row_warnings import REPEATED_ID, SeenIds
from prefstream.scoring.files.rows import RejectedRow

if TYPE_CHECKING:
    from prefstream.scoring.panel.panel import Panel
    from prefstream.scoring.panel.predict import Predictions


def read_chosen(
    file: Path,
    console: Console,
    *,
    tiers: Collection[str] | None = None,
    sources: Collection[str] | None = None,
    limit: int | None = None,
) -> tuple[list[LabelledBattle], int]:
    """Read the battles that were chosen; rows that can't be used are named on the console.

    Args:
        file: the labelled file.
        console: for progress and rejected rows.
        tiers: only battles of these; empty or None for all.
        sources: only battles of these; empty or None for all.
        limit: stop after so many chosen battles.

    Returns:
        The battles, and how many rows that were read could not be used.

    Raises:
        FileError: the file can't be read, has no battle of a tier or source that was asked for, or none at all.
    """
    chosen: list[LabelledBattle] = []
    seen: dict[str, Counter[str]] = {"--tier": Counter(), "--source": Counter()}
    ids = SeenIds()
    rejected = 0
    with FileProgress(console, file, verb="reading") as progress:
        for rows, record in enumerate(read_labelled(file), start=1):
            if isinstance(record.content, RejectedRow):
                rejected += 1
                progress.rejected(record.line, record.content)
            else:
                for warning in record.warnings:
                    progress.warned(record.line, warning)
                one = record.content
                seen["--tier"][one.tier or ""] += 1
                seen["--source"][one.source or ""] += 1
                if (not tiers or one.tier in tiers) and (not sources or one.source in sources):
                    chosen.append(one)
                    if ids.is_repeated(one.battle.id):
                        progress.warned(record.line, REPEATED_ID)
            progress.advanced(record.done_bytes, rows)
            if len(chosen) == limit:
                break
    for option, asked in (("--tier", tiers), ("--source", sources)):
        unknown = sorted(set(asked or ()) - set(seen[option]))
        if unknown and len(chosen) != limit:
            there = ", ".join(f"{name} ({count:,})" for name, count in seen[option].most_common() if name) or "none"
            raise FileError(f"{file}: no battle has {option} {', '.join(unknown)}; those named in it: {there}")
    if not chosen:
        raise FileError(f"{file}: holds no labelled battle that could be used" + (", see above" if rejected else ""))
    return chosen, rejected


def predict_all(judges: Panel, labelled: Sequence[LabelledBattle], console: Console) -> Predictions:
    """Let a panel score the battles, with progress; Ctrl-C ends the process at once.

    Args:
        judges: stays open.
        labelled: the battles.
        console: for progress, and for a word where judges are not trained.
    """
    from prefstream.scoring.panel.predict import predict

    if not judges.trained:
        say(console, UNTRAINED)
    with (
        leaving_at_once(console, "stopped: nothing is written"),
        CountProgress(console, len(labelled), verb="scoring") as progress,
    ):
        return predict(judges, [one.battle for one in labelled], on_progress=progress.advanced)
