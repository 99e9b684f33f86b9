"""The operator's folder of panel files, in which a choice names one: `NAME.yaml` is the panel NAME."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from prefstream.consumer.errors import UsageError
from prefstream.schemas.panel_choice import PANEL_NAME
from prefstream.scoring.validation_messages import nearest_of

_NAME: Final = re.compile(PANEL_NAME)
_SUFFIX: Final = ".yaml"


class PanelFolder:
    """Panel files by name.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def names(self) -> list[str]:
        """Of all panels, sorted.

        Raises:
            UsageError: there is no such folder.
        """
        if not self._path.is_dir():
            raise UsageError(f"panels: {self._path} is no folder; make it, with a NAME.yaml for each panel")
        return sorted(
            file.stem for file in self._path.iterdir() if file.suffix == _SUFFIX and _NAME.fullmatch(file.stem)
        )

    def file(self, name: str) -> Path:
        """The file of a panel.

        Args:
            name: of the panel. Nothing but a name leads out of the folder.

        Raises:
            UsageError: there is none of that name.
        """
        names = self.names()
        if name not in names:
            known = nearest_of(name, names) if names else "it holds no NAME.yaml"
            raise UsageError(f"panels: {self._path} has no panel {name}; {known}")
        return self._path / f"{name}{_SUFFIX}"
