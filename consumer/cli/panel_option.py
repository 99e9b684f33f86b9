"""What commands that score with a panel share: the panel they take, what they say while they load it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, TypeAlias

import typer
from rich.console import Console

from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, leave_now
from prefstream.consumer.cli.ui.lines import say
from prefstream.scoring.config import DEMO_PANEL, PanelConfig, load_panel_config

if TYPE_CHECKING:
    from prefstream.scoring.panel.panel import Panel

DEFAULT_PANEL: Final = Path(DEMO_PANEL)
"""For commands that a person looks at. What serves, `run`, has no default."""

PanelOption: TypeAlias = Annotated[
    Path,
    typer.Option(
        envvar="PREFSTREAM_PANEL",
        help=f"Panel file (YAML): who judges, on which devices. {DEMO_PANEL}: the demo's small judges.",
    ),
]

DEMO_NOTICE: Final = (
    f"the demo's small judges answer (--panel {DEMO_PANEL}), for trying out: they go by length above all"
)
UNTRAINED: Final = "These judges are not trained yet: their probabilities mean nothing."


def panel_config(panel: Path, warn: Callable[[str], None]) -> PanelConfig:
    """The panel of a file, or the demo's, whose models are fetched when it is loaded for the first time.

    Args:
        panel: the panel file, or `demo`.
        warn: hears that it is the demo's judges who answer.

    Raises:
        ConfigError: the panel file can't be read or holds errors.
    """
    if panel == DEFAULT_PANEL:
        warn(DEMO_NOTICE)
    return load_panel_config(panel)


def panel_files(panel: Path) -> set[Path]:
    """The file that a panel is read from, which no output may overwrite."""
    return set() if panel == DEFAULT_PANEL else {panel}


def require_known_answers(panel: Panel, tell: Callable[[str], None]) -> None:
    """Refuse a panel that does not give the answers of its golden set; tell where it does.

    Args:
        panel: loaded.
        tell: hears of a check that was passed.

    Raises:
        GoldenSetError: it is another panel than the set is of, or answers otherwise.
    """
    from prefstream.scoring.golden.check import require_golden  # commands that load no panel read its file, too

    if (report := require_golden(panel)) is not None:
        tell(report.summary)


@contextmanager
def leaving_at_once(console: Console, notice: str) -> Iterator[None]:
    """Ctrl-C ends the process now: closing a panel would wait for the batch in hand, a minute where judges are slow.

    Only around work that leaves nothing half-written.

    Args:
        console: where the notice goes.
        notice: what the interruption means.
    """
    try:
        yield
    except KeyboardInterrupt:
        say(console, notice)
        leave_now(EXIT_INTERRUPTED)
