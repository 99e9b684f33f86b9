"""95 % intervals by bootstrap over prompts.

Battles of one prompt are alike: drawn one by one they would make every interval too narrow. So whole prompts are drawn,
with all their battles. Every statistic sees the same draws, which is what makes differences between two forecasts of
the same battles comparable.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from prefstream.scoring.evaluation.metrics import Statistic

DEFAULT_RESAMPLES: Final = 1_000
"""The ends of a 95 % interval then rest on 25 draws each: a second digit that holds."""

DEFAULT_SEED: Final = 0

_BLOCK_NUMBERS: Final = 4_000_000
"""Draws that are held at a time, 32 MB: a file of 57,000 prompts would need half a gigabyte for all."""

_ENDS: Final = (0.025, 0.975)


class Estimate(BaseModel):
    """A number with its 95 % interval."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Annotated[float | None, Field(description="None where there is nothing to measure it on.")]
    low: Annotated[float | None, Field(description="None where fewer than two prompts leave nothing to resample.")]
    high: float | None

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


class Resamples:
    """Draws of prompts.

    Args:
        prompts: what tells each battle's prompt from others, one per battle.
        resamples: number of draws.
        seed: of the draws; the same prompts and seed give the same draws.
    """

    def __init__(
        self, prompts: Iterable[Hashable], *, resamples: int = DEFAULT_RESAMPLES, seed: int = DEFAULT_SEED
    ) -> None:
        numbers: dict[Hashable, int] = {}
        self._prompt_of = np.array([numbers.setdefault(prompt, len(numbers)) for prompt in prompts], dtype=np.intp)
        self.prompts = len(numbers)
        self.resamples = resamples
        self.seed = seed

    def estimate(self, statistics: Mapping[str, Statistic]) -> dict[str, Estimate]:
        """Each statistic with its interval.

        The interval is the middle 95 % of what the resamples gave, widened to hold the estimate itself: resampling
        makes a calibration error larger, never smaller. A share of 0 or 1 is the same in every resample; its interval
        is the exact one (Clopper and Pearson 1934) for as many prompts. What counts battles of a single prompt has no
        other interval.

        Args:
            statistics: by name; all about the battles that the draws were made for.
        """
        if not statistics:
            return {}
        drawn = self._drawn_sums(np.concatenate([one.columns for one in statistics.values()], axis=1))
        estimates = {}
        start = 0
        for name, statistic in statistics.items():
            end = start + statistic.columns.shape[1]
            value = statistic.of_all()
            if statistic.share and value in {0.0, 1.0}:
                estimates[name] = _at_the_end(value, self._prompts_of(statistic))
            elif self._prompts_of(statistic) < 2:  # drawn again and again, one prompt is always itself
                estimates[name] = _estimate(value, np.zeros(0))
            else:
                estimates[name] = _estimate(value, statistic.value(drawn[:, start:end]))
            start = end
        return estimates

    def _prompts_of(self, statistic: Statistic) -> int:
        return self.prompts if statistic.counted is None else len(np.unique(self._prompt_of[statistic.counted]))

    def _drawn_sums(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sums over each resample, shape (resamples, columns); no row where nothing can be resampled."""
        if self.prompts < 2:
            return np.zeros((0, columns.shape[1]))
        by_prompt = np.zeros((self.prompts, columns.shape[1]))
        np.add.at(by_prompt, self._prompt_of, columns)
        generator = np.random.default_rng(self.seed)
        block = max(1, _BLOCK_NUMBERS // self.prompts)
        sums = [
            self._counts(generator, min(block, self.resamples - start)) @ by_prompt
            for start in range(0, self.resamples, block)
        ]
        return np.concatenate(sums)

    def _counts(self, generator: np.random.Generator, rows: int) -> NDArray[np.float64]:
        """How often each prompt is drawn, shape (rows, prompts)."""
        drawn = generator.integers(0, self.prompts, size=(rows, self.prompts))
        drawn += np.arange(rows)[:, None] * self.prompts
        counts = np.bincount(drawn.ravel(), minlength=rows * self.prompts)
        return counts.reshape(rows, self.prompts).astype(np.float64)


def _at_the_end(value: float, prompts: int) -> Estimate:
    """The exact interval of a share where none of the prompts said so, or all did: of one prompt, 2.5 to 100 %."""
    reach = 1.0 - _ENDS[0] ** (1.0 / prompts)
    return Estimate(value=value, low=max(0.0, value - reach), high=min(1.0, value + reach))


def _estimate(value: float, drawn: NDArray[np.float64]) -> Estimate:
    defined = drawn[np.isfinite(drawn)]
    if not np.isfinite(value):
        return Estimate(value=None, low=None, high=None)
    if not len(defined):
        return Estimate(value=value, low=None, high=None)
    low, high = np.quantile(defined, _ENDS)
    return Estimate(value=value, low=min(float(low), value), high=max(float(high), value))
