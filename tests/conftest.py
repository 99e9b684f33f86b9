"""Fixtures for every test: a broker to talk to, and topics of one's own on it."""

from __future__ import annotations

import gc
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.process.garbage import collect_rarely
from tests.support.kafka.cluster import ENV_HOME, kafka_home
from tests.support.kafka.container import KAFKA_IMAGE, docker_answers, start_container
from tests.support.kafka.shared import shared_broker
from tests.support.streams import fresh_config

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.browser import Tabs

# Before torch is imported: tiny models lose more to threads that wait for each other than they gain (5x, measured).
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What somebody set for their own stream is none of the tests'; where models are kept, and what is of tests, is.
for _name in [name for name in os.environ if name.startswith("PREFSTREAM_")]:
    if _name != "PREFSTREAM_CACHE_DIR" and not _name.startswith("PREFSTREAM_TEST_"):
        del os.environ[_name]
# Commands that tests run inside this process must not start it again.
os.environ["PREFSTREAM_NO_REEXEC"] = "1"

# Of the hundreds of processes that tests start, each would compile all our modules where no bytecode may be kept.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes on a busy machine says nothing about the code; each test has its time-out.
hypothesis.settings.register_profile(
    "prefstream", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow], print_blob=True
)
hypothesis.settings.load_profile("prefstream")

# As our commands do: left as it is, the collector looks through torch and ten thousand tests again and again.
collect_rarely()

ENV_BOOTSTRAP = "PREFSTREAM_TEST_BOOTSTRAP"
EMBEDDED = "embedded"
APACHE = "apache"
NO_APACHE = (
    f"Kafka tests on Apache Kafka were skipped: name an unpacked one by {ENV_HOME} (needs Java 17), or start Docker"
)
_BROKERS = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True)
class Kafka:
    """A broker that tests share."""

    bootstrap_servers: str
    name: str
    min_session_timeout_ms: int = 6_000  # Apache Kafka's default


@pytest.fixture(scope="session")
def embedded_kafka() -> Iterator[Kafka]:
    """The embedded broker, one for each of xdist's workers."""
    with EmbeddedBroker() as broker:
        yield Kafka(broker.bootstrap_servers, "the embedded broker", min_session_timeout_ms=500)


@pytest.fixture(scope="session")
def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka | None]:
    """Apache Kafka, one for all of xdist's workers; None where there is none."""
    with ExitStack() as stack:
        yield _start_apache(stack, session_folder(tmp_path_factory))


@pytest.fixture(params=[EMBEDDED, APACHE])
def kafka(request: pytest.FixtureRequest) -> Kafka:
    """Each test that asks for a broker runs on the embedded one, and on Apache Kafka."""
    chosen: Kafka | None = request.getfixturevalue(f"{request.param}_kafka")
    request.config.stash[_BROKERS][request.param] = chosen.name if chosen else NO_APACHE
    if chosen is None:
        pytest.skip(NO_APACHE)
    return chosen


def session_folder(folders: pytest.TempPathFactory) -> Path:
    """The temporary folder that all of xdist's workers share; each has its own one inside it."""
    base = folders.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def _start_apache(stack: ExitStack, folder: Path) -> Kafka | None:
    """The cluster that PREFSTREAM_TEST_BOOTSTRAP names, else one from KAFKA_HOME, else one in a container."""
    if servers := os.environ.get(ENV_BOOTSTRAP):
        return Kafka(servers, f"the cluster at {servers}")
    if kafka_home():
        servers = stack.enter_context(shared_broker(folder / "kafka"))
        return Kafka(servers, f"Apache Kafka of {ENV_HOME}")
    if docker_answers() and (address := start_container(stack)):
        return Kafka(address, f"{KAFKA_IMAGE} in a container")
    return None


@pytest.fixture
def stream_config(kafka: Kafka) -> Callable[..., StreamConfig]:
    """Makes a configuration with fresh topics (4 partitions each) and a fresh group; keyword arguments override."""

    def make(*, partitions: int = 4, **settings: Any) -> StreamConfig:
        return fresh_config(kafka.bootstrap_servers, partitions=partitions, **{"drain_seconds": 10.0, **settings})

    return make


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, one for a file of tests; skips them where there is none."""
    from tests.support.browser import launched

    with launched() as browser:
        yield browser


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    """Opens pages; the test fails where one of them does what none may."""
    from tests.support.browser import Tabs

    with Tabs(browser) as tabs:
        yield tabs


@pytest.fixture(scope="session")
def node_programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TypeScript's compiler and its like, installed once for all of xdist's workers; skips where there is no npm."""
    from tests.support.npm import installed

    return installed(session_folder(tmp_path_factory) / "npm")


@pytest.fixture(autouse=True)
def _logging_ends_with_its_test() -> Iterator[None]:
    """Commands that ran in this process have set up logging; threads of their clients may go on talking for a while."""
    yield
    root = logging.getLogger()
    for handler in [
        handler for handler in root.handlers if type(handler).__module__ == "prefstream.consumer.observe.logs"
    ]:
        root.removeHandler(handler)


@pytest.fixture
def seeded() -> random.Random:
    """A random generator whose seed is printed, and can be set with PREFSTREAM_TEST_SEED."""
    seed = int(os.environ.get("PREFSTREAM_TEST_SEED") or random.SystemRandom().randrange(2**32))
    print(f"PREFSTREAM_TEST_SEED={seed}")  # noqa: T201 - shown by pytest when the test fails
    return random.Random(seed)


def pytest_configure(config: pytest.Config) -> None:
    """Keep which brokers the tests talk to, for the closing lines."""
    config.stash[_BROKERS] = {}


def pytest_collection_finish() -> None:
    """What was imported and collected is there to stay: the garbage collector need not look through it."""
    gc.freeze()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of xdist tells the process that started it which brokers its tests talked to."""
    if (told := getattr(session.config, "workeroutput", None)) is not None:
        told["brokers"] = session.config.stash[_BROKERS]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear what a worker of xdist has told; one that crashed has told nothing."""
    node.config.stash[_BROKERS].update(getattr(node, "workeroutput", {}).get("brokers", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which brokers the Kafka tests talked to."""
    for name in config.stash[_BROKERS].values():
        terminalreporter.write_line(f"Kafka tests ran against {name}" if name != NO_APACHE else NO_APACHE)
