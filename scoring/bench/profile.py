"""Where the time of a panel's judges goes, and what share of this machine's peak they reach.

Each judge is profiled alone, by its own threads, over the very batches that the stream would hand it; then all work
together, which says how long each waits for the others. The peak is measured in the same process: a product of two
large square matrices in the judge's dtype, as fast as this machine does it, and the products that occurred, each alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from prefstream.schemas import Battle
from prefstream.scoring.bench.process import run_worker
from prefstream.scoring.bench.request import Request, models, reading_alone, without_int8
from prefstream.scoring.bench.throughput import DEFAULT_BATCH_BATTLES, bench_battles, with_adapters
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError

_WORKER: Final = "prefstream.scoring.bench.profile_worker"


@dataclass(frozen=True, slots=True)
class JudgeProfile:
    """What one judge did with its time, alone on its threads.

    Attributes:
        settings: dtype, attention, device and threads.
        seconds: for all battles, tokenising included, unprofiled.
        encoding_s: of these, laying out and tokenising, which the stream does while judges work.
        shares: of the time of the forward passes, by what was done; they sum to 1.
        busy_share: of the seconds that the whole panel took, in which this judge would have been done alone.
        tokens: that were read, padding excluded.
        padded_tokens: with padding.
        product_flops: operations of the matrix products, additions and multiplications each counted.
        products_s: that these products took, of the time of the passes.
        shapes_s: that the same products take one after the other and alone, weights not in the cache.
        peak_flops_per_s: of the largest product, by the same threads.
    """

    settings: str
    seconds: float
    encoding_s: float
    shares: Mapping[str, float]
    busy_share: float
    tokens: int
    padded_tokens: int
    product_flops: float
    products_s: float
    shapes_s: float
    peak_flops_per_s: float

    @property
    def peak_share(self) -> float:
        """Of the machine's peak, over all that the passes did."""
        return self.product_flops / self.peak_flops_per_s / (self.seconds - self.encoding_s)

    @property
    def shape_peak_share(self) -> float:
        """Of the peak, by the products of these shapes alone: more than that no program of such products reaches."""
        return self.product_flops / self.peak_flops_per_s / self.shapes_s

    @property
    def padding_share(self) -> float:
        """Of the tokens that passes read."""
        return 1 - self.tokens / self.padded_tokens


@dataclass(frozen=True, slots=True)
class PanelProfile:
    """What a panel's judges did with their time.

    Attributes:
        battles: scored.
        seconds: by all judges together.
        judges: by name.
    """

    battles: int
    seconds: float
    judges: Mapping[str, JudgeProfile]

    def to_fields(self) -> dict[str, Any]:
        """All of it, for a JSON file."""
        return {
            "battles": self.battles,
            "seconds": self.seconds,
            "judges": {
                name: {
                    **asdict(judge),
                    "peak_share": judge.peak_share,
                    "shape_peak_share": judge.shape_peak_share,
                    "padding_share": judge.padding_share,
                }
                for name, judge in self.judges.items()
            },
        }


def profile_panel(
    config: PanelConfig,
    *,
    battles: Sequence[Battle] | None = None,
    batch_battles: int = DEFAULT_BATCH_BATTLES,
    say: Callable[[str], None],
) -> PanelProfile:
    """Profile a panel's judges, in a process of their own.

    Args:
        config: the panel; judges without an adapter get one with random weights.
        battles: by default `bench_battles()`.
        batch_battles: that the panel gets at a time.
        say: told what is being run, a line at a time.

    Raises:
        ConfigError: no judge has a base model.
        BenchError: the run failed.
    """
    if not models(config):
        raise ConfigError("bench", ("no judge has a base model, so there is nothing to profile",))
    chosen = tuple(bench_battles() if battles is None else battles)
    with tempfile.TemporaryDirectory(prefix="prefstream-bench-") as folder:
        request = with_adapters(Request(without_int8(reading_alone(config)), chosen, batch_battles, Path(folder)), say)
        say("profiling")
        fields = run_worker(_WORKER, "profile", request.write())
    judges = {name: JudgeProfile(**judge) for name, judge in fields["judges"].items()}
    return PanelProfile(fields["battles"], fields["seconds"], judges)
