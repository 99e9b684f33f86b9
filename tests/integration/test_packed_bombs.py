"""The worst batch of each codec that a topic takes by default, between good records, in a process held to 1.5 GB."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from kafka.record.default_records import DefaultRecordBatchBuilder

from prefstream.consumer.config import StreamConfig
from prefstream.consumer.dead_letters.plan import Choice
from prefstream.consumer.dead_letters.retry import make_plan
from prefstream.consumer.doctor.memory import parts_of
from prefstream.schemas import ERROR_HEADERS, Reason
from prefstream.schemas.dead_letter import HEADER_REASON, header
from prefstream.schemas.wire import MAX_VALUE_BYTES
from tests.conftest import Kafka
from tests.support.packed_batches import CODECS, batch_of, bomb, pack, produce_batch, records_of
from tests.support.priors import write_prior_panel
from tests.support.processes import PREFSTREAM, Prefstream, prefstream, run_arguments
from tests.support.streams import Position, assert_exactly_once, battle_events, produce, running, wait_until

MakeConfig = Callable[..., StreamConfig]

LIMIT_BYTES: Final = 1536 * 2**20

HELD: Final = f"import resource; resource.setrlimit(resource.RLIMIT_DATA, ({LIMIT_BYTES}, {LIMIT_BYTES})); "
"""Put before a program: what it asks for beyond that it does not get, whether it would use it or not."""

MB: Final = 2**20

WORST: Final = {"zstd": (8, 100 * MB), "gzip": (8, 100 * MB), "lz4": (8, 30 * MB), "snappy": (20, MB)}
"""Records of a batch, and bytes of each. Packed they have 26 KB, 816 KB, 988 KB and 984 KB, the most that a topic takes
by default; snappy's 20 MB are less than may be unpacked, and come out as what they are."""


@pytest.fixture(scope="module")
def worst() -> dict[str, bytes]:
    """The batches, which take seconds to pack."""
    return {codec: bomb(codec, count, size) for codec, (count, size) in WORST.items()}


def test_every_record_beside_and_in_a_batch_that_unpacks_to_more_than_memory_is_answered(
    stream_config: MakeConfig, tmp_path: Path, kafka: Kafka, worst: dict[str, bytes]
) -> None:
    """Twice each codec: on partitions that are read at the same time, and one behind the other on a fifth one."""
    config = stream_config(partitions=5)
    good: list[Position] = []
    bad: dict[str, list[Position]] = {codec: [] for codec in WORST}
    for number, codec in enumerate(WORST):
        for partition in (number, 4):
            good += produce(config, battle_events(3), partition=partition)
            bad[codec] += produce_batch(config, worst[codec], WORST[codec][0], partition=partition)
            good += produce(config, battle_events(3, first=3), partition=partition)
    sent = [*good, *(position for positions in bad.values() for position in positions)]
    arguments = run_arguments(config, write_prior_panel(tmp_path), dead_letter_limit=1)
    with prefstream(*arguments, log=tmp_path / "log", program=HELD + PREFSTREAM) as run:
        wait_until(lambda: run.published >= len(sent) or run.ended, what="all answers")
        assert not run.ended, run.log
        peak_bytes = peak_memory(run)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    print(f"{kafka.name}: at most {peak_bytes / MB:.0f} MB")  # noqa: T201 - the figure, for who asks with -s
    outcome = assert_exactly_once(config, sent)
    assert len(outcome.preferences) == len(good)
    assert outcome.reasons() == {
        Reason.TOO_LARGE_UNPACKED: sum(len(bad[codec]) for codec in ("zstd", "gzip", "lz4")),
        Reason.NOT_JSON: len(bad["snappy"]),
    }
    for letter in outcome.dead_letters:
        assert not letter.value
        if header(letter, HEADER_REASON) == Reason.TOO_LARGE_UNPACKED:
            assert letter.key is None
            assert {name for name, _ in letter.headers} <= ERROR_HEADERS


def test_what_unpacks_to_less_than_the_bound_takes_no_more_memory_than_the_doctor_says(
    stream_config: MakeConfig, tmp_path: Path, kafka: Kafka
) -> None:
    """Records that are large one by one, JSON that grows when it is decoded, and headers by the ten thousands."""
    config = stream_config(partitions=2)
    json = b'{"x": [' + b'{"":{}},' * (MAX_VALUE_BYTES // 8 - 2) + b"0]}"
    headers = DefaultRecordBatchBuilder(2, CODECS["gzip"], 0, -1, -1, -1, 2**30)
    headers.append(0, 1_700_000_000_000, None, b"", [("", b"")] * 60_000)
    batches = [
        (bomb("zstd", 1, 30 * MB), 1),
        (batch_of("zstd", pack("zstd", records_of([json] * 2)), 2), 2),
        (bytes(headers.build()), 1),
    ]
    sent: list[Position] = []
    for partition in range(2):
        for batch, count in batches:
            sent += produce_batch(config, batch, count, partition=partition)
        sent += produce(config, battle_events(3), partition=partition)
    arguments = run_arguments(config, write_prior_panel(tmp_path), dead_letter_limit=1)
    with prefstream(*arguments, log=tmp_path / "log", program=HELD + PREFSTREAM) as run:
        wait_until(lambda: run.published >= len(sent) or run.ended, what="all answers")
        assert not run.ended, run.log
        peak_bytes = peak_memory(run)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    print(f"{kafka.name}: at most {peak_bytes / MB:.0f} MB")  # noqa: T201 - the figure, for who asks with -s
    assert peak_bytes < sum(part.bytes for part in parts_of(config, with_torch=False))
    outcome = assert_exactly_once(config, sent)
    assert len(outcome.preferences) == 6
    assert outcome.reasons() == {Reason.FIELD_TOO_LARGE: 2, Reason.MISSING_FIELD: 4, Reason.NOT_JSON: 2}


def test_what_was_never_unpacked_is_not_sent_back(stream_config: MakeConfig) -> None:
    """Neither a dead letter that holds nothing of its record, nor one that stands in such a batch itself."""
    config = stream_config(partitions=1, dead_letter_limit=1, max_unpacked_bytes=2 * MB)
    with running(config) as service:
        produce_batch(config, bomb("zstd", 3, MB), 3)
        service.wait_published(3)
    topic = config.dead_letters_topic
    produce_batch(config.model_copy(update={"battles_topic": topic}), bomb("zstd", 2, 20 * MB), 2)
    plan = make_plan(config, topic, f"{config.group_id}-retries", Choice(), destination=config.battles_topic)
    assert plan.entries == ()
    assert Counter(refusal.why.rpartition(";")[0] or refusal.why for refusal in plan.refusals) == {
        "it holds nothing of the original, which was never unpacked": 3,
        "its record batch unpacks to more than 33554432 bytes (max_unpacked_bytes)": 2,
    }


def peak_memory(run: Prefstream) -> int:
    """The most that a process has held, in bytes."""
    for line in Path(f"/proc/{run.process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel does not tell")
