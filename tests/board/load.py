"""A board under load: how fast it takes records in, and what it holds after kills beside a recount of the topics."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from prefstream.consumer.board.ingest.following import MAX_RECORDS
from prefstream.consumer.config import TopicNames
from prefstream.schemas.dead_letter import HEADER_OFFSET, HEADER_PARTITION, header
from tests.board.asked import ask_while_reading
from tests.support.board import dump
from tests.support.board_recount import assert_equal, recount
from tests.support.board_topics import Load, board_names, board_process, fill, is_vote, raw_records, taken_in
from tests.support.streams import read_topic, wait_until

WINDOW_MS = 30 * 86_400_000
MB = 1e6


@dataclass
class Figures:
    """What a run showed.

    Attributes:
        records: on both topics.
        kills: SIGKILLs while they were taken in.
        records_per_s: taken in by a process that nobody killed, into a file of its own.
        records_per_cpu_s: the same by the processor time that it had: on a busy machine the other says little.
        rss_mb: greatest resident memory of that process.
        file_mb: its file, and what belongs to it, after the end.
        dead_letters: of votes, each exactly once.
        answers: that the service's API gave while it took all in once more.
        answer_ms: how long who asked waited for one, the median.
        answer_p95_ms: the 95th percentile.
        counters: of the file that was killed over.
    """

    records: int
    kills: int
    records_per_s: float
    records_per_cpu_s: float
    rss_mb: float
    file_mb: float
    dead_letters: int
    answers: int
    answer_ms: float
    answer_p95_ms: float
    counters: dict[str, int]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def board_under_load(
    servers: str,
    folder: Path,
    load: Load,
    rng: random.Random,
    *,
    kills: int,
    max_records: int = MAX_RECORDS,
    tell: Callable[[str], None] = print,
) -> Figures:
    """Fill topics, take them in with kills, then once more undisturbed into another file, and count again.

    Args:
        servers: the broker.
        folder: for the files and logs.
        load: how much.
        rng: of the records and of the moments of the kills.
        kills: how many.
        max_records: of a transaction.
        tell: told how far it is.

    Raises:
        AssertionError: a count or a sum is another one than the recount's.
    """
    names = board_names(servers)
    fill(names, load, rng)
    preferences, votes = (raw_records(names, topic) for topic in (names.preferences_topic, names.votes_topic))
    every = len(preferences) + len(votes)
    tell(f"{every} records are on the topics")
    path = folder / "killed.db"
    for goal in sorted(rng.randrange(every * 9 // 10) for _ in range(kills)):
        with board_process(names, path, folder / "log", max_records=max_records) as process:
            wait_until(lambda goal=goal: taken_in(path) >= goal, what=f"{goal} records")  # type: ignore[misc]
            time.sleep(rng.uniform(0, 0.1))
            process.kill()
        tell(f"killed at {taken_in(path)}")
    with board_process(names, path, folder / "log", max_records=max_records) as process:
        wait_until(lambda: taken_in(path) == every, 600, what="all records")
        process.terminate()
        assert process.wait(100) == 0
    speed, of_cpu, rss = _undisturbed(folder, names, every, max_records)
    calm = folder / "calm.db"
    size = sum(one.stat().st_size for one in folder.glob("calm.db*"))
    tell(f"{speed:.0f} records/s, {of_cpu:.0f} a second of processor time, {rss:.0f} MB, file {size / MB:.1f} MB")
    good = (one for one in preferences if one.fields["id"] != "x")
    expected = recount(good, filter(is_vote, votes), WINDOW_MS)
    for one in (calm, path):
        assert_equal(dump(one), expected)
    letters = Counter(
        (int(header(one, HEADER_PARTITION) or -1), int(header(one, HEADER_OFFSET) or -1))
        for one in read_topic(servers, names.votes_dead_letters_topic)
    )
    assert letters == Counter((one.partition, one.offset) for one in votes if not is_vote(one))
    asked = ask_while_reading(names, folder, every)
    tell(f"{asked[0]} answers meanwhile, {asked[1]:.0f} ms each, 95 % within {asked[2]:.0f} ms")
    return Figures(every, kills, speed, of_cpu, rss, size / MB, letters.total(), *asked, dict(dump(path)["counters"]))


def _undisturbed(folder: Path, names: TopicNames, every: int, max_records: int) -> tuple[float, float, float]:
    """Records a second from the first to the last, a second of processor time, and greatest resident memory in MB."""
    path = folder / "calm.db"
    with board_process(names, path, folder / "calm.log", max_records=max_records) as process:
        watched, rss = psutil.Process(process.pid), 0.0
        began, cpu_s = time.monotonic(), _cpu_s(watched)
        while (done := taken_in(path)) < every:
            assert process.poll() is None
            rss = max(rss, watched.memory_info().rss / MB)
            time.sleep(0.25)
            if not done:
                began, cpu_s = time.monotonic(), _cpu_s(watched)
        took_s, cpu_s = time.monotonic() - began, _cpu_s(watched) - cpu_s
        process.terminate()
        assert process.wait(100) == 0
    return every / took_s, every / cpu_s, rss


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
