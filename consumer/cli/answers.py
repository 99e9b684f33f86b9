"""Where the answers that are evaluated come from: judges that run now, or a file of what they said."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.console import Console

from prefstream.consumer.cli.labelled import ChosenBattles, predict_all
from prefstream.consumer.cli.panel_option import DEFAULT_PANEL, panel_config
from prefstream.consumer.cli.ui.lines import say
from prefstream.consumer.cli.ui.progress import MAX_SHOWN
from prefstream.consumer.errors import UsageError

if TYPE_CHECKING:
    from prefstream.scoring.panel.predict import Predictions

_PANEL_SUFFIXES: Final = frozenset({".yaml", ".yml"})

_FEATURES_TOLD: Final = 8
"""Of each sort: a line of them."""

PANEL: Final = "panel"
"""What the panel itself is called among its judges."""


@dataclass(frozen=True, slots=True)
class Obtained:
    """Predictions, and what is to be told of how they were had.

    Attributes:
        predictions: about the labelled battles.
        swap: whether both orders were read.
        rejected_rows: of a file of predictions, rows that hold none.
        injected: about the battles with injections; None unless asked for.
        deciding: by judge of features, which features decide most, in lines for people.
    """

    predictions: Predictions
    swap: bool
    rejected_rows: int = 0
    injected: Predictions | None = None
    deciding: Mapping[str, Sequence[str]] = field(default_factory=dict)


def answers_of(source: Path, chosen: ChosenBattles, console: Console, *, swap: bool = False) -> Obtained:
    """Those of whatever is named: a panel (its file, or `demo`) is run, any other file is read.

    Args:
        source: the panel file, or predictions.
        chosen: the battles.
        console: for progress, and for rows that can't be used.
        swap: let a panel read both orders.

    Raises:
        PrefstreamError: as `answers_of_panel` and `answers_of_file`.
    """
    if source == DEFAULT_PANEL or source.suffix.lower() in _PANEL_SUFFIXES:
        return answers_of_panel(source, chosen, console, swap=swap)
    return answers_of_file(source, chosen, console)


def answers_of_panel(
    panel: Path, chosen: ChosenBattles, console: Console, *, swap: bool, injections: bool = False
) -> Obtained:
    """Let a panel score the battles.

    Args:
        panel: the panel file, or `demo`.
        chosen: the battles.
        console: for progress, and for battles that can't be scored.
        swap: read both orders, whatever the panel file says.
        injections: score them with every injection, too.

    Raises:
        ConfigError: the panel file is wrong.
        LoadError: a judge can't be loaded.
        JudgeFaultError: one failed for good.
    """
    from prefstream.scoring.evaluation.injection import INJECTIONS, SIDES, injected
    from prefstream.scoring.features.strongest import describe_strongest
    from prefstream.scoring.judges.features import FeaturesJudge
    from prefstream.scoring.panel.load import load_panel

    tell = partial(say, console)
    config = panel_config(panel, tell)
    config = config.model_copy(update={"swap": config.swap or swap})
    with load_panel(config, say=tell) as judges:
        predictions, after = predict_all(judges, chosen.read(), len(chosen), console), None
        if injections:
            count = len(INJECTIONS) * len(SIDES) * len(chosen)
            after = predict_all(judges, injected(chosen.read), count, console)
    _name_rows(chosen, predictions.unanswered, console)
    deciding = {
        judge.name: describe_strongest(judge.strongest, most=_FEATURES_TOLD)
        for judge in judges.judges
        if isinstance(judge, FeaturesJudge)
    }
    return Obtained(predictions, config.swap, injected=after, deciding=deciding)


def answers_of_file(path: Path, chosen: ChosenBattles, console: Console) -> Obtained:
    """Read what was said before.

    Args:
        path: of predictions.
        chosen: the battles.
        console: for whatever is odd about the predictions.

    Raises:
        FileError: the file can't be read, or is about none of the battles.
    """
    from prefstream.scoring.evaluation.prediction_files import read_predictions

    read = read_predictions(path, chosen.facts.ids)
    _name_lines(path, read.rejected, console)
    unanswered = read.predictions.unanswered
    _name_rows(chosen, dict.fromkeys(unanswered, f"no prediction in {path} has its id"), console)
    if unanswered:
        say(console, f"{len(unanswered):,} of {len(chosen):,} labelled battles have no prediction: they don't count")
    if read.unknown_ids:
        say(console, f"{path}: {read.unknown_ids:,} predictions are about none of the labelled battles: ignored")
    if read.repeated_ids:
        say(console, f"{path}: {read.repeated_ids:,} ids stand more than once: the last prediction counts")
    if not read.of_one_panel:
        say(
            console,
            f"{path}: its rows are answers of several panels; what is told of the panel is of all of them mixed",
        )
    if read.partial_judges:
        say(console, f"{path}: not every battle was answered by {', '.join(read.partial_judges)}: not shown alone")
    if all(set(row) <= {0.0, 1.0} for row in read.predictions.panel.probabilities.tolist()):
        say(
            console,
            f"warning: {path}: every probability is 0 or 1: these are verdicts, perhaps the labels themselves; log "
            "loss and calibration say little of them",
        )
    judges = read.predictions.judges
    both_orders = any(not judge.symmetric and judge.swapped is not None for judge in judges)
    return Obtained(read.predictions, both_orders, len(read.rejected))


def check_judges(named: Collection[str], judges: Collection[str]) -> None:
    """Refuse names that no judge has.

    Args:
        named: in an option.
        judges: that there are.

    Raises:
        UsageError: one is none of them.
    """
    unknown = sorted(set(named) - {PANEL, *judges})
    if unknown:
        there = ", ".join([PANEL, *judges])
        raise UsageError(f"--family: there is no judge {', '.join(unknown)}; those that answer: {there}")


def _name_rows(chosen: ChosenBattles, reasons: Mapping[int, str], console: Console) -> None:
    """Name battles that don't count, given by their positions."""
    lines = chosen.facts.lines
    _name_lines(chosen.choice.file, {int(lines[at]): reason for at, reason in reasons.items()}, console)


def _name_lines(file: Path, reasons: Mapping[int, object], console: Console) -> None:
    """Name rows that could not be used; of many, the first."""
    for line, reason in itertools.islice(reasons.items(), MAX_SHOWN):
        say(console, f"{file}:{line}: {reason}")
    if len(reasons) > MAX_SHOWN:
        say(console, f"... and {len(reasons) - MAX_SHOWN:,} more such rows")
