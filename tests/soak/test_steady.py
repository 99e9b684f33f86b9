"""Under a steady load nothing grows but the topics.

The half hour is `pytest -m long tests/soak`, or with figures and a picture `python -m tests.soak --help`.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from prefstream.scoring.runtime import MALLOC_SETTINGS
from tests.chaos.world.verifier import Verdict
from tests.chaos.world.world import World
from tests.conftest import Kafka
from tests.soak.steady import MAX_LAG_S, MAX_SLOPE_MB_PER_MIN, Course, Sample, steady


def course_of(*samples: Sample) -> Course:
    return Course(rate=10, produced=100, warm_up_s=60.0, samples=samples, verdict=Verdict(inputs=1))


def test_a_leak_is_seen_and_what_was_taken_in_warm_up_is_none() -> None:
    """A measurement that finds nothing in what leaks proves nothing."""
    steady_course = course_of(*(Sample(10.0 * n, 100 + max(0, 5 - n) * -20, 30, 9, 5) for n in range(60)))
    leaking = course_of(*(Sample(10.0 * n, 100 + n, 30 + n, 9 + n // 30, n) for n in range(60)))
    assert steady_course.slope_mb_per_min == pytest.approx(0, abs=1e-6)
    assert leaking.slope_mb_per_min == pytest.approx(6.0)
    assert (steady_course.growth(lambda s: s.descriptors), leaking.growth(lambda s: s.descriptors)) == (0, 36)
    assert (steady_course.growth(lambda s: s.threads), leaking.growth(lambda s: s.threads)) == (0, 1)
    assert (steady_course.worst_lag_s, leaking.worst_lag_s) == (0.5, 5.9)
    assert steady_course.is_steady
    assert not leaking.is_steady


def test_the_figures_and_the_picture_are_written(tmp_path: Path) -> None:
    course = course_of(*(Sample(10.0 * n, 100, 30, 9, 5) for n in range(60)))
    course.write(tmp_path / "soak.json")
    course.draw(tmp_path / "soak.png")
    assert '"slope_mb_per_min"' in tmp_path.joinpath("soak.json").read_text()
    assert tmp_path.joinpath("soak.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.long
@pytest.mark.timeout(45 * 60)
def test_half_an_hour_of_steady_load_grows_nothing(
    kafka: Kafka, tmp_path: Path, seeded: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, setting in MALLOC_SETTINGS.items():  # what `prefstream run` starts itself again with
        monkeypatch.setenv(name, setting)
    with World(kafka.bootstrap_servers, tmp_path, processes=1, partitions=6, models=True) as world:
        course = steady(world, seconds=30 * 60, rate=50, generator=seeded)
    assert course.verdict.is_clean, course.verdict
    assert course.slope_mb_per_min < MAX_SLOPE_MB_PER_MIN
    assert course.growth(lambda sample: sample.descriptors) <= 0
    assert course.growth(lambda sample: sample.threads) <= 0
    assert course.worst_lag_s < MAX_LAG_S
