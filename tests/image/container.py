"""Podman's command line: an image's size and packages, and a container that may do as little as possible."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from tests.support.streams import wait_until

ANYBODY: Final = "12345:0"
"""A user that the image has never heard of, as a cluster picks one (OpenShift); its group is root's."""

_LOCKED_DOWN: Final = (
    *("--user", ANYBODY, "--network", "host", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
    # Podman would mount places to write at beside ours, which Docker and Kubernetes don't.
    *("--read-only", "--read-only-tmpfs=false", "--tmpfs=/tmp"),
)

_LIST_PACKAGES: Final = """
import importlib.metadata, json
print(json.dumps({one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}))
"""


def podman(*arguments: str) -> str:
    """Run a command of Podman's.

    Returns:
        What it wrote to standard output.

    Raises:
        subprocess.CalledProcessError: it failed; standard error went to ours.
    """
    return subprocess.run(["podman", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def layers(image: str) -> list[tuple[int, str]]:
    """Bytes of each layer, and the instruction that made it, the largest first."""
    history = json.loads(podman("history", "--no-trunc", "--human=false", "--format", "json", image))
    return sorted(((layer["size"], layer["CreatedBy"]) for layer in history), reverse=True)


def packages(image: str) -> dict[str, str]:
    """Name to version of every Python package that the image's interpreter finds."""
    listed = podman("run", "--rm", *_LOCKED_DOWN, "--entrypoint", "python", image, "-c", _LIST_PACKAGES)
    found: dict[str, str] = json.loads(listed)
    return found


class Container:
    """A container that runs a command of prefstream's, by a user that nobody knows, on a root that it can't write to.

    Args:
        image: its image.
        command: of prefstream's, with arguments; none: the image's own.
        environment: its variables, beside the image's.
        mounts: as Podman's `--volume` takes them.
        memory: what it may take at most, as Podman's `--memory` takes it, and no swap beside; None: all there is.
    """

    def __init__(
        self,
        image: str,
        *command: str,
        environment: Mapping[str, str],
        mounts: Sequence[str] = (),
        memory: str | None = None,
    ) -> None:
        variables = [part for name, text in environment.items() for part in ("--env", f"{name}={text}")]
        volumes = [part for mount in mounts for part in ("--volume", mount)]
        limits = ["--memory", memory, "--memory-swap", memory] if memory else []
        self._started = time.monotonic()
        self._id = podman("run", "--detach", *_LOCKED_DOWN, *limits, *variables, *volumes, image, *command)

    @property
    def age_s(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self._started

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return bool(self._state()["Running"])

    def health(self) -> str:
        """What Podman says of its health after one more check: `healthy`, `starting`, `unhealthy`."""
        # Where no systemd is, Podman checks when it is asked to.
        subprocess.run(["podman", "healthcheck", "run", self._id], check=False, capture_output=True)
        state = self._state()
        return str((state.get("Health") or state["Healthcheck"])["Status"])

    def log(self) -> str:
        """All that it wrote."""
        return subprocess.run(
            ["podman", "logs", self._id], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ).stdout

    def stop(self) -> int:
        """Ask process 1 to end, by the image's signal; its exit code."""
        podman("stop", "--time", "60", self._id)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; its exit code."""
        return int(podman("wait", self._id))

    def remove(self) -> None:
        """Remove it with its anonymous volumes, running or not."""
        podman("rm", "--force", "--volumes", "--time", "0", self._id)

    def _state(self) -> dict[str, Any]:
        [found] = json.loads(podman("container", "inspect", self._id))
        state: dict[str, Any] = found["State"]
        return state


@contextmanager
def container(
    image: str,
    *command: str,
    environment: Mapping[str, str],
    mounts: Sequence[str] = (),
    memory: str | None = None,
) -> Iterator[Container]:
    """A container, removed at the end. Where what is done with it fails, its log is shown."""
    running = Container(image, *command, environment=environment, mounts=mounts, memory=memory)
    try:
        yield running
    except BaseException as error:
        error.add_note(f"the container's log ends:\n{running.log()[-5000:]}")
        raise
    finally:
        running.remove()


def wait_while_running(running: Container, condition: Callable[[], object], what: str) -> None:
    """Wait for a condition, or fail where the container ends before."""

    def holds() -> bool:
        assert running.is_running, f"the container ended before {what}"
        return bool(condition())

    wait_until(holds, 600, what)
