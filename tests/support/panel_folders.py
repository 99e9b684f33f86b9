"""Folders of panel files that choices name, and what loads them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from prefstream.consumer.panels.folder import PanelFolder
from prefstream.consumer.panels.loading import LoadPanel, PanelLoader
from prefstream.schemas import PanelChoice, PanelVersion
from prefstream.scoring.config import PanelConfig, load_panel_config
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.panel.panel import Panel
from tests.support.priors import write_prior_panel


def write_panels(folder: Path, *names: str, seconds_per_batch: float = 0.0) -> Path:
    """A folder with a panel of priors of each name, whose one judge has the name of its panel.

    Args:
        folder: is made.
        names: of the panels.
        seconds_per_batch: how long each takes for a batch.
    """
    for name in names:
        written = write_prior_panel(folder, seconds_per_batch, names=[name])
        written.rename(folder / f"{name}.yaml")
    return folder


def load(config: PanelConfig, calibration: CalibrationFile | None, beside: Sequence[Panel]) -> Panel:
    """Load a panel as `run` does."""
    return load_panel(config, calibration=calibration, beside=beside)


def loader_of(
    folder: Path,
    started_with: str = "one",
    *,
    loads: LoadPanel = load,
    fits: bool = True,
) -> PanelLoader:
    """Loads the panels of a folder.

    Args:
        folder: of panel files.
        started_with: the name of the one that is served where nothing is chosen.
        loads: in place of loading as `run` does.
        fits: whether a panel has room beside those that are loaded.
    """
    return PanelLoader(
        PanelFolder(folder),
        folder / f"{started_with}.yaml",
        read=load_panel_config,
        load=loads,
        fits=lambda _, __: fits,
    )


def choice(group: str, panel: str | None = None, **fields: Any) -> PanelChoice:
    """A choice of a panel, by a test."""
    serving = PanelVersion(panel=panel, calibration=fields.pop("calibration", None))
    return PanelChoice(group=group, serving=serving, chosen_at=datetime.now(UTC), chosen_by="test", **fields)
