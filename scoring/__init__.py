"""Floor 2: battles in, probabilities out. A library of its own; knows no Kafka.

Names are imported at first use: importing this package costs nothing and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring.answer import PanelAnswer
    from scoring.config import ModelJudgeConfig, PanelConfig, PriorJudgeConfig, load_panel_config
    from scoring.errors import BattleTooLarge, ConfigError, JudgeFault, LoadError, ScoringError
    from scoring.panel import EncodedBatch, Panel, load_panel

__all__ = [
    "BattleTooLarge",
    "ConfigError",
    "EncodedBatch",
    "JudgeFault",
    "LoadError",
    "ModelJudgeConfig",
    "Panel",
    "PanelAnswer",
    "PanelConfig",
    "PriorJudgeConfig",
    "ScoringError",
    "load_panel",
    "load_panel_config",
]

_HOMES = {
    "scoring.answer": ("PanelAnswer",),
    "scoring.config": ("ModelJudgeConfig", "PanelConfig", "PriorJudgeConfig", "load_panel_config"),
    "scoring.errors": ("BattleTooLarge", "ConfigError", "JudgeFault", "LoadError", "ScoringError"),
    "scoring.panel": ("EncodedBatch", "Panel", "load_panel"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take any name for one that is here

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
