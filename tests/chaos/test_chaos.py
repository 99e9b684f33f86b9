"""Exactly once under random faults, by the word of a reader who shares no code with prefstream.

The short runs strike processes and the topic. The long ones strike brokers, too: `pytest -m long tests/chaos`, or with
figures and any length `python -m tests.chaos --help`.
"""

from __future__ import annotations

import base64
import json
import os
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer
from kafka import KafkaAdminClient, TopicPartition
from kafka.structs import OffsetAndMetadata

from prefstream.consumer.broker import EmbeddedBroker
from tests.chaos.driver import plan, run_chaos
from tests.chaos.faults.catalogue import FAULTS
from tests.chaos.inside.trap import Trap
from tests.chaos.report import Cycle, Report
from tests.chaos.world.kcat import kcat_installed, places_by_kcat
from tests.chaos.world.reader import Reader
from tests.chaos.world.verifier import Place, Verdict, headers, read, verify
from tests.chaos.world.world import World
from tests.conftest import NO_APACHE, Kafka
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.streams import wait_until

SHORT_CYCLES = 2


def seed_of(generator: random.Random) -> int:
    return generator.randrange(2**32)


def assert_nothing_lost(report: Report) -> None:
    breaks = report.audit and report.audit.to_fields()["breaks"]
    assert report.is_clean, (
        f"{report.verdict}; audit: {breaks}; {report.sight} {report.leaks} (seed {report.seed}, {report.cycles})"
    )


def test_a_plan_is_a_function_of_seed_and_number() -> None:
    """So that a run can go on where another one ended."""
    whole = plan(7, 20, brokers=3)
    assert plan(7, 5, brokers=3, first=15) == whole[15:]
    assert plan(8, 20, brokers=3) != whole


def test_without_brokers_of_its_own_a_plan_strikes_none() -> None:
    assert all(fault.brokers == 0 for fault in plan(7, 200, brokers=0))
    assert {fault.brokers for fault in plan(7, 200, brokers=3)} == {0, 1, 3}


def test_answers_of_the_broker_are_struck_where_it_answers_as_it_is_told() -> None:
    assert not any(fault.embedded for fault in plan(7, 200, brokers=3))
    assert any(fault.embedded for fault in plan(7, 200, brokers=0, embedded=True))


def test_every_fault_has_a_name_of_its_own() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_faults_lose_and_double_nothing(kafka: Kafka, tmp_path: Path, seeded: random.Random) -> None:
    seed = seed_of(seeded)
    with World(kafka.bootstrap_servers, tmp_path, processes=2, partitions=4) as world:
        report = run_chaos(world, plan(seed, SHORT_CYCLES, brokers=0), seed=seed, battles=300)
    assert_nothing_lost(report)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world of which every record is answered; its processes are stopped."""
    with (
        EmbeddedBroker() as broker,
        World(broker.bootstrap_servers, tmp_path_factory.mktemp("clean"), processes=1, partitions=1) as world,
    ):
        world.produce(30, random.Random(0))
        world.wait_answered()
        assert world.verify().is_clean
        yield world


def sound_preference(world: World) -> tuple[Message, dict[str, Any]]:
    """One that no test has written again yet, and its value."""
    records = read(world.config.bootstrap_servers, world.config.preferences_topic)
    written = Counter(headers(record).get("ce_id") for record in records)
    record = next(record for record in records if written[headers(record).get("ce_id")] == 1)
    return record, json.loads(record.value() or b"")


def write(world: World, topic: str, record: Message | None = None, **changes: Any) -> None:
    """Write a record of an output topic once more, as it was but for the changes."""
    producer = Producer({"bootstrap.servers": world.config.bootstrap_servers})
    fields = {"value": record.value(), "key": record.key(), "headers": record.headers()} if record else {}
    producer.produce(topic, **(fields | changes))
    assert producer.flush(10) == 0


@pytest.mark.parametrize(
    ("seen", "change"),
    [
        ("duplicated", lambda preference: preference),
        ("unaccounted", lambda preference: preference | {"source": preference["source"] | {"offset": 999}}),
        ("out_of_contract", lambda preference: preference | {"probabilities": {"model_a": 1, "model_b": 1, "tie": 0}}),
        ("out_of_contract", lambda preference: preference | {"source": preference["source"] | {"topic": "other"}}),
        ("out_of_contract", lambda _: {}),
    ],
)
def test_the_verifier_sees_a_wrong_preference(clean: World, seen: str, change: Callable[[Any], Any]) -> None:
    """One that finds everything clean proves nothing."""
    before = len(getattr(clean.verify(), seen))
    record, value = sound_preference(clean)
    write(clean, clean.config.preferences_topic, record, value=json.dumps(change(value)))
    assert len(getattr(clean.verify(), seen)) > before


def test_the_verifier_sees_what_is_wrongly_for_review(clean: World) -> None:
    """What came a second time, what was not chosen, and what is missing there."""
    config = clean.config
    assert config.review_topic
    before = clean.verify()
    assert 0 < before.reviews < before.preferences
    [review, *_] = read(config.bootstrap_servers, config.review_topic)
    write(clean, config.review_topic, review)
    write(clean, config.review_topic, review, value=(review.value() or b"").replace(b'"tie"', b'"model_a"'))
    assert len(clean.verify().reviews_uncalled) == len(before.reviews_uncalled) + 2
    record, value = sound_preference(clean)
    chosen = value | {"review": {"probability": 0.3, "chosen": True}, "preferred": "tie"}
    write(clean, config.preferences_topic, record, value=json.dumps(chosen))
    after = clean.verify()
    assert len(after.reviews_lost) == len(before.reviews_lost) + 1
    assert not after.is_clean


def test_the_verifier_sees_a_dead_letter_that_was_changed(clean: World) -> None:
    config = clean.config
    record = read(config.bootstrap_servers, config.dead_letters_topic)[0]
    write(clean, config.dead_letters_topic, record, value=b"changed")
    assert any("not the record as it came" in fault for fault in clean.verify().out_of_contract)


def test_the_verifier_sees_an_input_without_an_answer(clean: World) -> None:
    before = clean.verify().lost
    write(clean, clean.config.battles_topic, value=b"{}", key=b"k")
    assert len(clean.verify().lost) == len(before) + 1


def verdict_of_retries(world: World) -> tuple[int, int]:
    """Of the dead letters that were sent back: lost, and sent unasked."""
    config = world.config
    topics = (config.battles_topic, config.preferences_topic, config.dead_letters_topic)
    verdict = verify(config.bootstrap_servers, *topics, retry_group=world.retries.group)
    return len(verdict.retries_lost), len(verdict.retries_unasked)


def test_the_verifier_sees_what_a_retry_lost_or_sent_unasked(clean: World) -> None:
    """What is remembered stands in the group's offset, and beyond it in a bitmap."""
    config = clean.config
    letters = read(config.bootstrap_servers, config.dead_letters_topic)
    first = next(letter for letter in letters if (letter.key() or b"").startswith(b"zqkey"))
    assert verdict_of_retries(clean) == (0, 0)
    write(clean, config.battles_topic, value=b"{}", key=first.key(), headers=[("prefstream.retries", "1")])
    assert verdict_of_retries(clean) == (0, 1)
    place = first.partition() or 0, first.offset() or 0
    for offset, beyond in ((place[1] + 1, 0), (place[1], 1)):
        metadata = "sent:" + base64.b85encode(zlib.compress(bytes([beyond]))).decode() if beyond else ""
        remembered = {TopicPartition(config.dead_letters_topic, place[0]): OffsetAndMetadata(offset, metadata, -1)}
        with closing(KafkaAdminClient(bootstrap_servers=config.bootstrap_servers)) as admin:
            admin.alter_group_offsets(clean.retries.group, remembered)
        before = sum((letter.partition() or 0, letter.offset() or 0) < place for letter in letters)
        assert verdict_of_retries(clean) == (before, 0)


def open_reader(world: World, *waiting: Place, served: AbstractSet[int] = frozenset()) -> Reader:
    """A reader that knows of inputs that nobody will answer, too."""
    config = world.config
    outputs = {config.preferences_topic: 3, config.dead_letters_topic: 1}
    reader = Reader(config.bootstrap_servers, config.battles_topic, outputs, config.preferences_topic, lambda: served)
    reader.note_inputs(waiting)
    return reader


NEVER = 10**6
"""An offset that no input of ours has."""


def test_a_reader_knows_the_inputs_and_which_are_answered(clean: World) -> None:
    wrong = len(clean.verify().lost)
    with open_reader(clean, (0, NEVER)) as reader:
        reader.read_input(1)
        wait_until(lambda: reader.inputs > clean.produced and reader.unanswered == wrong + 1)


def test_a_reader_measures_silence_only_while_an_input_has_no_answer(clean: World) -> None:
    with open_reader(clean, (0, NEVER)) as waits, open_reader(clean) as has_all:
        wait_until(lambda: waits.seen == has_all.seen >= clean.produced)
        has_all.take_silence()
        wait_until(lambda: waits.take_silence() > 0.5)
        assert has_all.take_silence() == 0.0


def test_a_stall_needs_somebody_who_could_work(clean: World) -> None:
    with open_reader(clean, (0, NEVER), served={1}) as elsewhere, open_reader(clean, (0, NEVER), served={0, 1}) as here:
        wait_until(lambda: elsewhere.seen == here.seen >= clean.produced)
        wait_until(lambda: here.take_stall() > 0.5)
        wait_until(lambda: elsewhere.take_silence() > 0.5)
        assert elsewhere.take_stall() == 0.0


def test_a_reader_sees_a_second_answer(clean: World) -> None:
    config = clean.config
    record, _ = sound_preference(clean)
    there = sum(len(read(config.bootstrap_servers, t)) for t in (config.preferences_topic, config.dead_letters_topic))
    with open_reader(clean) as reader:
        wait_until(lambda: reader.seen == there)
        before = reader.twice
        write(clean, config.preferences_topic, record)
        wait_until(lambda: reader.twice == before + 1)


def test_a_reader_tells_what_was_aborted_and_what_it_missed(clean: World) -> None:
    config = clean.config
    records = read(config.bootstrap_servers, config.preferences_topic)
    with open_reader(clean) as reader:
        wait_until(lambda: reader.seen >= clean.produced)
        seen = reader.seen
        assert reader.compare(records[:3]).withdrawn == seen - 3
    blind = open_reader(clean)
    assert blind.compare(records).missed == len(records)


def test_a_trap_springs_once_for_all_threads(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "trap")
    trap.set("here", "raise")
    assert trap.reached("elsewhere") is None
    with ThreadPoolExecutor(8) as pool:
        actions = list(pool.map(lambda _: trap.reached("here"), range(100)))
    assert actions.count("raise") == 1
    assert not trap.is_set


def test_a_lasting_trap_springs_until_it_is_cleared(tmp_path: Path) -> None:
    trap = Trap(tmp_path / "trap")
    trap.set("here", "raise always")
    assert [trap.reached("here") for _ in range(2)] == ["raise always"] * 2
    trap.clear()
    assert trap.reached("here") is None


def test_figures_are_written_as_json(tmp_path: Path) -> None:
    report = Report(7, [Cycle(n, "a fault", 1.0, float(n), 2.0 * n, 3.0 * n, twice=0) for n in range(3)])
    report.write(tmp_path / "report.json", {"brokers": 3})
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["faults"] == [
        {
            "fault": "a fault",
            "times": 3,
            "recovery_median_s": 1.0,
            "recovery_worst_s": 2.0,
            "silence_median_s": 2.0,
            "silence_worst_s": 4.0,
            "stall_median_s": 3.0,
            "stall_worst_s": 6.0,
        }
    ]
    assert (written["seed"], written["setup"], written["is_over"]) == (7, {"brokers": 3}, False)


@pytest.mark.skipif(not kcat_installed(), reason="needs kcat")
def test_kcat_counts_every_answer(clean: World) -> None:
    config = clean.config
    record, value = sound_preference(clean)
    before = places_by_kcat(config.bootstrap_servers, config.preferences_topic)
    write(clean, config.preferences_topic, record)
    source = value["source"]
    more = places_by_kcat(config.bootstrap_servers, config.preferences_topic) - before
    assert more == {(source["partition"], source["offset"]): 1}


@pytest.mark.parametrize("kcat", [None, []])
def test_a_second_client_that_counts_otherwise_spoils_a_verdict(kcat: list[Place] | None) -> None:
    assert Verdict(inputs=1, kcat=kcat).is_clean
    assert not Verdict(inputs=1, kcat=[(0, 7)]).is_clean


def test_nothing_read_is_nothing_proven() -> None:
    assert not Verdict().is_clean


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("brokers", [0, 3])
def test_two_hundred_faults(brokers: int, tmp_path: Path, seeded: random.Random) -> None:
    """With three brokers of Apache Kafka these are struck, too; 0 is the embedded one."""
    seed = seed_of(seeded)
    cycles = int(os.environ.get("PREFSTREAM_TEST_CYCLES", "200"))
    with ExitStack() as stack:
        if brokers:
            home = kafka_home() or pytest.skip(NO_APACHE)
            cluster = stack.enter_context(KafkaCluster(home, tmp_path / "kafka", brokers=brokers))
            world = World(cluster.bootstrap_servers, tmp_path, processes=3, partitions=6, cluster=cluster)
        else:
            embedded = stack.enter_context(EmbeddedBroker())
            world = World(embedded.bootstrap_servers, tmp_path, processes=3, partitions=6, embedded=embedded)
        stack.enter_context(world)
        faults = plan(seed, cycles, brokers=brokers, embedded=not brokers)
        report = run_chaos(world, faults, seed=seed, battles=250 * cycles)
    assert_nothing_lost(report)
