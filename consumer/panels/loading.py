"""Panels as choices name them: found in the operator's folder, loaded, or only calibrated anew."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import ValidationError

from prefstream.consumer.errors import UsageError
from prefstream.consumer.panels.folder import PanelFolder
from prefstream.consumer.panels.golden_watch import known_to_answer
from prefstream.schemas import PanelVersion
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.judges.calibration import CalibrationFile
from prefstream.scoring.panel.load import read_calibration, verify_calibration
from prefstream.scoring.panel.panel import Panel
from prefstream.scoring.validation_messages import error_lines

ReadPanel: TypeAlias = Callable[[Path], PanelConfig]
"""Reads a panel file."""

LoadPanel: TypeAlias = Callable[[PanelConfig, CalibrationFile | None, Sequence[Panel]], Panel]
"""Loads a panel, with a calibration in place of its file's if one is given, beside panels that are loaded."""

Fits: TypeAlias = Callable[[PanelConfig, Sequence[Panel]], bool]
"""Whether a panel fits into the memory that is free, beside panels that are loaded."""


@dataclass(frozen=True, slots=True)
class ReadyPanel:
    """A panel that is loaded.

    Attributes:
        version: what it was chosen as.
        config: its file's content; None of a panel that was made in code.
        calibration: what its judges are weighed and calibrated by.
        panel: answers.
    """

    version: PanelVersion
    config: PanelConfig | None
    calibration: CalibrationFile
    panel: Panel


class PanelLoader:
    """Loads what choices name.

    Args:
        folder: of panel files; None where no choice can name one.
        started_with: the panel file that is served where a choice names none; None where the process has none.
        read: reads a panel file.
        load: loads a panel.
        fits: whether a panel fits into memory.
    """

    def __init__(
        self,
        folder: PanelFolder | None,
        started_with: Path | None,
        *,
        read: ReadPanel,
        load: LoadPanel,
        fits: Fits = lambda _, __: True,
    ) -> None:
        self._fits = fits
        self._folder = folder
        self._started_with = started_with
        self._read = read
        self._load = load

    def read(self, version: PanelVersion) -> tuple[PanelConfig, CalibrationFile]:
        """The panel and the calibration that a version names, nothing of them loaded.

        Raises:
            UsageError: there is no panel of that name.
            ConfigError: the panel's file or the calibration is wrong.
        """
        config = self._read(self._file(version))
        if version.calibration is None:
            return config, read_calibration(config)
        source = f"the calibration chosen for {version.panel or 'the panel'}"
        try:
            calibration = CalibrationFile.model_validate(version.calibration)
        except ValidationError as error:
            raise ConfigError(source, error_lines(error, CalibrationFile)) from None
        verify_calibration(calibration, config, source)
        return config, calibration

    def fits(self, config: PanelConfig, loaded: Iterable[ReadyPanel]) -> bool:
        """Whether a panel fits into the memory that is free.

        Args:
            config: of the panel.
            loaded: panels that are loaded, and whose judges may share what they have.
        """
        return self._fits(config, [one.panel for one in loaded])

    def load(self, version: PanelVersion, loaded: Iterable[ReadyPanel] = ()) -> ReadyPanel:
        """Load a version; of one whose judges are loaded already, only the calibration is another.

        Args:
            version: to load.
            loaded: panels that are loaded already. Judges of the same base share weights with theirs.

        Raises:
            UsageError, ConfigError: as `read`.
            LoadError: a judge can't be loaded, or must not judge; or the panel does not give its known answers.
            JudgeFaultError: a judge failed for good at one of these.
            MissingExtraError: it needs a package that is not installed.
        """
        config, calibration = self.read(version)
        loaded = tuple(loaded)
        like = next(
            (one for one in loaded if one.config == config and one.calibration.judges == calibration.judges), None
        )
        if like is not None:
            uncalibrated = version.calibration is None and config.calibration is None
            panel = like.panel.recalibrated(None if uncalibrated else calibration)
        else:
            chosen = None if version.calibration is None else calibration
            panel = known_to_answer(self._load(config, chosen, [one.panel for one in loaded]))
        panel.identity = panel.identity.model_copy(update={"name": version.panel})
        return ReadyPanel(version, config, calibration, panel)

    def _file(self, version: PanelVersion) -> Path:
        if version.panel is None:
            if self._started_with is None:
                raise UsageError("no panel: choose one by prefstream panels use NAME, or give --panel")
            return self._started_with
        if self._folder is None:
            raise UsageError(f"no folder to find panel {version.panel} in: give --panels")
        return self._folder.file(version.panel)


class OnePanel(PanelLoader):
    """Loads a panel that is made in code, and nothing else.

    Args:
        load: makes it.
    """

    def __init__(self, load: Callable[[], Panel]) -> None:
        self._make = load

    def read(self, version: PanelVersion) -> tuple[PanelConfig, CalibrationFile]:
        """Refuses: it comes from no file."""
        raise UsageError(f"{version}: this panel was made in code, and no other can be chosen")

    def load(self, version: PanelVersion, loaded: Iterable[ReadyPanel] = ()) -> ReadyPanel:  # noqa: ARG002
        """Make the panel."""
        return ReadyPanel(version, None, CalibrationFile(), known_to_answer(self._make()))
