"""Floor 2: battles in, probabilities out. A library of its own; knows no Kafka.

Names are imported at first use: importing this package costs nothing and imports no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scoring.answer import PanelAnswer
    from scoring.config import ModelJudgeConfig, PanelConfig, PriorJudgeConfig, load_panel_config
    from scoring.errors import BattleTooLarge, ConfigError, FileError, JudgeFault, LoadError, NoReward, ScoringError
    from scoring.panel import EncodedBatch, Panel, load_panel
    from scoring.reward import RewardModel
    from scoring.trl_reward import TrlReward

__all__ = [
    "BattleTooLarge",
    "ConfigError",
    "EncodedBatch",
    "FileError",
    "JudgeFault",
    "LoadError",
    "ModelJudgeConfig",
    "NoReward",
    "Panel",
    "PanelAnswer",
    "PanelConfig",
    "PriorJudgeConfig",
    "RewardModel",
    "ScoringError",
    "TrlReward",
    "load_panel",
    "load_panel_config",
]

_HOMES = {
    "scoring.answer": ("PanelAnswer",),
    "scoring.config": ("ModelJudgeConfig", "PanelConfig", "PriorJudgeConfig", "load_panel_config"),
    "scoring.errors": (
        "BattleTooLarge",
        "ConfigError",
        "FileError",
        "JudgeFault",
        "LoadError",
        "NoReward",
        "ScoringError",
    ),
    "scoring.panel": ("EncodedBatch", "Panel", "load_panel"),
    "scoring.reward": ("RewardModel",),
    "scoring.trl_reward": ("TrlReward",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # a type checker would take any name for one that is here

    def __getattr__(name: str) -> Any:
        if name not in _HOME_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
