"""What a judge in training makes of the dev pairs, read exactly as serving reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from prefstream.scoring.finetune.data.pairs import Pairs, take
from prefstream.scoring.judges.readout import read_pairwise, read_pointwise
from prefstream.scoring.probabilities import Triples, credit, exchange, log_losses

_NO_TIER: Final = "other"
"""What the metrics of pairs without a tier are named after, where others have one."""


@dataclass(frozen=True, slots=True)
class DevReading:
    """Probabilities and metrics on the dev pairs.

    Attributes:
        probabilities: shape (n, 3), as serving without swap gives them.
        metrics: `log_loss` (mean over tiers; pairs without a tier are one of their own), `accuracy`, the same per tier
            (`log_loss_arena`), and for pairwise judges `flip_rate`: share of pairs whose winner differs between both
            orders.
    """

    probabilities: Triples
    metrics: dict[str, float]


def dev_metrics(pairs: Pairs, outputs: NDArray[np.float32], *, kind: str, tau: float) -> DevReading:
    """Read a head's outputs.

    Args:
        pairs: the dev pairs.
        outputs: shape (sequences, outputs).
        kind: of the judge.
        tau: pointwise: offset of the tie's logit.
    """
    flips: dict[str, float] = {}
    if kind == "pointwise":
        rows = np.stack([pairs.first, pairs.second], axis=1).ravel()
        probabilities = read_pointwise(outputs[rows], tau=tau)
    else:
        probabilities = read_pairwise(outputs[pairs.first])
        back = exchange(read_pairwise(outputs[pairs.second]))
        flips["flip_rate"] = float(np.mean(probabilities.argmax(axis=1) != back.argmax(axis=1)))
    return DevReading(probabilities, {**measure(probabilities, pairs), **flips})


def measure(probabilities: Triples, pairs: Pairs) -> dict[str, float]:
    """`log_loss` and `accuracy`, as `DevReading` has them, of whatever judge.

    Args:
        probabilities: shape (n, 3).
        pairs: the dev pairs.
    """
    losses = _log_losses(probabilities, pairs)
    hits = credit(probabilities, pairs.outcomes)
    tiers = {str(tier): pairs.tiers == tier for tier in np.unique(pairs.tiers)}
    metrics = {
        "log_loss": float(np.mean([losses[there].mean() for there in tiers.values()])),
        "accuracy": float(np.mean([hits[there].mean() for there in tiers.values()])),
    }
    if len(tiers) > 1:
        for tier, there in tiers.items():
            metrics[f"log_loss_{tier or _NO_TIER}"] = float(losses[there].mean())
            metrics[f"accuracy_{tier or _NO_TIER}"] = float(hits[there].mean())
    return metrics


def in_tiers(pairs: Pairs, tiers: tuple[str, ...]) -> NDArray[np.bool_]:
    """Which pairs are of these tiers; all where none is named."""
    return np.isin(pairs.tiers, tiers) if tiers else np.ones(len(pairs), dtype=np.bool_)


def dev_part(pairs: Pairs, most: int | None, *, tiers: tuple[str, ...] = (), seed: int = 0) -> Pairs:
    """The dev pairs of some tiers; of them a random part of the prompts, until there are `most` pairs."""
    chosen = in_tiers(pairs, tiers)
    if most is not None and chosen.sum() > most:
        prompts = np.random.default_rng(seed).permutation(np.unique(pairs.prompts[chosen]))
        counts = np.bincount(pairs.prompts[chosen])[prompts]
        chosen &= np.isin(pairs.prompts, prompts[: int(np.searchsorted(counts.cumsum(), most)) + 1])
    return take(pairs, np.flatnonzero(chosen))


def _log_losses(probabilities: Triples, pairs: Pairs) -> NDArray[np.float64]:
    """Of each pair against its outcome; where ties are impossible, of A and B relative to each other."""
    open_ones = np.where(pairs.ties_possible[:, None], probabilities, probabilities * np.array([1.0, 1.0, 0.0]))
    total = np.maximum(open_ones.sum(axis=1), np.finfo(np.float64).tiny)  # 0 where a tie is all that is expected
    chosen = open_ones[np.arange(len(pairs)), pairs.outcomes] / total
    return log_losses(chosen)
