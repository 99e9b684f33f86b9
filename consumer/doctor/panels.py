"""Checks of the folder of panels: which can be chosen while the service runs, and how each would be taken over."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.doctor.finding import Finding, attempt, ok, warn
from prefstream.consumer.doctor.judges import fit_together
from prefstream.consumer.panels.folder import PanelFolder
from prefstream.scoring.config import PanelConfig, load_panel_config
from prefstream.scoring.errors import ConfigError


def examine_panels(config: StreamConfig) -> Iterator[Finding]:
    """Each panel that a choice could name.

    Args:
        config: names the folder; where it names none, there is nothing to look at.
    """
    if config.panels is None:
        return
    names: list[str] = []

    def look(folder: Path) -> Finding:
        names.extend(PanelFolder(folder).names())
        if not names:
            return warn("panels", f"{folder} holds no panel", "put a NAME.yaml there for each panel to choose from")
        return ok("panels", f"{folder}: {', '.join(names)} can be chosen")

    yield attempt("panels", partial(look, config.panels))
    serving = _read_or_none(config.panel)
    for name in names:
        yield attempt(f"panel {name}", partial(check_panel, name, config.panels, serving))


def check_panel(name: str, folder: Path, serving: PanelConfig | None) -> Finding:
    """Whether a panel's file can be read, and whether its judges fit into memory beside those that serve.

    Args:
        name: of the panel.
        folder: where it is.
        serving: the panel that serves; None where that is not known.

    Raises:
        PrefstreamError: the file is wrong.
    """
    panel = load_panel_config(PanelFolder(folder).file(name))
    judges = ", ".join(judge.name for judge in panel.judges)
    if serving is None:
        return ok(f"panel {name}", f"judges {judges}")
    if fit_together(serving, panel):
        return ok(f"panel {name}", f"judges {judges}; would be loaded beside those that serve")
    waits = "the old judges are let go of first, and batches wait for that long"
    return warn(f"panel {name}", f"judges {judges}; does not fit into memory beside those that serve: {waits}", "")


def _read_or_none(panel: Path | None) -> PanelConfig | None:
    """The panel that serves; what is wrong with it is another check's to say."""
    if panel is None:
        return None
    try:
        return load_panel_config(panel)
    except ConfigError:
        return None
