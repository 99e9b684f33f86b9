"""What is measured of the page: on a small board, for seconds; and that what leaks is seen.

The whole is `python -m tests.page`; `python -m tests.page --hours 1` leaves pages open.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.page.asked import addresses_of, ask_all
from tests.page.left_open import FEWEST_SAMPLES, Sample, growth, growths, leave_open
from tests.page.views import first_view, open_pages, open_streams
from tests.page.world import Load, served_world

MINUTES = [float(minute) for minute in range(60)]


def noise(*, alike: float = 0.0, seed: int = 0) -> list[float]:
    rng, last, found = random.Random(seed), 0.0, []
    for _ in MINUTES:
        last = alike * last + rng.gauss(0, 0.1)
        found.append(last)
    return found


def test_what_leaks_is_seen_and_what_goes_up_and_down_is_no_leak() -> None:
    """A measurement that finds nothing in what leaks proves nothing."""
    for seed in range(20):
        calm = [8 + each for each in noise(seed=seed)]
        waves = [8 + each for each in noise(alike=0.6, seed=seed)]
        leaking = [value + minute / 60 for value, minute in zip(waves, MINUTES, strict=True)]
        assert not growth("calm", MINUTES, calm).grows
        assert not growth("waves", MINUTES, waves).grows
        assert growth("leaking", MINUTES, leaking).grows
    counted = growth("nodes", MINUTES, [1_000.0 + minute for minute in MINUTES])
    assert counted.grows
    assert counted.slope_per_hour == pytest.approx(60.0)
    assert not growth("nodes", MINUTES, [1_000.0] * 60).grows
    assert not growth("nodes", MINUTES, [float(1_000 + 40 * (minute % 5)) for minute in MINUTES]).grows


def test_growth_is_told_after_warm_up_of_every_figure() -> None:
    warming = [Sample(minute, {"heap": min(10.0, minute), "nodes": 5.0}, {}) for minute in MINUTES]
    assert [(one.what, one.grows, one.first) for one in growths(warming)] == [
        ("heap", False, 10.0),
        ("nodes", False, 5.0),
    ]
    assert growths(warming[:FEWEST_SAMPLES]) == []


def test_a_small_board_is_measured_as_a_large_one_is(browser: Browser, tmp_path: Path) -> None:
    with served_world(tmp_path, Load(preferences=400, votes=100, per_s=20.0), 0, lambda _: None) as world:
        view = first_view(browser, world.url)
        assert view.filled_ms is not None
        assert view.filled_ms > 0
        assert view.requests >= 3
        assert view.kilobytes["page"] > 1
        addresses = addresses_of(world)
        assert {"models", "trust/time?step=hour", "tables/trust-time.csv"} <= set(addresses)
        assert "events" not in addresses
        [models] = ask_all(world, ["models"], seconds=0, clients=2)
        assert (models.address, models.answers) == ("models", 2)
        assert open_streams(world, 3, seconds=0.5, settle_s=0).most_mb > 0
        many = open_pages(browser, world, 2, seconds=0.5, settle_s=0)
        assert (many.pages, (many.chromium_mb or 0) > 0) == (2, True)


def test_pages_that_are_left_open_are_looked_at(tmp_path: Path) -> None:
    with served_world(tmp_path, Load(preferences=50, votes=20, per_s=20.0), 0, lambda _: None) as world:
        samples = leave_open(world, tmp_path, hours=2 / 3_600, every_s=1.0, stays_s=0.1, tell=lambda _: None)
    assert len(samples) == 2
    for sample in samples:
        assert min(sample.figures["board.heap_mb"], sample.figures["walk.browser_mb"]) > 0
        assert sample.live.keys() == {"board", "verdicts", "walk"}
