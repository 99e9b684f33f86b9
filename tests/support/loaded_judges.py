"""Tiny judges loaded by themselves, as `make_tiny_judge` describes them, and battles for them to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from prefstream import ModelJudgeConfig
from prefstream.schemas import Battle
from prefstream.scoring.demo.model_cache import CACHE_VARIABLE
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.probabilities import Triples
from prefstream.scoring.runtime import cpu_computes_int8

NEEDS_INT8: Final = pytest.mark.skipif(not cpu_computes_int8(), reason="int8-dynamic needs a CPU with VNNI")

BATTLES: Final = [
    Battle(id=str(number), prompt=("Which?",), response_a=("yes " * (3 * number),), response_b=("no " * number,))
    for number in range(1, 9)
]
"""Of different lengths."""


def load(entry: dict[str, Any], *beside: ModelJudge, **settings: Any) -> ModelJudge:
    """Load a judge.

    Args:
        entry: of the panel file.
        beside: judges that may lend their weights.
        settings: in place of those of the entry.
    """
    config = ModelJudgeConfig.model_validate({**entry, **settings})
    return load_judge(config, place_judges([config])[config.name], beside=beside)


def probabilities(judge: ModelJudge) -> Triples:
    """What it says of `BATTLES`."""
    return judge.score(judge.encode(BATTLES)).probabilities


def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what a test makes judges keep out of the user's cache; returns the folder, which is still to be made."""
    folder = tmp_path / "cache"
    monkeypatch.setenv(CACHE_VARIABLE, str(folder))
    return folder
