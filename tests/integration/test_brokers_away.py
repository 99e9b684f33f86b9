"""The only broker is away whatever a process does: it says so, waits, and goes on or ends as promised."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pytest

from prefstream.consumer.client.watchdog import EXIT_STALLED
from prefstream.consumer.config import StreamConfig
from tests.conftest import NO_APACHE
from tests.support.kafka.cluster import KafkaCluster, kafka_home
from tests.support.priors import write_prior_panel
from tests.support.processes import Prefstream, prefstream, run_arguments
from tests.support.streams import assert_exactly_once, battle_events, fresh_config, produce, visible_count, wait_until


class Broker(Protocol):
    """The only one."""

    @property
    def address(self) -> str:
        """HOST:PORT."""

    def kill(self) -> None:
        """End it, as a machine does that loses its power."""


class Embedded:
    """The embedded one, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self.address = f"127.0.0.1:{port}"
        self.process = Prefstream("broker", "--port", str(port), log=folder / "broker.log")
        assert self.process.process.stdout
        self.process.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()


class Apache:
    """Apache Kafka, which remembers what it had."""

    def __init__(self, cluster: KafkaCluster) -> None:
        self.address = cluster.bootstrap_servers
        self.cluster = cluster
        (self.broker,) = cluster.brokers.values()

    def kill(self) -> None:
        self.broker.kill()

    def start(self) -> None:
        self.broker.start()
        self.cluster.wait_ready()

    def freeze(self) -> None:
        self.broker.pause()

    def thaw(self) -> None:
        self.broker.resume()


@pytest.fixture
def apache(tmp_path: Path) -> Iterator[Apache]:
    home = kafka_home()
    if home is None:
        pytest.skip(NO_APACHE)
    with KafkaCluster(home, tmp_path / "kafka") as cluster:
        yield Apache(cluster)


@pytest.fixture(params=["embedded", "apache"])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "apache":
        yield request.getfixturevalue("apache")
        return
    embedded = Embedded(tmp_path)
    yield embedded
    embedded.kill()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=100) as answer:  # noqa: S310 - our own port
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def readiness(url: str) -> tuple[int, str]:
    status, body = get(f"{url}/readyz")
    return status, json.loads(body).get("reason", "")


def lags(url: str) -> list[str]:
    return [
        line for line in get(f"{url}/metrics")[1].splitlines() if line.startswith("prefstream_consumer_lag_records{")
    ]


def told(run: Prefstream) -> list[str]:
    """The events of its log, in turn."""
    return [json.loads(line)["event"] for line in run.log.splitlines()]


def lines_of_libraries(run: Prefstream) -> list[str]:
    """What stands in the log beside our own lines."""
    return [line for line in run.log.splitlines() if json.loads(line)["logger"].partition(".")[0] != "prefstream"]


@contextmanager
def idle(broker: Broker, tmp_path: Path, **settings: Any) -> Iterator[tuple[Prefstream, str, Callable[[int], None]]]:
    """A process that has answered ten battles, and waits for more; its address, and what sends it more."""
    config = fresh_config(broker.address, partitions=2)
    sent = produce(config, battle_events(10))

    def send(count: int) -> None:
        sent.extend(produce(config, battle_events(count, first=len(sent))))
        wait_until(lambda: visible_count(config) >= len(sent), what="the answers")
        assert_exactly_once(config, sent)

    settings = {"http_port": 0, "log_level": "info", **settings}
    arguments = run_arguments(config, write_prior_panel(tmp_path), **settings)
    with prefstream(*arguments, log=tmp_path / "log") as run:
        url = run.wait_streaming()["http"]
        wait_until(lambda: visible_count(config) == len(sent), what="the answers")
        wait_until(lambda: readiness(url)[0] == 200 and len(lags(url)) == 2, what="readiness")
        yield run, url, send


def test_an_idle_process_is_not_ready_knows_no_lag_and_ends(broker: Broker, tmp_path: Path) -> None:
    with idle(broker, tmp_path, broker_timeout_s=20.0) as (run, url, _):
        broker.kill()
        wait_until(lambda: readiness(url)[0] == 503, what="the end of readiness")
        _, reason = readiness(url)
        assert reason.startswith(f"no broker at {broker.address} answers: nothing listens there")
        assert get(f"{url}/livez")[0] == 200
        wait_until(lambda: not lags(url), what="the end of what is not known any more")
        assert "prefstream_ready 0.0" in get(f"{url}/metrics")[1]
        assert run.wait() == 1
    assert run.failure.startswith(f"no broker at {broker.address} answers")
    [held_up] = run.log_events("held up")
    assert held_up["why"] == reason
    assert not run.log_events("going on")
    assert lines_of_libraries(run) == []


def test_a_start_says_what_it_waits_for_before_it_gives_up(tmp_path: Path) -> None:
    config = StreamConfig.load(bootstrap_servers="127.0.0.1:1")
    arguments = run_arguments(config, write_prior_panel(tmp_path), log_level="info")
    with prefstream(*arguments, log=tmp_path / "log") as run:
        assert run.wait() == 1
    assert told(run) == ["starting", "waiting for the brokers", "waited for the brokers", "stopped", "failed"]
    [waiting] = run.log_events("waiting for the brokers")
    assert waiting["call"] == "checks of the start"
    assert waiting["why"].startswith("no answer from 127.0.0.1:1: nothing listens there")


@contextmanager
def busy(broker: Broker, tmp_path: Path, **settings: Any) -> Iterator[tuple[Prefstream, str]]:
    """A process in the middle of its work: what is scored goes into a transaction, whoever is away; its address."""
    config = fresh_config(broker.address, partitions=2)
    produce(config, battle_events(2_000))
    panel = write_prior_panel(tmp_path, seconds_per_batch=0.1)
    settings = {"http_port": 0, "log_level": "info", "max_batch_battles": 5, **settings}
    with prefstream(*run_arguments(config, panel, **settings), log=tmp_path / "log") as run:
        url = run.wait_streaming()["http"]
        wait_until(lambda: visible_count(config) >= 50, what="the first answers")
        yield run, url


def test_a_process_that_waits_in_a_transaction_tells_it_too_and_its_end_names_the_brokers(
    broker: Broker, tmp_path: Path
) -> None:
    with busy(broker, tmp_path, broker_timeout_s=20.0) as (run, url):
        broker.kill()
        wait_until(lambda: readiness(url)[0] == 503, what="the end of readiness")
        told = f"no broker at {broker.address} answers: nothing listens there"
        assert readiness(url)[1].startswith(told)
        assert run.wait() in {1, EXIT_STALLED}
    last = json.loads(run.log.splitlines()[-1])
    assert told in last["message"]
    [held_up] = run.log_events("held up")
    assert held_up["why"].startswith(told)
    assert lines_of_libraries(run) == []


@pytest.mark.parametrize(("leave", "come_back"), [(Apache.kill, Apache.start), (Apache.freeze, Apache.thaw)])
def test_a_broker_that_comes_back_while_a_transaction_waits_ends_what_was_told(
    apache: Apache, tmp_path: Path, leave: Callable[[Apache], None], come_back: Callable[[Apache], None]
) -> None:
    # A broker may be slower to start than the default lasts. It would end the transaction, and so the process.
    with busy(apache, tmp_path, transaction_timeout_ms=300_000) as (run, url):
        leave(apache)
        wait_until(lambda: run.log_events("held up"), what="the line")
        come_back(apache)
        wait_until(lambda: readiness(url)[0] == 200, what="readiness")
    assert [event for event in told(run) if event in {"held up", "going on"}] == ["held up", "going on"]


@pytest.mark.parametrize(("leave", "come_back"), [(Apache.kill, Apache.start), (Apache.freeze, Apache.thaw)])
def test_a_broker_that_comes_back_is_one_line_when_it_went_and_one_when_it_is_back(
    apache: Apache, tmp_path: Path, leave: Callable[[Apache], None], come_back: Callable[[Apache], None]
) -> None:
    """One that is frozen takes connections all the same, and answers nothing on them."""
    with idle(apache, tmp_path) as (run, url, send):
        leave(apache)
        wait_until(lambda: readiness(url)[0] == 503, what="the end of readiness")
        come_back(apache)
        wait_until(lambda: readiness(url)[0] == 200, what="readiness")
        wait_until(lambda: len(lags(url)) == 2, what="the lag")
        send(5)
    assert [event for event in told(run) if event in {"held up", "going on"}] == ["held up", "going on"]
    assert lines_of_libraries(run) == []
