"""The operator's folder of panel files, in which a choice names one: `NAME.yaml` is the panel NAME."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from prefstream.consumer.errors import UsageError
from prefstream.consumer.words import escaped
from prefstream.schemas.panel_choice import PANEL_NAME
from prefstream.scoring.validation_messages import nearest_of

_NAME: Final = re.compile(PANEL_NAME)
_SUFFIX: Final = ".yaml"


def check_name(name: str) -> None:
    """Refuse what no choice can name.

    Raises:
        UsageError: saying what a name is made of.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"panels: {escaped(name) or 'an empty text'} is no panel's name: at most 100 letters (a to z), digits, "
            "dots, hyphens and underscores, the first a letter or a digit; rename its file"
        )


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
        return [stem for stem in self._stems() if _NAME.fullmatch(stem)]

    def misnamed(self) -> list[str]:
        """Names of files that no choice can name, sorted; those of hidden files are not meant to be.

        Raises:
            UsageError: there is no such folder.
        """
        return [stem for stem in self._stems() if not _NAME.fullmatch(stem) and not stem.startswith(".")]

    def _stems(self) -> list[str]:
        if not self._path.is_dir():
            raise UsageError(f"panels: {self._path} is no folder; make it, with a NAME.yaml for each panel")
        return sorted(file.stem for file in self._path.iterdir() if file.suffix == _SUFFIX)

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
