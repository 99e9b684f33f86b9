from .schemas import (
    OUTCOMES as OUTCOMES,
)
from .schemas import (
    Battle as Battle,
)
from .schemas import (
    ContractError as ContractError,
)
from .schemas import (
    InvalidEventError as InvalidEventError,
)
from .schemas import (
    JudgeOpinion as JudgeOpinion,
)
from .schemas import (
    Outcome as Outcome,
)
from .schemas import (
    Preference as Preference,
)
from .schemas import (
    PrefstreamError as PrefstreamError,
)
from .schemas import (
    Probabilities as Probabilities,
)
from .schemas import (
    decode_battle as decode_battle,
)
from .schemas import (
    decode_preference as decode_preference,
)
from .schemas import (
    encode_battle as encode_battle,
)
from .schemas import (
    encode_preference as encode_preference,
)
from .scoring.config import ModelJudgeConfig as ModelJudgeConfig
from .scoring.config import PanelConfig as PanelConfig
from .scoring.config import PriorJudgeConfig as PriorJudgeConfig
from .scoring.config import load_panel_config as load_panel_config
from .scoring.errors import BattleTooLargeError as BattleTooLargeError
from .scoring.errors import ConfigError as ConfigError
from .scoring.errors import FileError as FileError
from .scoring.errors import JudgeFaultError as JudgeFaultError
from .scoring.errors import LoadError as LoadError
from .scoring.errors import MissingExtraError as MissingExtraError
from .scoring.errors import MisuseError as MisuseError
from .scoring.errors import NoRewardError as NoRewardError
from .scoring.errors import ScoringError as ScoringError
from .scoring.panel.combine import PanelAnswer as PanelAnswer
from .scoring.panel.load import load_panel as load_panel
from .scoring.panel.panel import EncodedBatch as EncodedBatch
from .scoring.panel.panel import Panel as Panel
from .scoring.reward.model import RewardModel as RewardModel
from .scoring.reward.trl import TrlReward as TrlReward
