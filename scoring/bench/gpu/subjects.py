"""The judges that a card is tried with: loaded one way or another, and what each says of the same battles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch

from prefstream.schemas import Battle
from prefstream.scoring.bench.gpu.report import SkippedError
from prefstream.scoring.bench.process import Stopwatch
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.errors import BattleTooLargeError, LoadError
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.judges.memory.device_errors import is_out_of_memory
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.probabilities import Triples

_UNQUANTISED: Final = {"quantization": "none", "merge": "auto", "int8_threshold": None, "quant_type": None}

_ON_CPU: Final = {"device": "cpu", "attention": "auto", "micro_batch_tokens": None}
"""What a panel says of a card's attention and memory is not for a CPU."""


class DoesNotFitError(SkippedError):
    """A judge can't be tried this way: its weights are more than its device holds."""


@dataclass(frozen=True, slots=True)
class TimedReading:
    """What a judge said of battles, alone, and what it took.

    Attributes:
        probabilities: a row per battle, before any calibration.
        encoding_s: laying out and tokenising, which the stream does while judges work.
        scoring_s: forward passes.
        tokens: that were read, padding excluded.
        padded_tokens: with padding.
        settings: dtype, attention, device.
        dtype: as PyTorch has it.
        peak_bytes: most that tensors took on the card, weights included; None on a CPU.
    """

    probabilities: Triples
    encoding_s: float
    scoring_s: float
    tokens: int
    padded_tokens: int
    settings: str
    dtype: str
    peak_bytes: int | None

    @property
    def tokens_per_s(self) -> float:
        """That were read in the time of the passes, padding excluded."""
        return self.tokens / self.scoring_s

    @property
    def padding(self) -> float:
        """Share of what was read."""
        return 1 - self.tokens / self.padded_tokens


@dataclass(frozen=True, slots=True)
class Gap:
    """How far two sets of answers are apart, over all battles and outcomes.

    Attributes:
        mean: of the absolute differences of probabilities.
        most: of them.
    """

    mean: float
    most: float

    @classmethod
    def between(cls, one: Triples, other: Triples) -> Gap:
        """Of answers to the same battles, a row each."""
        apart = np.abs(one - other)
        return cls(float(apart.mean()), float(apart.max()))

    def __str__(self) -> str:
        return f"{self.mean:.1e} on average, {self.most:.1e} at most"


def unquantised(judge: ModelJudgeConfig, **changes: Any) -> ModelJudgeConfig:
    """A judge whose base is not rounded, and otherwise changed as asked."""
    return judge.model_copy(update={**_UNQUANTISED, **changes})


def on_cpu(judge: ModelJudgeConfig, **changes: Any) -> ModelJudgeConfig:
    """A judge on the CPU, not rounded, and otherwise changed as asked."""
    return unquantised(judge, **{**_ON_CPU, **changes})


@contextmanager
def loaded(config: ModelJudgeConfig) -> Iterator[ModelJudge]:
    """A judge alone, warm, closed at the end: its memory is the next one's.

    Raises:
        DoesNotFitError: its weights are more than its device holds.
        LoadError: it can't be loaded for another reason.
    """
    try:
        judge = load_judge(config, place_judges([config])[config.name])
    except LoadError as error:
        # Of a judge that is rounded because it must be, the same in 16 or 32 bits can't be tried; that is no fault.
        if isinstance(error.__cause__, Exception) and is_out_of_memory(error.__cause__, beyond_doubt=True):
            raise DoesNotFitError(f"{config.dtype}, quantization {config.quantization}: {error}") from error
        raise
    try:
        if device_of(judge).type == "cuda":  # on a CPU a first pass costs what others cost
            judge.warm_up()
        yield judge
    finally:
        judge.close()


def device_of(judge: ModelJudge) -> torch.device:
    """Where a judge is."""
    return torch.device(str(judge.provenance.device))


def read(judge: ModelJudge, batches: Sequence[Sequence[Battle]]) -> TimedReading:
    """Let a judge score battles.

    Args:
        judge: warm.
        batches: of battles.

    Raises:
        JudgeFaultError: it failed.
        BattleTooLargeError: a battle did not fit.
    """
    device, used = device_of(judge), judge.provenance
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with Stopwatch() as encoding:
        parts = [judge.encode(battles) for battles in batches]
    with Stopwatch() as scoring:
        scores = [judge.score(part) for part in parts]
    too_large: list[BattleTooLargeError] = [error for one in scores for error in one.too_large.values()]
    if too_large:
        raise too_large[0]
    said = [one.probabilities if one.uncalibrated is None else one.uncalibrated for one in scores]
    return TimedReading(
        probabilities=np.concatenate(said),
        encoding_s=encoding.seconds,
        scoring_s=scoring.seconds,
        tokens=sum(encoding.tokens for part in parts for encoding in part.encodings),
        padded_tokens=sum(part.padded_tokens for part in parts),
        settings=f"{used.dtype}, {used.attention}, {used.device}",
        dtype=str(used.dtype),
        peak_bytes=torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None,
    )


def read_alone(config: ModelJudgeConfig, batches: Sequence[Sequence[Battle]]) -> TimedReading:
    """Load a judge, let it score battles, and close it.

    Args:
        config: of the judge.
        batches: of battles.

    Raises:
        DoesNotFitError: its weights are more than its device holds.
        LoadError: it can't be loaded for another reason.
        JudgeFaultError: it failed.
        BattleTooLargeError: a battle did not fit.
    """
    with loaded(config) as judge:
        return read(judge, batches)
