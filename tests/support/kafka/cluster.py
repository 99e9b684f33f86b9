"""Apache Kafka in processes of its own: a KRaft cluster of one broker or three, to be killed, paused and restarted."""

from __future__ import annotations

import base64
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

ENV_HOME: Final = "KAFKA_HOME"

START_S: Final = 150.0
"""Three brokers answer within 7 s on two idle cores; the rest is for a machine with other things to do."""

STOP_S: Final = 40.0
"""A controlled shutdown of all brokers at once takes up to half a minute: each looks for a new leader."""

INTERNAL_PARTITIONS: Final = 4
"""Of the offsets and the transactions topic: 50 each, the default, take seconds to be created."""

_JAVA: Final = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""A small heap and a quick start: these brokers live for minutes."""


def kafka_home() -> Path | None:
    """The folder of an unpacked Kafka that KAFKA_HOME names; None where it names none, or there is no Java."""
    home = os.environ.get(ENV_HOME)
    if not home or shutil.which("java") is None:
        return None
    path = Path(home)
    return path if any(path.joinpath("libs").glob("kafka-clients-*.jar")) else None


def java(home: Path) -> list[str]:
    """The command that runs a class of an unpacked Kafka, up to its name."""
    return ["java", *_JAVA, "-cp", f"{home / 'libs'}/*"]


class KafkaBroker:
    """One broker, which is a controller as well.

    Args:
        home: the unpacked Kafka.
        folder: of its data, properties and log; empty at first.
        properties: its settings.

    Attributes:
        folder: as given.
    """

    def __init__(self, home: Path, folder: Path, properties: Mapping[str, object]) -> None:
        self.folder = folder
        self._home = home
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self._properties = folder / "server.properties"
        lines = {**properties, "log.dirs": folder / "data"}
        self._properties.write_text("".join(f"{name}={text}\n" for name, text in lines.items()))

    def format(self, cluster_id: str, scram_users: Mapping[str, str]) -> None:
        """Make the data folder.

        Args:
            cluster_id: the same for all brokers.
            scram_users: name to password, of users who log in by SCRAM-SHA-512.
        """
        users = [
            part
            for name, password in scram_users.items()
            for part in ("--add-scram", f"SCRAM-SHA-512=[name={name},password={password}]")
        ]
        tool = "kafka.tools.StorageTool"
        subprocess.run(
            [*java(self._home), tool, "format", "-t", cluster_id, "-c", str(self._properties), *users],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=START_S,
        )

    @property
    def alive(self) -> bool:
        """Whether its process runs, or is paused."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; clients must wait until it answers."""
        if self.alive:
            return
        with self.folder.joinpath("broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*java(self._home), "kafka.Kafka", str(self._properties)], stdout=log, stderr=log
            )

    def stop(self) -> None:
        """Let it shut down in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """The honest crash."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: its connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen one go on."""
        self._signal(signal.SIGCONT)

    def fill_disk(self) -> None:
        """No file of its may grow any more until it is started again, as on a full disk; needs no rights."""
        assert self._process is not None
        _, most = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (1, most))

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self._signal(number)
        if self._process is None:
            return
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class KafkaCluster:
    """Brokers 1 to n, on free ports of this machine. Use it as a context manager.

    Args:
        home: the unpacked Kafka.
        folder: for data, properties and logs of all brokers.
        brokers: how many: 1, or 3 that replicate everything and need two for a write.
        protocol: security protocol of the listener for clients, whose settings start with `listener.name.client`.
        listeners: further listeners for clients: name (capital letters) to security protocol; their settings start
            with `listener.name.` and the name in small letters.
        scram_users: name to password, of users who log in by SCRAM-SHA-512.
        settings: further properties, which win.
    """

    def __init__(
        self,
        home: Path,
        folder: Path,
        *,
        brokers: int = 1,
        protocol: str = "PLAINTEXT",
        listeners: Mapping[str, str] | None = None,
        scram_users: Mapping[str, str] | None = None,
        settings: Mapping[str, object] | None = None,
    ) -> None:
        protocols = {_CLIENT: protocol, **(listeners or {}), _INTERNAL: "PLAINTEXT", _CONTROLLER: "PLAINTEXT"}
        free = iter(_free_ports(len(protocols) * brokers))
        self._ports = {number: dict(zip(protocols, free, strict=False)) for number in range(1, brokers + 1)}
        self._scram_users = dict(scram_users or {})
        common = _properties(self._ports, protocols) | (_REPLICATED if brokers > 1 else _SINGLE) | dict(settings or {})
        self.brokers = {
            number: KafkaBroker(home, folder / f"broker-{number}", common | _own_properties(number, ports))
            for number, ports in self._ports.items()
        }

    @property
    def bootstrap_servers(self) -> str:
        """Addresses of the listener for clients."""
        return self.servers(_CLIENT)

    @property
    def internal_servers(self) -> str:
        """Addresses of the listener between brokers: plain, without login, and that of a super user."""
        return self.servers(_INTERNAL)

    def servers(self, listener: str) -> str:
        """Addresses of a listener."""
        return ",".join(f"127.0.0.1:{ports[listener]}" for ports in self._ports.values())

    def start(self) -> None:
        """Make the data folders and start all brokers; returns when the cluster can create topics."""
        # The tool would take a leading hyphen for an option.
        cluster_id = "K" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(lambda broker: broker.format(cluster_id, self._scram_users), self.brokers.values()))
        for broker in self.brokers.values():
            broker.start()
        self.wait_ready()

    def stop(self) -> None:
        """End all brokers. At once: nobody needs their data any more."""
        for broker in self.brokers.values():
            broker.kill()

    def wait_ready(self) -> None:
        """Wait until `is_ready`.

        Raises:
            TimeoutError: `START_S` were not enough, or no broker lives.
        """
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            dead = [number for number, broker in self.brokers.items() if not broker.alive]
            if time.monotonic() > deadline or len(dead) == len(self.brokers):
                raise TimeoutError(f"the cluster is not ready; dead: {dead}; {self._last_words()}")
            time.sleep(0.2)

    def is_ready(self) -> bool:
        """Whether as many brokers answer as are alive, and every partition has a leader."""
        alive = sum(broker.alive for broker in self.brokers.values())
        try:
            with closing(self._admin()) as admin:
                if len(admin.describe_cluster()["brokers"]) != alive:
                    return False
                topics = admin.describe_topics()
        except KafkaError:
            return False
        return all(part["leader_id"] >= 0 for topic in topics for part in topic["partitions"])

    def leader(self, topic: str, partition: int) -> int:
        """Number of the broker that leads a partition.

        Args:
            topic: of the partition.
            partition: its number.
        """
        with closing(self._admin()) as admin:
            (described,) = admin.describe_topics([topic])
        (found,) = (part for part in described["partitions"] if part["partition_index"] == partition)
        return int(found["leader_id"])

    def coordinator(self, *, group_id: str | None = None, transactional_id: str | None = None) -> int:
        """Number of the broker that coordinates a group, or the transactions of an id."""
        if group_id is not None:
            return self.leader("__consumer_offsets", _internal_partition(group_id))
        if transactional_id is not None:
            return self.leader("__transaction_state", _internal_partition(transactional_id))
        raise ValueError("of which group, or of which transactional id?")

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(self.stop)
            self.start()
            stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.internal_servers.split(","), bootstrap_timeout_ms=5_000)

    def _last_words(self) -> str:
        logs = [broker.folder / "broker.log" for broker in self.brokers.values()]
        return "\n".join(log.read_text()[-2_000:] for log in logs if log.exists())


_CLIENT: Final = "CLIENT"
_INTERNAL: Final = "INTERNAL"
_CONTROLLER: Final = "CONTROLLER"

_SINGLE: Final[dict[str, object]] = {
    "offsets.topic.replication.factor": 1,
    "transaction.state.log.replication.factor": 1,
    "transaction.state.log.min.isr": 1,
}

_REPLICATED: Final[dict[str, object]] = {
    "default.replication.factor": 3,
    "min.insync.replicas": 2,
    "auto.create.topics.enable": "false",  # as most who run three brokers have it
}


def _properties(ports: Mapping[int, Mapping[str, int]], protocols: Mapping[str, str]) -> dict[str, object]:
    """What all brokers have in common."""
    return {
        "process.roles": "broker,controller",
        "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{own[_CONTROLLER]}" for n, own in ports.items()),
        "controller.listener.names": _CONTROLLER,
        "inter.broker.listener.name": _INTERNAL,
        "listener.security.protocol.map": ",".join(f"{name}:{protocol}" for name, protocol in protocols.items()),
        "offsets.topic.num.partitions": INTERNAL_PARTITIONS,
        "transaction.state.log.num.partitions": INTERNAL_PARTITIONS,
        "group.initial.rebalance.delay.ms": 0,
        # Transactions that time out are looked for this often; the default of 10 s would be most of a test.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1_000,
    }


def _own_properties(number: int, ports: Mapping[str, int]) -> dict[str, object]:
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    return {"node.id": number, "listeners": listeners}


def _internal_partition(name: str) -> int:
    """The partition of an internal topic that holds a group or a transactional id: Java's hash of its name."""
    code = 0
    for letter in name:
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    return (code & 0x7FFFFFFF) % INTERNAL_PARTITIONS


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, held together until all are found, so that none comes twice.

    They are below those that the kernel gives to clients: a broker that is killed finds its own free again.
    """
    with ExitStack() as stack:
        ports: list[int] = []
        while len(ports) < count:
            port = random.SystemRandom().randrange(20_000, 32_000)
            with suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.append(port)
        return ports
