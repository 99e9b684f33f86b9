"""A board that is killed at any moment: every count and sum equals a recount of the topics."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, header
from tests.conftest import Kafka
from tests.support.board import dump
from tests.support.board_recount import assert_equal, recount
from tests.support.board_topics import Load, board_names, board_process, fill, is_vote, raw_records, taken_in
from tests.support.streams import read_topic, wait_until

WINDOW_MS = 30 * 86_400_000
KILLS = 3


def test_killed_again_and_again_it_loses_and_doubles_nothing(
    kafka: Kafka, seeded: random.Random, tmp_path: Path
) -> None:
    names = board_names(kafka.bootstrap_servers)
    load = Load(preferences=3_000, votes=300)
    fill(names, load, seeded)
    preferences, votes = (raw_records(names, topic) for topic in (names.preferences_topic, names.votes_topic))
    every = len(preferences) + len(votes)
    path, log = tmp_path / "board.db", tmp_path / "log"
    for goal in sorted(seeded.randrange(every) for _ in range(KILLS)):
        with board_process(names, path, log, max_records=100) as process:
            wait_until(lambda goal=goal: taken_in(path) >= goal, what=f"{goal} records")  # type: ignore[misc]
            process.kill()
    with board_process(names, path, log, max_records=100) as process:
        wait_until(lambda: taken_in(path) == every, what="all records")
        process.terminate()
        assert process.wait(100) == 0
    real = [record for record in votes if is_vote(record)]
    good = [record for record in preferences if record.fields["id"] != "x"]
    assert_equal(dump(path), recount(good, real, WINDOW_MS))
    letters = Counter(
        (int(header(one, HEADER_PARTITION) or -1), int(header(one, HEADER_OFFSET) or -1))
        for one in read_topic(names.bootstrap_servers, names.votes_dead_letters_topic)
    )
    assert letters == Counter((one.partition, one.offset) for one in votes if not is_vote(one))
