"""prefstream for library users: the names worth importing, in one place.

Example:
    Score one battle::

        from prefstream import Battle, load_panel

        with load_panel("panel.yaml") as panel:
            [answer] = panel.score(panel.encode([Battle(id="1", prompt="2+2?", response_a="4", response_b="5")]))
            print(answer.probabilities)
"""

from schemas import (
    OUTCOMES,
    Battle,
    InvalidEvent,
    JudgeOpinion,
    Outcome,
    Preference,
    PrefstreamError,
    Probabilities,
    decode_battle,
    decode_preference,
    encode_battle,
    encode_preference,
)
from scoring.answer import PanelAnswer
from scoring.config import ModelJudgeConfig, PanelConfig, PriorJudgeConfig, load_panel_config
from scoring.errors import BattleTooLarge, ConfigError, JudgeFault, LoadError, NoReward, ScoringError
from scoring.panel import Panel, load_panel
from scoring.reward import RewardModel
from scoring.trl_reward import TrlReward

__all__ = [
    "OUTCOMES",
    "Battle",
    "BattleTooLarge",
    "ConfigError",
    "InvalidEvent",
    "JudgeFault",
    "JudgeOpinion",
    "LoadError",
    "ModelJudgeConfig",
    "NoReward",
    "Outcome",
    "Panel",
    "PanelAnswer",
    "PanelConfig",
    "Preference",
    "PrefstreamError",
    "PriorJudgeConfig",
    "Probabilities",
    "RewardModel",
    "ScoringError",
    "TrlReward",
    "decode_battle",
    "decode_preference",
    "encode_battle",
    "encode_preference",
    "load_panel",
    "load_panel_config",
]
