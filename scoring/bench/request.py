"""What the worker processes of the panel's benchmarks are told, from one process to the other by a JSON file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from prefstream.schemas import Battle
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig

DEFAULT_MAX_LENGTH: Final = 1024
"""Of judges that don't say: the demo's, and the notebooks'."""


WARM_UP_BATTLES: Final = 4
"""Scored before a clock starts: the first passes choose kernels and fill the allocator."""


@dataclass(frozen=True, slots=True)
class Request:
    """A panel, and what it is to score.

    Attributes:
        config: its judges all read, and say how much.
        battles: what is scored.
        batch_battles: that the panel gets at a time.
        folder: for this file, the answer and random adapters.
    """

    config: PanelConfig
    battles: tuple[Battle, ...]
    batch_battles: int
    folder: Path

    @property
    def judges(self) -> list[ModelJudgeConfig]:
        """The panel's judges."""
        return models(self.config)

    @property
    def batches(self) -> list[tuple[Battle, ...]]:
        """The battles as the panel gets them."""
        count = self.batch_battles
        return [self.battles[start : start + count] for start in range(0, len(self.battles), count)]

    def write(self) -> Path:
        """Write it into its folder; the file."""
        path = self.folder / "request.json"
        fields = {
            "config": self.config.model_dump(mode="json"),
            "battles": [battle.model_dump(mode="json") for battle in self.battles],
            "batch_battles": self.batch_battles,
            "folder": str(self.folder),
        }
        path.write_text(json.dumps(fields), encoding="utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        fields = json.loads(path.read_bytes())
        return cls(
            config=PanelConfig.model_validate(fields["config"]),
            battles=tuple(Battle.model_validate(battle) for battle in fields["battles"]),
            batch_battles=fields["batch_battles"],
            folder=Path(fields["folder"]),
        )


def models(config: PanelConfig) -> list[ModelJudgeConfig]:
    """A panel's judges that read."""
    return [judge for judge in config.judges if isinstance(judge, ModelJudgeConfig)]


def reading_alone(config: PanelConfig) -> PanelConfig:
    """A panel's judges that read, each saying how much; without what names others, or tells answers apart by names.

    Args:
        config: of a panel with at least one such judge.
    """
    judges = tuple(
        judge.model_copy(update={"max_length": judge.max_length or DEFAULT_MAX_LENGTH}) for judge in models(config)
    )
    changes: dict[str, object] = {"judges": judges, "recuse": {}}
    if len(judges) < len(config.judges):
        changes["calibration"] = None  # it names them
    return config.model_copy(update=changes)


def without_int8(config: PanelConfig) -> PanelConfig:
    """The same panel, whose judges' bases do not compute in 8 bits on a CPU.

    Args:
        config: of a panel whose judges all read.
    """
    judges = (judge.model_copy(update={"quantization": judge.rounding}) for judge in models(config))
    return config.model_copy(update={"judges": tuple(judges)})
