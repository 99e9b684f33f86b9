"""The panel file's settings: judges, their sources and quantization, and the panel that they form."""

from prefstream.scoring.config.judges import (
    CPU_MICRO_BATCH_TOKENS,
    CUDA_MICRO_BATCH_TOKENS,
    FeaturesJudgeConfig,
    JudgeConfig,
    ModelJudgeConfig,
    PriorJudgeConfig,
    RemoteJudgeConfig,
    SharesConfig,
    SimulateConfig,
)
from prefstream.scoring.config.panel import DEMO_PANEL, PanelConfig, load_panel_config
from prefstream.scoring.config.quantization import (
    INT8_THRESHOLD,
    Int8Threshold,
    JudgeQuantization,
    Quantization,
    QuantType,
    QuantTypeSetting,
)
from prefstream.scoring.config.sources import DEMO_BASES, Commit, Source

__all__ = [
    "CPU_MICRO_BATCH_TOKENS",
    "CUDA_MICRO_BATCH_TOKENS",
    "DEMO_BASES",
    "DEMO_PANEL",
    "INT8_THRESHOLD",
    "Commit",
    "FeaturesJudgeConfig",
    "Int8Threshold",
    "JudgeConfig",
    "JudgeQuantization",
    "ModelJudgeConfig",
    "PanelConfig",
    "PriorJudgeConfig",
    "QuantType",
    "QuantTypeSetting",
    "Quantization",
    "RemoteJudgeConfig",
    "SharesConfig",
    "SimulateConfig",
    "Source",
    "load_panel_config",
]
