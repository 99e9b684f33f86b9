"""From another version to this one and back, mixed in one group, loses and doubles nothing."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.chaos.world.world import World
from tests.conftest import Kafka
from tests.upgrade.rolling import installed, upgrade_and_back

ENV_OLD: Final = "PREFSTREAM_TEST_OLD_PYTHON"
"""Names the Python of a virtual environment that has the version before this one."""

RECORDS: Final = 100


@pytest.mark.long
@pytest.mark.timeout(600)
def test_versions_side_by_side_answer_everything_once(kafka: Kafka, tmp_path: Path, seeded: random.Random) -> None:
    python = os.environ.get(ENV_OLD) or pytest.skip(f"{ENV_OLD} names no Python that has the version before this one")
    old = installed(python, tmp_path / "path", "old")
    new = installed(sys.executable, tmp_path / "path", "new")
    world = World(kafka.bootstrap_servers, tmp_path, processes=3, partitions=6, leavers=False, review=False)
    for process in world.fleet:
        process.version = old
    with world:
        steps = list(upgrade_and_back(world, old, new, records=RECORDS, generator=seeded))
        verdict, sight = world.verify(), world.look_back()
    assert [step.version for step in steps] == 3 * ["old"] + 3 * ["new"] + 3 * ["old"]
    assert verdict.is_clean, verdict
    assert sight.is_clean, sight
