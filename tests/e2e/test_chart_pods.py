"""The chart's containers at work: their settings, files and variables, as an unknown user, on a root to read from.

A container without an image: what the kernel makes of one is there, the packages are those of the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from kafka import KafkaProducer

from prefstream.consumer.broker import EmbeddedBroker
from prefstream.consumer.client.topic_creation import make_topics
from prefstream.consumer.config import StreamConfig
from prefstream.consumer.panels.choices import publish_choice
from prefstream.scoring.config import load_panel_config
from tests.support.helm.chart import EXAMPLES, NAMESPACE, render
from tests.support.helm.pods import Container, unpack, variables_of
from tests.support.hub import Hub, serving_hub
from tests.support.panel_folders import choice
from tests.support.priors import prior_entry
from tests.support.processes import START_S, Prefstream
from tests.support.recalibrated import vote
from tests.support.streams import (
    battle_event,
    committed_offsets,
    end_offsets,
    read_topic,
    visible_count,
    wait_until,
)

USER: Final = 1_234_567
"""As OpenShift would choose one: in no file of users."""

_AS_A_POD: Final = """#!/bin/sh
# All is read-only but for what a pod writes to; then a user that has no entry anywhere.
exec unshare --mount sh -ec '
  for place in {writable}; do mount --bind "$place" "$place"; done
  mount -o remount,bind,ro /
  exec unshare --user --map-user={user} --map-group=0 -- "$0" "$@"
' {python} "$@"
"""

WRITABLE: Final = ("/tmp", "/cache", "/var/lib/prefstream")  # noqa: S108 - in a folder of the test
"""Of a pod: its claims, and what lives in memory."""

HF: Final = "import sys; from huggingface_hub.cli.hf import main; sys.argv[0] = 'hf'; main()"
"""The hub's program, for `python -c`."""

LEXICAL: Final = Path(str(load_panel_config("demo").judges[-1].adapter))  # type: ignore[union-attr]
"""An adapter that ships, and needs no base."""


def _can_unshare() -> bool:
    if shutil.which("unshare") is None or os.geteuid() != 0:
        return False
    words = "unshare --mount sh -ec 'mount -o remount,bind,ro / && unshare --user --map-user=12345 true'"
    return subprocess.run(words, shell=True, capture_output=True, check=False).returncode == 0  # noqa: S602 - constants


pytestmark = pytest.mark.skipif(
    not _can_unshare(), reason="namespaces can't be made here: it takes root, and a kernel that lets it"
)


def as_a_pod(container: Container, *writable: str) -> str:
    """A Python that runs as in the container, where only these folders can be written to; its path."""
    places = [container.path(place) for place in writable]
    for place in places:
        place.mkdir(parents=True, exist_ok=True)
    script = container.folder / "python"
    text = _AS_A_POD.format(writable=" ".join(map(str, places)), user=USER, python=sys.executable)
    script.write_text(text, encoding="utf-8")
    script.chmod(0o755)
    return str(script)


@contextmanager
def pod(container: Container, port: str, log: Path) -> Iterator[Prefstream]:
    """Run a container's command; `port` names the variable that moves its HTTP port to a free one."""
    python = as_a_pod(container, *WRITABLE)
    folders = {"TMPDIR": "/tmp", "HOME": "/cache", "XDG_CACHE_HOME": "/cache"}  # noqa: S108 - in its folder
    inside = {name: str(container.path(place)) for name, place in folders.items()}
    environment = {**container.environment, **inside, port: "0"}
    process = Prefstream(*container.arguments, log=log, environment=environment, python=python)
    try:
        yield process
    except BaseException as error:
        error.add_note(process.log[-5000:])
        raise
    finally:
        process.kill()


@pytest.fixture
def broker() -> Iterator[StreamConfig]:
    """Topics by the chart's default names, and the group's settings."""
    with EmbeddedBroker() as embedded:
        config = StreamConfig.load(bootstrap_servers=embedded.bootstrap_servers)
        make_topics(config, partitions=2)
        yield config


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=100) as answer:  # noqa: S310 - our own port
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code, refusal.read().decode()


def send(config: StreamConfig, count: int) -> None:
    with closing(KafkaProducer(bootstrap_servers=config.bootstrap_servers)) as producer:
        for number in range(count):
            producer.send(config.battles_topic, battle_event(number)).get()


def at(broker: StreamConfig, *settings: str) -> Any:
    servers = f'config.bootstrap_servers="{broker.bootstrap_servers}"'
    return render(EXAMPLES["priors"], servers, 'config.log_level="debug"', *settings)


def test_the_streams_pod_answers_battles_and_leaves_the_group_at_its_end(broker: StreamConfig, tmp_path: Path) -> None:
    rendered = at(broker)
    container = unpack(rendered, "StatefulSet", tmp_path / "pod")
    send(broker, 5)
    with pod(container, "PREFSTREAM_HTTP_PORT", tmp_path / "log") as process:
        started = process.wait_streaming()
        assert started["instance"] == f"{NAMESPACE}.pod-0"
        assert started["http"].startswith("http://0.0.0.0:")
        wait_until(lambda: visible_count(broker) == 5, what="the answers")
        [probed] = rendered.pod("StatefulSet")["containers"]
        url = started["http"].replace("0.0.0.0", "127.0.0.1")
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert get(url + probed[probe]["httpGet"]["path"])[0] == 200
        process.process.terminate()
        assert process.wait() == 0
    # What follows a stop is what an autoscaler sees: nothing waits.
    assert committed_offsets(broker, 2) == end_offsets(broker, 2)


def test_what_helm_tests_is_what_the_doctor_finds(broker: StreamConfig, tmp_path: Path) -> None:
    """It fails where something is wrong, and passes where nothing is."""
    for servers, code in ((broker.bootstrap_servers, 0), ("127.0.0.1:9", 1)):
        rendered = render(EXAMPLES["priors"], f'config.bootstrap_servers="{servers}"')
        container = unpack(rendered, "Pod", tmp_path / str(code))
        with pod(container, "PREFSTREAM_HTTP_PORT", tmp_path / f"log-{code}") as process:
            said, _ = process.process.communicate(timeout=START_S)
        assert process.process.returncode == code, said


def test_the_boards_pod_shows_what_the_streams_pod_answered(broker: StreamConfig, tmp_path: Path) -> None:
    rendered = at(broker, "board.enabled=true")
    send(broker, 3)
    with (
        pod(unpack(rendered, "StatefulSet", tmp_path / "stream"), "PREFSTREAM_HTTP_PORT", tmp_path / "stream.log"),
        pod(
            unpack(rendered, "Deployment", tmp_path / "board"), "PREFSTREAM_BOARD_HTTP_PORT", tmp_path / "log"
        ) as board,
    ):
        wait_until(lambda: board.log_events("serving") or board.ended, START_S, "the board")
        [serving] = board.log_events("serving")
        assert serving["file"].endswith("/var/lib/prefstream/board.sqlite")
        url = serving["http"].replace("0.0.0.0", "127.0.0.1").removesuffix("/api/v1/board")
        [probed] = rendered.pod("Deployment")["containers"]
        wait_until(
            lambda: get(url + probed["readinessProbe"]["httpGet"]["path"])[0] == 200, what="a board that is ready"
        )
        counted = "prefstream_board_preferences_total 3.0"
        wait_until(lambda: counted in get(f"{url}/metrics")[1], what="the answers on the board")
        board.process.terminate()
        assert board.wait() == 0
    assert tmp_path.joinpath("board/var/lib/prefstream/board.sqlite").stat().st_uid == os.getuid()


def test_what_the_calibrating_pod_chooses_the_streams_pod_takes_over(broker: StreamConfig, tmp_path: Path) -> None:
    settings = {"enabled": True, "config": {"recalibrate_later_votes": 60, "recalibrate_every": "1s"}}
    panels = {"may": {"judges": [prior_entry("may")]}}
    rendered = at(broker, f"recalibrate={json.dumps(settings)}", f"panels.content={json.dumps(panels)}")
    live = unpack(rendered, "Deployment", tmp_path / "live", "demo-prefstream-recalibrate")
    send(broker, 300)
    vote(broker, 300)
    with (
        pod(
            unpack(rendered, "StatefulSet", tmp_path / "stream"), "PREFSTREAM_HTTP_PORT", tmp_path / "stream.log"
        ) as stream,
        pod(live, "PREFSTREAM_RECALIBRATE_HTTP_PORT", tmp_path / "log") as process,
    ):
        wait_until(lambda: stream.log_events("panel taken over") or process.ended, START_S, "another calibration")
        assert "published" in [line["outcome"] for line in process.log_events("decided")]
        publish_choice(broker, choice(broker.group_id, "may"))
        wait_until(lambda: len(stream.log_events("panel taken over")) == 2 or stream.ended, START_S, "another panel")
        assert stream.log_events("panel taken over")[1]["panel"] == "may"
        process.process.terminate()
        assert process.wait() == 0


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving_hub() as serving:
        yield serving


def test_an_adapter_that_was_fetched_before_the_judges_were_loaded_is_one_that_judges(
    broker: StreamConfig, hub: Hub, tmp_path: Path
) -> None:
    """By the init container, from a hub, with a calibration."""
    revision = hub.publish("example/lexical", LEXICAL)
    prior = {"name": "prior", "kind": "prior", "probabilities": {"model_a": 0.4, "model_b": 0.4, "tie": 0.2}}
    values = {
        "config": {"bootstrap_servers": broker.bootstrap_servers},
        "panel": {
            "content": {"judges": [prior, {"name": "lexical", "kind": "features", "adapter": "./adapters/lexical"}]},
            "calibration": json.dumps({"weights": {"prior": 0.2, "lexical": 0.8}}),
        },
        "adapters": {"hub": [{"name": "lexical", "repository": "example/lexical", "revision": revision}]},
    }
    rendered = render(values)
    container = unpack(rendered, "StatefulSet", tmp_path / "pod")
    [fetching] = rendered.pod("StatefulSet")["initContainers"]
    python = as_a_pod(container, "/tmp", "/panel/adapters")  # noqa: S108 - in its folder
    words = [*fetching["command"][1:], *fetching["args"]]
    done = subprocess.run(
        [python, "-c", HF, *(word.replace("/adapters", str(container.path("/panel/adapters"))) for word in words)],
        env={
            "PATH": os.environ["PATH"],
            **variables_of(fetching),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(container.path("/tmp")),  # noqa: S108 - in its folder
        },
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    send(broker, 2)
    with pod(container, "PREFSTREAM_HTTP_PORT", tmp_path / "log") as process:
        assert [judge["name"] for judge in process.wait_streaming()["judges"]] == ["prior", "lexical"]
        wait_until(lambda: visible_count(broker) == 2, what="the answers")
    answers = [json.loads(record.value) for record in read_topic(broker.bootstrap_servers, broker.preferences_topic)]
    assert [{judge["name"]: judge["weight"] for judge in answer["judges"]} for answer in answers] == [
        {"prior": 0.2, "lexical": 0.8}
    ] * 2
