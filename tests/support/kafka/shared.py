"""One broker of Apache Kafka for all processes of a test session: the first that asks starts it, the last stops it.

pytest-xdist gives each worker session fixtures of its own, and a broker is a Java process that takes seconds of both
cores to start. Here it belongs to a keeper, a process beside the workers. Each user holds a shared lock on a file; the
keeper waits for the exclusive one, which the kernel grants when the last user has let go, killed or not.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from filelock import FileLock

from tests.support.kafka.cluster import START_S, KafkaCluster, kafka_home

_START_LOCK: Final = "start.lock"
_USERS: Final = "users"
_ADDRESS: Final = "address"


@contextmanager
def shared_broker(folder: Path) -> Iterator[str]:
    """Use the session's broker.

    Args:
        folder: the same for all processes of the session; made if it is not there.

    Yields:
        Its bootstrap servers.

    Raises:
        subprocess.CalledProcessError: the broker did not start; `keeper.log` in the folder says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / _ADDRESS
    with folder.joinpath(_USERS).open("ab") as users:
        with FileLock(folder / _START_LOCK):
            fcntl.flock(users, fcntl.LOCK_SH)
            if not address.exists():
                _start_keeper(folder)
        yield address.read_text(encoding="utf-8")


def _start_keeper(folder: Path) -> None:
    """Returns when the broker answers."""
    with folder.joinpath("keeper.log").open("ab") as log:
        subprocess.run(
            [sys.executable, "-m", __name__, str(folder)],
            cwd=Path(__file__).parents[3],
            # It outlives the measurement of coverage.
            env={name: text for name, text in os.environ.items() if not name.startswith("COV")},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
            timeout=2 * START_S,
        )


def _keep(folder: Path) -> None:
    """Be the keeper; the process that was started ends when the broker answers, and this one goes on behind it."""
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        sys.exit(0 if os.read(reader, 1) else 1)
    os.setsid()  # Ctrl-C ends the users, and by that the broker
    home = kafka_home()
    assert home is not None
    number = len(list(folder.glob("broker-*")))
    with folder.joinpath(_USERS).open("ab") as users, KafkaCluster(home, folder / f"broker-{number}") as cluster:
        folder.joinpath(_ADDRESS).write_text(cluster.bootstrap_servers, encoding="utf-8")
        os.write(writer, b".")
        os.close(writer)
        fcntl.flock(users, fcntl.LOCK_EX)
        folder.joinpath(_ADDRESS).unlink()
        # Held until the broker is gone: whoever comes now starts one of its own.


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
