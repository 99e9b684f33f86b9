"""Pages that are left open for hours while verdicts come: whether they grow, and whether the server does."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.special import stdtrit

from tests.page.alone import Alone, Looking, left_alone
from tests.page.world import MB, World

EVERY_S: Final = 60.0

WARM_UP_MIN: Final = 20.0
"""Before growth counts: caches fill, and code is compiled, once more where it is used often (until minute 21 on a busy
machine and 6 on a quiet one, measured)."""

FEWEST_SAMPLES: Final = 10
"""After it, below which nothing is said."""

MATTERS: Final = 0.02
"""Share of the mean by which something has to grow to be called growing: less is an object here or there."""

COUNTED: Final = {
    "JSHeapUsedSize": "heap_mb",
    "Nodes": "nodes",
    "JSEventListeners": "listeners",
    "Documents": "documents",
}
"""Of Chromium's metrics, what a leak of a page shows in; by our names."""

LEFT_OPEN: Final = ("board", "verdicts")
"""Views that stay open: the one that people open first, and the one that changes most."""

WALKED: Final = ("verdicts", "quality", "stream", "review", "board")
"""Views that another page goes through before every sample, and ends where it began."""

WALKS: Final = "walk"
"""What that page is called."""

STAYS_S: Final = 3.0
"""In each: long enough that it is drawn, and some events come."""


@dataclass(frozen=True)
class Growth:
    """How a figure went, after warm-up.

    Attributes:
        what: page and figure.
        first: mean of the first quarter.
        last: mean of the last quarter.
        slope_per_hour: by least squares.
        low: lower end of the slope's 95 % interval, neighbours in time taken for as alike as they are.
        high: upper end.
        spread: standard deviation around the line.
        grows: the interval is above 0, and the line rises by more than three times the spread, and by `MATTERS`.
    """

    what: str
    first: float
    last: float
    slope_per_hour: float
    low: float
    high: float
    spread: float
    grows: bool


@dataclass(frozen=True)
class Sample:
    """One look.

    Attributes:
        minutes: since the pages were opened.
        figures: by page and figure: `board.heap_mb`, `server.rss_mb`.
        live: what each page said of being live, by its name.
    """

    minutes: float
    figures: dict[str, float]
    live: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def leave_open(
    world: World,
    folder: Path,
    *,
    hours: float,
    every_s: float = EVERY_S,
    stays_s: float = STAYS_S,
    tell: Callable[[str], None] = print,
) -> list[Sample]:
    """Leave pages open, and look at them again and again, each time after its garbage was collected.

    Each page is in a browser of its own, which nobody drives between two looks.

    Args:
        world: the board, to which preferences and votes come.
        folder: for what the browsers keep.
        hours: how long.
        every_s: between two looks.
        stays_s: how long the page that walks stays in each view.
        tell: told what was seen.
    """
    with ExitStack() as stack:
        pages = {}
        for name in (*LEFT_OPEN, WALKS):
            profile = folder / name
            profile.mkdir()
            view = WALKED[-1] if name == WALKS else name
            pages[name] = stack.enter_context(left_alone(f"{world.url}/#{view}", profile))
        began = time.monotonic()
        samples: list[Sample] = []
        for due_s in np.arange(every_s, hours * 3_600 + every_s / 2, every_s):
            time.sleep(max(0.0, began + due_s - time.monotonic() - stays_s * len(WALKED)))
            with pages[WALKS].looked_at() as page:
                for view in WALKED:
                    page.evaluate(f"location.hash = '{view}'")
                    time.sleep(stays_s)
            sample = _look(pages, world, (time.monotonic() - began) / 60)
            samples.append(sample)
            tell(_line(sample))
        return samples


def _look(pages: Mapping[str, Alone], world: World, minutes: float) -> Sample:
    figures: dict[str, float] = {}
    live = {}
    for name, alone in pages.items():
        with alone.looked_at() as page:
            found = _held(page)
            live[name] = page.evaluate("document.querySelector('#live').dataset.state") or "?"
        found["browser_mb"] = alone.memory_mb()
        figures |= {f"{name}.{what}": value for what, value in found.items()}
    with world.server.oneshot():
        figures["server.rss_mb"] = world.rss_mb
        figures["server.threads"] = float(world.server.num_threads())
        figures["server.descriptors"] = float(world.server.num_fds())
    return Sample(minutes, figures, live)


def _held(page: Looking) -> dict[str, float]:
    """What a page holds after its garbage was collected: what is left is held by something."""
    page.ask("Performance.enable")
    page.ask("HeapProfiler.enable")
    for _ in range(2):  # nodes that the first one sets free are gone after the second
        page.ask("HeapProfiler.collectGarbage")
    told = {one["name"]: one["value"] for one in page.ask("Performance.getMetrics")["metrics"]}
    found = {ours: float(told[theirs]) for theirs, ours in COUNTED.items()}
    return found | {"heap_mb": found["heap_mb"] / MB}


def _line(sample: Sample) -> str:
    heaps = ", ".join(
        f"{name} {sample.figures[f'{name}.heap_mb']:.2f} MB {sample.figures[f'{name}.nodes']:.0f} nodes {live}"
        for name, live in sample.live.items()
    )
    return f"{sample.minutes:5.1f} min: {heaps}; server {sample.figures['server.rss_mb']:.0f} MB"


def growths(samples: Sequence[Sample]) -> list[Growth]:
    """How every figure went.

    Args:
        samples: in order, warm-up included.
    """
    return list(_growths(samples))


def _growths(samples: Sequence[Sample]) -> Iterator[Growth]:
    settled = [one for one in samples if one.minutes >= WARM_UP_MIN]
    if len(settled) < FEWEST_SAMPLES:
        return
    minutes = np.array([one.minutes for one in settled])
    for what in settled[0].figures:
        yield growth(what, minutes.tolist(), [one.figures[what] for one in settled])


def growth(what: str, minutes: Sequence[float], values: Sequence[float]) -> Growth:
    """Whether a figure grows with time, beside how it goes up and down.

    Args:
        what: its name.
        minutes: of each value, `FEWEST_SAMPLES` or more.
        values: after warm-up.
    """
    hours, seen = np.asarray(minutes) / 60, np.asarray(values)
    slope, start = np.polyfit(hours, seen, 1)
    rest = seen - (start + slope * hours)
    count = len(seen)
    spread = float(np.sqrt((rest**2).sum() / (count - 2)))
    # What lies near in time is alike: of so many samples fewer are of their own (Bartlett's, by the first correlation).
    alike = max(0.0, float((rest[1:] * rest[:-1]).sum() / (rest**2).sum())) if spread > 0 else 0.0
    error = (
        spread / float(np.sqrt(((hours - hours.mean()) ** 2).sum())) * math.sqrt((1 + alike) / (1 - min(alike, 0.99)))
    )
    reach = float(stdtrit(count - 2, 0.975)) * error
    quarter = max(1, count // 4)
    rise = slope * (hours[-1] - hours[0])
    return Growth(
        what=what,
        first=float(seen[:quarter].mean()),
        last=float(seen[-quarter:].mean()),
        slope_per_hour=float(slope),
        low=float(slope - reach),
        high=float(slope + reach),
        spread=spread,
        grows=bool(slope - reach > 0 and rise > max(3 * spread, MATTERS * abs(seen.mean()))),
    )
