"""A steady load for a long time: what a service takes of its machine must not grow with what it has done."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import psutil

from tests.chaos.world.verifier import Verdict
from tests.chaos.world.world import World

SAMPLE_S: Final = 5.0
"""Between two looks at the process: hundreds in half an hour, and none costs it anything."""

WARM_UP_S: Final = 300.0
"""Before growth counts: every length of a batch was met, and the allocator keeps what it needs for them (measured)."""

MAX_SLOPE_MB_PER_MIN: Final = 1.0
"""More fills a container of 2 GB within a day."""

MAX_LAG_S: Final = 10.0
"""A longer queue means that the process does not keep up, or stood still."""


@dataclass(frozen=True)
class Sample:
    """What the process took of the machine at a moment.

    Attributes:
        seconds: since the load began.
        rss_mb: resident memory.
        descriptors: open files and sockets.
        threads: of the process.
        lag: records that had no answer yet.
    """

    seconds: float
    rss_mb: float
    descriptors: int
    threads: int
    lag: int


@dataclass(frozen=True)
class Course:
    """How it went.

    Attributes:
        rate: records a second that were written.
        produced: records in all.
        warm_up_s: before growth counts, in seconds.
        samples: in order.
        verdict: of the verifier, at the end.
    """

    rate: int
    produced: int
    warm_up_s: float
    samples: Sequence[Sample]
    verdict: Verdict

    @property
    def settled(self) -> list[Sample]:
        """Those after warm-up."""
        return [sample for sample in self.samples if sample.seconds >= self.warm_up_s]

    @property
    def slope_mb_per_min(self) -> float:
        """Growth of memory after warm-up, by least squares."""
        seconds, megabytes = np.array([(sample.seconds, sample.rss_mb) for sample in self.settled]).T
        return float(np.polyfit(seconds / 60, megabytes, 1)[0])

    def growth(self, figure: Callable[[Sample], int]) -> int:
        """By how much a count was higher in the last third than it ever was in the first, after warm-up."""
        counts = [figure(sample) for sample in self.settled]
        third = len(counts) // 3
        return max(counts[-third:]) - max(counts[:third])

    @property
    def worst_lag_s(self) -> float:
        """The longest queue after warm-up, in seconds of the load."""
        return max(sample.lag for sample in self.settled) / self.rate

    @property
    def is_steady(self) -> bool:
        """Whether nothing has grown, and every record has exactly one answer."""
        return (
            self.verdict.is_clean
            and self.slope_mb_per_min < MAX_SLOPE_MB_PER_MIN
            and self.growth(lambda sample: sample.descriptors) <= 0
            and self.growth(lambda sample: sample.threads) <= 0
            and self.worst_lag_s < MAX_LAG_S
        )

    def write(self, file: Path) -> None:
        """Write every figure as JSON."""
        figures = {
            "rate": self.rate,
            "produced": self.produced,
            "warm_up_s": self.warm_up_s,
            "slope_mb_per_min": self.slope_mb_per_min,
            "descriptors_grown": self.growth(lambda sample: sample.descriptors),
            "threads_grown": self.growth(lambda sample: sample.threads),
            "worst_lag_s": self.worst_lag_s,
            "is_clean": self.verdict.is_clean,
            "is_steady": self.is_steady,
            "samples": [asdict(sample) for sample in self.samples],
        }
        file.write_text(json.dumps(figures, indent=1))

    def draw(self, file: Path) -> None:
        """Draw memory and queue over time, as PNG."""
        from matplotlib.figure import Figure

        minutes = [sample.seconds / 60 for sample in self.samples]
        figure = Figure(figsize=(9, 5), layout="constrained")
        memory, queue = figure.subplots(2, sharex=True)
        memory.plot(minutes, [sample.rss_mb for sample in self.samples])
        memory.set(ylabel="resident memory (MB)", title=f"{self.rate} battles/s, {self.slope_mb_per_min:+.3f} MB/min")
        queue.plot(minutes, [sample.lag for sample in self.samples])
        queue.set(ylabel="unanswered", xlabel="minutes")
        for axes in (memory, queue):
            axes.axvspan(0, self.warm_up_s / 60, alpha=0.1)
            axes.margins(y=0.1)
            axes.set_ylim(bottom=0)
        figure.savefig(file)


def steady(
    world: World,
    *,
    seconds: float,
    rate: int,
    generator: random.Random,
    warm_up_s: float = WARM_UP_S,
    on_sample: Callable[[Sample], None] = lambda _: None,
) -> Course:
    """Write so many records a second to a world of one process, and look at it now and then.

    Args:
        world: started, with one process.
        seconds: how long; longer than warm-up.
        rate: records a second.
        generator: of the records.
        warm_up_s: before growth counts, in seconds.
        on_sample: called after each look.

    Raises:
        AssertionError: the process ended meanwhile, or did not answer what it got.
    """
    (supervised,) = world.fleet
    world.produce(rate, generator)
    world.wait_answered()  # it has started
    process = psutil.Process(supervised.pid)
    samples: list[Sample] = []
    began = time.monotonic()
    sent = 0
    while (elapsed := time.monotonic() - began) < seconds:
        due = int(elapsed * rate) + 1
        world.produce(due - sent, generator)
        sent = due
        if elapsed >= len(samples) * SAMPLE_S:
            samples.append(_look(process, elapsed, world))
            on_sample(samples[-1])
        time.sleep(0.05)
    world.wait_answered()
    assert supervised.pid == process.pid, "the process was started anew"
    return Course(rate, sent, warm_up_s, samples, world.verify())


def _look(process: psutil.Process, elapsed: float, world: World) -> Sample:
    with process.oneshot():
        return Sample(
            seconds=elapsed,
            rss_mb=process.memory_info().rss / 2**20,
            descriptors=process.num_fds(),
            threads=process.num_threads(),
            lag=world.lag() or 0,
        )
