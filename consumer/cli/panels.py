"""What commands that score with a panel share: the panel they take, what they say while they load it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED, leave_now
from prefstream.scoring.config import PanelConfig, load_panel_config

DEMO_PANEL = "the demo's two small judges"
"""What is scored with where no panel file is given, as the help says it."""

UNTRAINED = "These judges are not trained yet: their probabilities mean nothing."


def panel_config(panel: Path | None, tell: Callable[[str], None]) -> PanelConfig:
    """The panel of a file; without one the demo's, whose models are fetched at first use.

    Args:
        panel: the panel file.
        tell: hears what is being fetched, one short line at a time.
    """
    if panel is not None:
        return load_panel_config(panel)
    from prefstream.scoring.demo.judges import demo_panel_config

    return demo_panel_config(say=tell)


def say(console: Console, line: str) -> None:
    """Print a line as it is: brackets in it are no markup, and it is not wrapped."""
    console.print(line, markup=False, highlight=False, soft_wrap=True)


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
