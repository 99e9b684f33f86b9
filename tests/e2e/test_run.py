"""`prefstream run` as a process: signals, exit codes, HTTP, and SIGKILL at random moments.

The kill tests run scaled down. In full size, with tiny real models, ten kills, 2,000 battles and 200 malformed events:
`PREFSTREAM_TEST_FULL_SIZE=1 pytest tests/e2e/test_run.py -k "undisturbed or killed"`.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka import KafkaProducer

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.instance import transactional_id
from prefstream.consumer.client.topics import create_topics
from prefstream.consumer.client.watchdog import EXIT_STALLED
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.early_signals import EXIT_INTERRUPTED
from tests.support.models import make_tiny_panel
from tests.support.priors import write_prior_panel
from tests.support.processes import ANNOUNCES_SCORING, PREFSTREAM, Prefstream, broker_process, prefstream, run_arguments
from tests.support.streams import (
    WAIT_S,
    Position,
    assert_exactly_once,
    battle_events,
    committed_offsets,
    end_offsets,
    malformed_events,
    produce,
    visible_count,
    wait_until,
)

MakeConfig = Callable[..., StreamConfig]

ANNOUNCING = ANNOUNCES_SCORING + PREFSTREAM

FULL_SIZE = os.environ.get("PREFSTREAM_TEST_FULL_SIZE", "0") not in {"", "0"}


@dataclass(frozen=True)
class Size:
    """How much work there is, and how often it is interrupted."""

    battles: int
    malformed: int
    kills: int


SIZE = Size(2_000, 200, 10) if FULL_SIZE else Size(450, 50, 4)


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=100) as answer:  # noqa: S310 - our own port
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stderr.log"


def test_sigterm_drains_and_exits_with_0(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    """What was read is published, and the group is left at the end of the topic."""
    config = stream_config(partitions=1)
    sent = produce(config, battle_events(5))
    panel = write_prior_panel(tmp_path, seconds_per_batch=1.0)
    with prefstream(*run_arguments(config, panel, max_batch_battles=5), log=log, program=ANNOUNCING) as run:
        run.wait_scoring()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert_exactly_once(config, sent)
    assert committed_offsets(config, 1) == end_offsets(config, 1)


def test_a_drain_that_takes_too_long_is_given_up_with_0(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    """A forward pass can't be interrupted: the process ends without waiting for it, and nothing is lost."""
    config = stream_config(partitions=1)
    produce(config, battle_events(5))
    panel = write_prior_panel(tmp_path, seconds_per_batch=600.0)
    with prefstream(*run_arguments(config, panel, drain_seconds=0.5), log=log, program=ANNOUNCING) as run:
        run.wait_scoring()
        run.signal(signal.SIGINT)
        assert run.wait() == 0
        assert run.log_events("gave up batches in flight, they will be scored again")
    assert committed_offsets(config, 1)[0] in {None, 0}  # its start, at most


def test_a_second_signal_ends_the_process_at_once(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    config = stream_config(partitions=1)
    produce(config, battle_events(5))
    panel = write_prior_panel(tmp_path, seconds_per_batch=600.0)
    with prefstream(*run_arguments(config, panel, drain_seconds=600), log=log, program=ANNOUNCING) as run:
        run.wait_scoring()
        run.signal(signal.SIGTERM)
        stopping = "stopping, batches in flight are finished or given up"
        wait_until(lambda: bool(run.log_events(stopping)), what="the first signal to be heard")
        assert not run.ended
        run.signal(signal.SIGINT)
        assert run.wait() == EXIT_INTERRUPTED
        [line] = run.log_events("stopped at once, batches in flight will be scored again")
        assert line["signal"] == "SIGINT"
    assert committed_offsets(config, 1)[0] in {None, 0}  # its start, at most


def test_a_signal_while_judges_are_loaded_ends_the_process(
    stream_config: MakeConfig, tmp_path: Path, log: Path
) -> None:
    """Nothing is in flight then, and loading may take minutes: here it waits for a calibration that nobody writes."""
    config = stream_config()
    panel = write_prior_panel(tmp_path, calibration="calibration.json")
    os.mkfifo(tmp_path / "calibration.json")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with prefstream(*run_arguments(config, panel, http_port=port), log=log) as run:

        def loading() -> bool:
            try:
                return "loading judges" in get(f"http://127.0.0.1:{port}/readyz")[1]
            except OSError:
                assert not run.ended, run.log
                return False

        wait_until(loading, 60, "the loading of judges")
        run.signal(signal.SIGINT)
        assert run.wait() == 0
        assert run.log_events("stopped while it started, nothing was begun")
        assert not run.log_events("streaming")


def test_a_panel_that_comes_through_a_pipe_is_read_once(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    """As a shell's `<(...)` gives it."""
    written = write_prior_panel(tmp_path).read_text()
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with prefstream(*run_arguments(stream_config(), pipe), log=log) as run:
        pipe.write_text(written)
        run.wait_streaming()
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_the_http_port_answers_probes_and_metrics(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    """Port 0 picks a free one and the log says which."""
    config = stream_config()
    produce(config, [*battle_events(20), b"zqprompt, no JSON"])
    with prefstream(*run_arguments(config, write_prior_panel(tmp_path), http_port=0), log=log) as run:
        url = run.wait_streaming()["http"]
        wait_until(lambda: run.published >= 21)
        assert get(f"{url}/livez")[0] == 200
        assert get(f"{url}/readyz")[0] == 200
        status, metrics = get(f"{url}/metrics")
        assert status == 200
        assert "prefstream_ready 1.0" in metrics
        assert 'prefstream_judge_faults_total{judge="prior"} 0.0' in metrics
        assert "prefstream_preferences_published_total 20.0" in metrics
        assert 'prefstream_dead_letters_total{reason="not_json"} 1.0' in metrics


def test_an_occupied_http_port_is_fatal(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    config = stream_config()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with prefstream(*run_arguments(config, write_prior_panel(tmp_path), http_port=port), log=log) as run:
            assert run.wait() == 2
            assert str(port) in run.log


def test_wrong_settings_exit_with_2_and_one_line(tmp_path: Path, log: Path) -> None:
    """Login without a password: the message names the variable to set."""
    with prefstream("run", "--security-protocol", "SASL_SSL", "--sasl-mechanism", "PLAIN", log=log) as run:
        assert run.wait() == 2
        assert "PREFSTREAM_SASL_PASSWORD" in run.log
        assert "Traceback" not in run.log


def test_a_missing_topic_exits_with_1_and_names_it(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    config = stream_config().model_copy(update={"battles_topic": "no-such-topic"})
    with prefstream(*run_arguments(config, write_prior_panel(tmp_path)), log=log) as run:
        assert run.wait() == 1
        assert "no-such-topic" in run.log
        assert "Traceback" not in run.log


def test_logs_hold_nothing_of_the_battles_even_at_debug(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    """Every field of every event holds a marker; `prefstream` looks for them in what the process wrote."""
    config = stream_config()
    bad = malformed_events(22)
    produce(config, [*battle_events(50), *(value for value, _ in bad)], headers=[("zqheader", b"zqheader")])
    with prefstream(*run_arguments(config, write_prior_panel(tmp_path), log_level="debug"), log=log) as run:
        run.wait_streaming()
        wait_until(lambda: run.published >= 72)
        run.signal(signal.SIGTERM)
        assert run.wait() == 0


def test_a_fenced_process_exits_with_1(tmp_path: Path, log: Path) -> None:
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, 1)
        panel = write_prior_panel(tmp_path)
        with prefstream(*run_arguments(config, panel, instance_id="one"), log=log) as run:
            run.wait_streaming()
            produce(config, battle_events(1))
            wait_until(lambda: run.published >= 1)
            with closing(
                KafkaProducer(
                    bootstrap_servers=broker.bootstrap_servers,
                    transactional_id=transactional_id(config.group_id, "one"),
                )
            ) as usurper:
                usurper.init_transactions()
            produce(config, battle_events(1, first=1))
            assert run.wait(WAIT_S) == 1


def test_a_hanging_broker_call_ends_the_process(tmp_path: Path, log: Path) -> None:
    """kafka-python would wait for ever for the commit's answer; the traceback says where it hung."""
    with EmbeddedBroker() as broker:
        config = StreamConfig.load(bootstrap_servers=broker.bootstrap_servers)
        create_topics(config, 1)
        sent = produce(config, battle_events(1))
        panel = write_prior_panel(tmp_path)
        member = {"instance_id": "one", "session_timeout_ms": 2_000}
        broker.faults.delay("EndTxn", seconds=60)
        with prefstream(*run_arguments(config, panel, broker_timeout_s=6, **member), log=log) as run:
            assert run.wait(WAIT_S) == EXIT_STALLED
            assert "commit_transaction" in run.log
        with prefstream(*run_arguments(config, panel, **member), log=log) as run:
            run.wait_streaming()
            wait_until(lambda: run.published >= 1)
        assert_exactly_once(config, sent)


def test_a_hanging_forward_pass_ends_the_process(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    config = stream_config(partitions=1)
    produce(config, battle_events(1))
    panel = write_prior_panel(tmp_path, seconds_per_batch=600.0)
    with prefstream(*run_arguments(config, panel, score_timeout_s=1), log=log) as run:
        assert run.wait(WAIT_S) == EXIT_STALLED
    assert committed_offsets(config, 1)[0] in {None, 0}  # its start, at most


@pytest.fixture
def panel(tmp_path: Path) -> Path:
    return make_tiny_panel(tmp_path) if FULL_SIZE else write_prior_panel(tmp_path, seconds_per_batch=0.1)


@pytest.fixture
def own_config(tmp_path: Path) -> Iterator[StreamConfig]:
    """A broker in a process of its own, with 4 partitions of battles."""
    with broker_process(tmp_path / "broker.log") as address:
        config = StreamConfig.load(bootstrap_servers=address)
        create_topics(config, 4)
        yield config


@pytest.fixture
def events(seeded: random.Random) -> list[bytes | None]:
    """Valid and malformed, in any order."""
    events = [*battle_events(SIZE.battles), *(value for value, _ in malformed_events(SIZE.malformed))]
    seeded.shuffle(events)
    return events


@pytest.fixture
def workload(
    own_config: StreamConfig, panel: Path, events: list[bytes | None]
) -> tuple[StreamConfig, Path, list[Position]]:
    """The events on the topic, and a panel to score them."""
    return own_config, panel, produce(own_config, events)


def assert_undisturbed(config: StreamConfig, sent: list[Position]) -> None:
    """The result is that of a run that nobody killed."""
    outcome = assert_exactly_once(config, sent)
    assert len(outcome.preferences) == SIZE.battles
    assert len(outcome.dead_letters) == SIZE.malformed
    assert len({preference.id for preference in outcome.preferences}) == SIZE.battles
    assert committed_offsets(config) == end_offsets(config)


def kill_at_random(run: Prefstream, progress: int, seeded: random.Random) -> None:
    """SIGKILL once so many records are out, and a moment that takes the kill to any place of a batch's way."""
    wait_until(lambda: run.published >= progress or run.ended, 120, f"{progress} records")
    assert not run.ended, run.log
    time.sleep(seeded.uniform(0, 0.15))
    run.kill()


@pytest.mark.timeout(900 if FULL_SIZE else 120)
def test_undisturbed_every_event_has_exactly_one_answer(
    workload: tuple[StreamConfig, Path, list[Position]], log: Path
) -> None:
    config, panel, sent = workload
    with prefstream(*run_arguments(config, panel), log=log) as run:
        wait_until(lambda: visible_count(config) >= len(sent), 300, "every record")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert_undisturbed(config, sent)


@pytest.mark.timeout(900 if FULL_SIZE else 120)
def test_killed_at_random_moments_and_restarted_nothing_is_lost_or_doubled(
    workload: tuple[StreamConfig, Path, list[Position]], log: Path, seeded: random.Random
) -> None:
    """A supervisor would do the same: each process goes on where readers saw the one before end."""
    config, panel, sent = workload
    arguments = run_arguments(config, panel, max_batch_battles=16, session_timeout_ms=2_000, instance_id="one")
    share = len(sent) // (2 * SIZE.kills + 2)
    for _ in range(SIZE.kills):
        with prefstream(*arguments, log=log) as run:
            run.wait_streaming()
            kill_at_random(run, seeded.randint(0, share), seeded)
    assert visible_count(config) < len(sent), "every kill was to happen during the work"
    with prefstream(*arguments, log=log) as run:
        run.wait_streaming()
        wait_until(lambda: visible_count(config) >= len(sent), 300, "every record")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    assert_undisturbed(config, sent)


@pytest.mark.timeout(900 if FULL_SIZE else 120)
def test_two_processes_of_one_group_of_which_one_is_killed_and_restarted(
    own_config: StreamConfig, panel: Path, events: list[bytes | None], tmp_path: Path, seeded: random.Random
) -> None:
    """Its partitions go to the other one and come back; each record is seen once."""
    config = own_config
    one, two = (
        run_arguments(config, panel, max_batch_battles=16, session_timeout_ms=2_000, instance_id=name)
        for name in ("one", "two")
    )
    with ExitStack() as stack:
        first = stack.enter_context(prefstream(*one, log=tmp_path / "one.log"))
        second = stack.enter_context(prefstream(*two, log=tmp_path / "two.log"))
        # Before there is anything to do: the first would be done with it before the second has joined.
        wait_until(lambda: all(run.log_events("partitions assigned") for run in (first, second)), what="both to join")
        sent = produce(config, events)
        wait_until(lambda: first.published and second.published, what="both to publish")
        kill_at_random(second, second.published + 16, seeded)
        assert visible_count(config) < len(sent), "the kill was to happen during the work"
        again = stack.enter_context(prefstream(*two, log=tmp_path / "two.log"))
        again.wait_streaming()
        wait_until(lambda: visible_count(config) >= len(sent), 300, "every record")
        for run in (first, again):
            run.signal(signal.SIGTERM)
            assert run.wait() == 0
    assert_undisturbed(config, sent)


def test_a_killed_process_and_its_successor_have_one_name(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    """The host's and a slot that the kernel gives back: so the successor can end what the other one left open."""
    config = stream_config(partitions=1)
    names = []
    for _ in range(2):
        with prefstream(*run_arguments(config, write_prior_panel(tmp_path)), log=log) as run:
            names.append(run.wait_streaming()["instance"])
    assert names[0] == names[1]
