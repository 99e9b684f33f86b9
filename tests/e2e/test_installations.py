"""What an installation with some extras alone can do: the others refused in every run, left out for real when asked.

One real one, the light one, is always made; the others bring hundreds of megabytes.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from prefstream.schemas import decode_preference, encode_preference
from prefstream.scoring.files.labelled import read_labelled
from tests.conftest import Kafka
from tests.support.installations import ROOT, Installation, build, install, refusing
from tests.support.priors import write_prior_panel
from tests.support.samples import a_preference
from tests.support.streams import WAIT_S, fresh_config, read_outcome, wait_until

REFUSED = "refused"
INSTALLED = "installed"

BATTLES = ROOT / "consumer" / "demo" / "samples" / "battles.jsonl"

READS = """
import sys
import prefstream
before = len(sys.modules)
preference = prefstream.decode_preference(open(sys.argv[1], "rb").read())
print(preference.id, preference.preferred, len(sys.modules) - before)
print(prefstream.__file__)
"""

IMPORTS_ALL = """
import importlib, pkgutil, sys
for name in sys.argv[1:]:
    room = importlib.import_module(name)
    for module in pkgutil.walk_packages(room.__path__, f"{name}."):
        importlib.import_module(module.name)
print(*sorted({"torch", "transformers", "peft"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(params=[REFUSED, pytest.param(INSTALLED, marks=[pytest.mark.long, pytest.mark.timeout(1_800)])])
def with_extras(request: pytest.FixtureRequest, wheel: Path, tmp_path: Path) -> Callable[..., Installation]:
    """Makes an installation with these extras and no others."""

    def make(*extras: str) -> Installation:
        return refusing(*extras) if request.param == REFUSED else install(wheel, tmp_path / "environment", extras)

    return make


def test_a_light_install_reads_messages_and_says_what_is_missing(wheel: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    light = install(wheel, tmp_path / "environment")
    seconds = time.monotonic() - begun
    message = tmp_path / "message.json"
    message.write_bytes(encode_preference(a_preference(id="42")))
    said, place = light.run(message, program=READS).stdout.splitlines()
    assert said.startswith(f"42 {a_preference().preferred} ")
    assert Path(place).is_relative_to(tmp_path)
    assert json.loads(light.run("schema", "battle").stdout) == json.loads(
        (ROOT / "schemas" / "battle.schema.json").read_bytes()
    )
    for command in ("run", "evaluate"):
        extra = "run" if command == "run" else "judges"
        called = light.run(command)
        assert (
            called.stderr
            == f"prefstream: prefstream {command} needs prefstream[{extra}]: pip install 'prefstream[{extra}]'\n"
        )
        assert called.returncode == 2
    [packages] = (tmp_path / "environment" / "lib").glob("python*/site-packages")
    own = {"pip", "setuptools", "pkg_resources", "_distutils_hack"}
    files = [
        path
        for path in packages.rglob("*")
        if path.is_file() and path.relative_to(packages).parts[0].split("-")[0] not in own
    ]
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    print(f"light install: {megabytes:.1f} MB, {seconds:.1f} s, {said.split()[-1]} modules")  # noqa: T201 - a figure
    assert megabytes < 60


def test_run_alone_answers_by_a_panel_of_priors(
    with_extras: Callable[..., Installation], embedded_kafka: Kafka, tmp_path: Path
) -> None:
    """Topics, battles, answers, dead letters, the doctor: all without torch."""
    installation = with_extras("run")
    config = fresh_config(embedded_kafka.bootstrap_servers)
    cluster = ["--bootstrap-servers", config.bootstrap_servers]
    topics = ["--battles-topic", config.battles_topic, "--preferences-topic", config.preferences_topic]
    topics += ["--dead-letters-topic", config.dead_letters_topic]
    made = installation.run("topics", "create", *cluster, *topics)
    assert made.returncode == 0, made.stderr
    fed = installation.run("replay", BATTLES, *cluster, "--topic", config.battles_topic)
    assert fed.returncode == 0, fed.stderr
    count = len(BATTLES.read_bytes().splitlines())
    serving = [*cluster, *topics, "--group-id", config.group_id, "--panel", str(write_prior_panel(tmp_path))]
    log = {"PREFSTREAM_HTTP_PORT": "0", "PREFSTREAM_LOG_FORMAT": "json", "PREFSTREAM_LOG_LEVEL": "debug"}
    service = installation.start("run", *serving, log=tmp_path / "run.log", environment=log)
    try:
        wait_until(lambda: service.published >= count or service.ended, WAIT_S, "the answers")
        service.signal(signal.SIGTERM)
        assert service.wait() == 0, service.log
    finally:
        service.kill()
    assert len(read_outcome(config).preferences) == count
    listed = installation.run("dead-letters", "list", *cluster, "--topic", config.dead_letters_topic)
    assert listed.returncode == 0, listed.stderr
    looked = installation.run("doctor", *serving, "--http-port", "0", "--json")
    assert [one for one in json.loads(looked.stdout)["findings"] if one["state"] == "fail"] == []


def test_run_alone_says_that_judges_need_theirs(embedded_kafka: Kafka, tmp_path: Path) -> None:
    config = fresh_config(embedded_kafka.bootstrap_servers)
    topics = ["--battles-topic", config.battles_topic, "--preferences-topic", config.preferences_topic]
    topics += ["--dead-letters-topic", config.dead_letters_topic, "--bootstrap-servers", config.bootstrap_servers]
    panel = ROOT / "deploy" / "panels" / "cpu.yaml"
    line = "needs prefstream[judges]: pip install 'prefstream[judges]'"
    served = refusing("run").run("run", *topics, "--panel", panel, "--no-http")
    assert served.returncode == 2
    assert line in served.stderr.splitlines()[-1]
    looked = refusing("run").run("doctor", *topics, "--panel", panel, "--no-http", "--json")
    failed = [one for one in json.loads(looked.stdout)["findings"] if one["state"] == "fail"]
    assert [one["check"] for one in failed] == ["judges"]
    assert line in failed[0]["found"]


def test_judges_alone_score_measure_and_calibrate_without_kafka(
    with_extras: Callable[..., Installation], tmp_path: Path
) -> None:
    installation = with_extras("judges")
    panel = write_prior_panel(tmp_path, names=("one", "two"))
    submission, preferences = tmp_path / "submission.csv", tmp_path / "preferences.jsonl"
    for output in (submission, preferences):
        scored = installation.run("score", BATTLES, "--panel", panel, "-o", output)
        assert scored.returncode == 0, scored.stderr
    assert submission.read_text(encoding="utf-8").splitlines()[0].startswith("id,winner_model_a")
    written = [decode_preference(line) for line in preferences.read_bytes().splitlines()]
    assert len(written) == len(BATTLES.read_bytes().splitlines())
    report: list[str | Path] = ["--json", tmp_path / "report.json", "--html", tmp_path / "report.html"]
    measured = installation.run("evaluate", BATTLES, "--predictions", submission, *report)
    assert measured.returncode == 0, measured.stderr
    assert json.loads((tmp_path / "report.json").read_bytes())["battles"] == len(list(read_labelled(BATTLES)))
    fitted = installation.run(
        "calibrate", BATTLES, "--panel", panel, "-o", tmp_path / "fitted.json", "--plot", tmp_path / "plot.png"
    )
    assert fitted.returncode == 0, fitted.stderr


def test_judges_alone_say_that_the_demos_panel_needs_its_extra(tmp_path: Path) -> None:
    judges = refusing("judges")
    judges = Installation(judges.python, judges.program, {**judges.environment, "PREFSTREAM_CACHE_DIR": str(tmp_path)})
    scored = judges.run("score", BATTLES, "-o", tmp_path / "out.csv")
    assert scored.returncode == 2
    assert scored.stderr.splitlines()[-1] == (
        "prefstream: the demo's panel needs prefstream[demo]: pip install 'prefstream[demo]'"
    )


def test_the_board_imports_no_torch(with_extras: Callable[..., Installation]) -> None:
    rooms = ["prefstream.scoring.strengths"]
    if (ROOT / "consumer" / "board").is_dir():
        rooms.append("prefstream.consumer.board")
    done = with_extras("board").run(*rooms, program=IMPORTS_ALL)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
