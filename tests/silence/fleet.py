"""Processes of one group, of any version of prefstream, and which partitions each of them has."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from prefstream.consumer.config import StreamConfig
from tests.chaos.world.reader import QUIET
from tests.support.processes import Prefstream, run_arguments
from tests.support.streams import wait_until

HERE: Final = Path(__file__).parents[2]


@dataclass(frozen=True)
class Version:
    """A checkout of prefstream.

    Attributes:
        name: for the table.
        folder: the checkout.
        python: that runs it.
    """

    name: str
    folder: Path = HERE
    python: str = sys.executable


class Fleet:
    """Processes of one group, by their ordinals, as a StatefulSet counts its pods.

    Args:
        version: of prefstream.
        config: names the group and the topics.
        panel: the panel file.
        options: of `prefstream run`, beside those; `{}` in one stands for the process's ordinal.
        folder: for logs.
    """

    def __init__(
        self, version: Version, config: StreamConfig, panel: Path, options: Sequence[str], folder: Path
    ) -> None:
        self.live: dict[int, Prefstream] = {}
        self.starts_s: list[float] = []
        self._version = version
        self._config = config
        self._panel = panel
        self._options = options
        self._folder = folder
        self._admin = AdminClient({"bootstrap.servers": config.bootstrap_servers, **QUIET})

    def start(self, ordinal: int) -> None:
        """Start a process; does not wait for it."""
        arguments = [*run_arguments(self._config, self._panel), *(text.format(ordinal) for text in self._options)]
        self.live[ordinal] = Prefstream(
            *arguments,
            log=self._folder / f"{self._config.group_id}-{ordinal}.log",
            python=self._version.python,
            # Its own modules, not those of the folder that we are in.
            environment={"PYTHONPATH": os.fspath(self._version.folder), "PYTHONSAFEPATH": "1"},
        )

    def start_and_wait(self, ordinal: int) -> None:
        """Start a process and wait until its judges are loaded and it is about to join the group."""
        began = time.monotonic()
        self.start(ordinal)
        self.live[ordinal].wait_streaming()
        self.starts_s.append(time.monotonic() - began)

    def stop(self, *ordinals: int) -> None:
        """Let processes end in order, all at once, and wait for that."""
        leaving = [self.live.pop(ordinal) for ordinal in ordinals]
        for process in leaving:
            process.signal(signal.SIGTERM)
        for process in leaving:
            assert process.wait() == 0, process.log[-2_000:]
            process.kill()

    def kill(self, ordinal: int) -> None:
        """End a process at once, unless there is none."""
        if process := self.live.pop(ordinal, None):
            process.kill()

    def kill_all(self) -> None:
        """End all of them at once."""
        for ordinal in list(self.live):
            self.kill(ordinal)

    def owned(self) -> dict[str, set[int]]:
        """Which partitions each member has, by its client's name; nothing while the group rebalances."""
        (group,) = self._admin.describe_consumer_groups([self._config.group_id]).values()
        try:
            described = group.result()
        except KafkaException:  # its coordinator is only just chosen
            return {}
        if described.state is not ConsumerGroupState.STABLE:
            return {}
        return {
            member.client_id: {partition.partition for partition in member.assignment.topic_partitions}
            for member in described.members
        }

    def owned_by(self, ordinal: int) -> set[int]:
        """The partitions of a process."""
        instance = self.live[ordinal].wait_streaming()["instance"]
        return self.owned()[f"{self._config.group_id}-{instance}"]

    def wait_settled(self, partitions: int, also: Callable[[], bool] = lambda: True) -> None:
        """Wait until the live processes, and nobody else, share all partitions evenly."""

        def settled() -> bool:
            time.sleep(0.1)
            shares = sorted(map(len, self.owned().values()))
            return (
                len(shares) == len(self.live) and sum(shares) == partitions and shares[-1] - shares[0] <= 1 and also()
            )

        wait_until(settled, what="an even share for each process")
