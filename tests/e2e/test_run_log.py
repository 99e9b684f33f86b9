"""What `prefstream run` tells in its log: how it starts, what it does, why it ends. All of it JSON when asked."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from prefstream.consumer.config import StreamConfig
from prefstream.scoring.config import load_panel_config
from tests.support.priors import write_prior_panel
from tests.support.processes import ANNOUNCES_SCORING, PREFSTREAM, Prefstream, prefstream, run_arguments
from tests.support.streams import battle_events, produce, visible_count, wait_until

LAST = ["partitions revoked", "stopped"]
MakeConfig = Callable[..., StreamConfig]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "stderr.log"


def stopped(run: Prefstream) -> dict[str, Any]:
    """The line that a service says at its end."""
    [line] = run.log_events("stopped")
    return line


def test_its_log_tells_how_it_starts_what_it_does_and_why_it_stops(
    stream_config: MakeConfig, tmp_path: Path, log: Path
) -> None:
    config = stream_config(partitions=1)
    panel = write_prior_panel(tmp_path)
    with prefstream(*run_arguments(config, panel, instance_id="one", log_level="info"), log=log) as run:
        run.wait_streaming()
        produce(config, [*battle_events(5), b"zqprompt, no JSON"])
        wait_until(lambda: visible_count(config) == 6, what="the answers")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    lines = [json.loads(line) for line in run.log.splitlines()]
    told = [line["event"] for line in lines if line["logger"].startswith("prefstream.")]
    judges = ["loading judge", "judge loaded"] * len(load_panel_config(panel).judges)
    assert told == ["starting", *judges, "streaming", "partitions assigned", "batch published", *LAST]
    (start,), (serve,) = run.log_events("starting"), run.log_events("streaming")
    assert (start["group"], start["panel"]) == (config.group_id, str(panel))
    assert start["topics"]["battles"] == config.battles_topic
    assert (serve["version"], serve["instance"]) == (version("prefstream"), "one")
    assert [judge["kind"] for judge in serve["judges"]] == ["prior"] * len(serve["judges"])
    end = stopped(run)
    assert (end["by"], end["battles"], end["preferences"]) == ("SIGTERM", 6, 5)
    assert (end["dead_letters"], end["given_up"]) == ({"not_json": 1}, 0)


def test_what_a_stop_gives_up_is_told(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    config = stream_config(partitions=1)
    produce(config, battle_events(5))
    panel = write_prior_panel(tmp_path, seconds_per_batch=600.0)
    arguments = run_arguments(config, panel, max_batch_battles=5, drain_seconds=0.5)
    with prefstream(*arguments, log=log, program=ANNOUNCES_SCORING + PREFSTREAM) as run:
        run.wait_scoring()
        run.signal(signal.SIGINT)
        assert run.wait() == 0
        assert (stopped(run)["by"], stopped(run)["preferences"], stopped(run)["given_up"]) == ("SIGINT", 0, 5)


@pytest.mark.parametrize(
    ("settings", "error", "code"),
    [({"battles-topic": "no-such-topic"}, "TopicMissingError", 1), ({"panel": "no-such.yaml"}, "ConfigError", 2)],
)
def test_where_lines_are_json_all_of_them_are_when_it_fails(
    stream_config: MakeConfig, tmp_path: Path, log: Path, settings: dict[str, str], error: str, code: int
) -> None:
    config = stream_config()
    arguments = run_arguments(config, write_prior_panel(tmp_path))
    for name, setting in settings.items():
        arguments[arguments.index(f"--{name}") + 1] = setting
    with prefstream(*arguments, log=log) as run:
        assert run.wait() == code
    lines = [json.loads(line) for line in run.log.splitlines()]
    assert (lines[-1]["event"], lines[-1]["error"], lines[-1]["exit_code"]) == ("failed", error, code)
    assert next(iter(settings.values())) in lines[-1]["message"]
    # A panel's file is read before anything begins that could stop.
    assert [line["by"] for line in lines if line["event"] == "stopped"] == ([] if error == "ConfigError" else [error])


def test_a_mistake_of_ours_is_one_json_line(stream_config: MakeConfig, tmp_path: Path, log: Path) -> None:
    broken = f"import prefstream.consumer.stream.service as s; s.Watchdog = lambda *_: 1 / 0; {PREFSTREAM}"
    with prefstream(*run_arguments(stream_config(), write_prior_panel(tmp_path)), log=log, program=broken) as run:
        assert run.wait() == 1
    last = json.loads(run.log.splitlines()[-1])
    assert (last["event"], last["exception"][0]["type"]) == ("crashed", "ZeroDivisionError")
