"""Files scored by workers of a Ray cluster: the same bytes as by one process, whatever happens to the workers."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from prefstream.consumer.cli import app
from prefstream.consumer.errors import StreamError, UsageError
from prefstream.consumer.files import ray_cluster
from prefstream.consumer.files.ray_cluster import WorkerNeeds, gpus_of, placed, room
from prefstream.consumer.files.ray_workers import LoadedPanel, RayWorkers
from prefstream.consumer.files.score import ScoreJob, panel_identity, score_file, score_files
from prefstream.consumer.files.score_output import ScorePaths
from prefstream.consumer.files.score_run import RunSettings, ScoreSummary
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import LoadError
from prefstream.scoring.panel.load import load_panel
from tests.support.hash_judge import Recorder
from tests.support.only import run_only
from tests.support.priors import prior_entry, write_prior_panel
from tests.support.processes import START_S, child_environment, prefstream
from tests.support.streams import wait_until

LEXICAL = Path(__file__).parents[4] / "scoring/demo/pretrained/lexical-demo"

MARK = "a text that stands nowhere else 8c2f"
"""In every battle."""

CHUNK_ROWS = 8

SLOW = {"seconds_per_batch": 0.05}
"""Of a chunk: long enough to be in the middle of."""


def write_battles(folder: Path, rows: int, bad: tuple[int, ...] = ()) -> Path:
    """A file of that many rows, of which the bad ones are no battle."""
    path = folder / "battles.jsonl"
    with path.open("w") as file:
        for number in range(rows):
            row = {
                "id": str(number),
                "prompt": MARK,
                "response_a": f"yes {number}",
                "response_b": "no\n" * (number % 9),
            }
            file.write(json.dumps(row)[: 20 if number in bad else None] + "\n")
    return path


def panel_config(**simulate: float) -> PanelConfig:
    """A judge that counts, and one that takes its time."""
    lexical = {"name": "lexical", "kind": "features", "adapter": str(LEXICAL)}
    return PanelConfig.model_validate({"judges": [prior_entry(simulate=simulate), lexical]})


def by_one_process(source: Path, out: Path) -> dict[str, bytes]:
    """All that a run leaves, but for the time it takes."""
    config = panel_config(**SLOW)
    with load_panel(config) as panel:
        score_file(
            ScorePaths(out, source=source),
            panel,
            identity=panel_identity(config, panel),
            observer=Recorder(),
            stop=threading.Event(),
            chunk_rows=CHUNK_ROWS,
        )
    return left_by(out)


def left_by(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.parent.glob(out.name + "*")}


def by_workers(
    workers: RayWorkers, source: Path, out: Path, recorder: Recorder, *, resume: bool = False
) -> ScoreSummary:
    job = ScoreJob(paths=ScorePaths(out, source=source), observing=lambda: nullcontext(recorder))
    settings = RunSettings(resume=resume, chunk_rows=CHUNK_ROWS)
    [summary] = score_files([job], workers, settings, recorder.stop)
    return summary


CLUSTER = """
import sys
from prefstream.consumer.files.ray_cluster import connected

with connected("local", 2) as ray:
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster of two cores, in a process of its own."""

    address: str
    process: subprocess.Popen[str]
    folder: Path

    def workers(self) -> list[psutil.Process]:
        """The processes that score."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "ray::ScoringWorker" in "".join(child.cmdline()[:1])]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    pytest.importorskip("ray")
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # the paths of its sockets must be short
    # Its secret would lie in the user's home.
    environment = child_environment() | {"RAY_TMPDIR": str(folder), "RAY_AUTH_MODE": "disabled"}
    program = [sys.executable, "-c", CLUSTER]
    for _ in range(2):
        with subprocess.Popen(
            program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin
            assert process.stdout
            if address := process.stdout.readline().strip():
                yield Cluster(address, process, folder)
                process.stdin.close()
                break
    else:
        # Its raylet waits for 15 s, and no more, until two further processes have imported what they need.
        pytest.skip("Ray does not start: the machine has too much else to do")
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def said() -> list[str]:
    """What the workers had to say."""
    return []


@pytest.fixture(scope="module")
def workers(cluster: Cluster, said: list[str]) -> Iterator[RayWorkers]:
    """Two of them; this process is connected to the cluster for as long as they are there."""
    with RayWorkers(panel_config(**SLOW), address=cluster.address, workers=2, cpus=0.5, say=said.append) as workers:
        yield workers


def test_output_and_rejected_rows_are_those_of_one_process(
    workers: RayWorkers, said: list[str], tmp_path: Path
) -> None:
    source = write_battles(tmp_path, 100, bad=(3, *range(40, 56)))  # two whole chunks among them
    (tmp_path / "one").mkdir()
    recorder = Recorder()
    summary = by_workers(workers, source, tmp_path / "out.jsonl", recorder)
    assert left_by(tmp_path / "out.jsonl") == by_one_process(source, tmp_path / "one" / "out.jsonl")
    assert (summary.scored, summary.rejected, summary.complete) == (83, 17, True)
    assert [line for line, _ in recorder.rejections] == [4, *range(41, 57)]
    assert said[0] == "2 workers of 0.5 CPU each"
    assert workers.trained


def test_a_worker_that_is_killed_costs_no_row(
    workers: RayWorkers, cluster: Cluster, said: list[str], tmp_path: Path
) -> None:
    class Killer(Recorder):
        def advanced(self, done_bytes: int, rows: int) -> None:
            super().advanced(done_bytes, rows)
            if len(self.advances) == 3:
                cluster.workers()[0].kill()

    source = write_battles(tmp_path, 400)
    (tmp_path / "one").mkdir()
    by_workers(workers, source, tmp_path / "out.jsonl", Killer())
    assert left_by(tmp_path / "out.jsonl") == by_one_process(source, tmp_path / "one" / "out.jsonl")
    assert "a worker died; Ray started it anew, and what it had in hand was scored again" in said
    assert len(cluster.workers()) == 2


def test_a_stopped_run_is_resumed_by_workers_or_by_one_process(workers: RayWorkers, tmp_path: Path) -> None:
    source = write_battles(tmp_path, 160, bad=(3, 150))
    (tmp_path / "one").mkdir()
    out = tmp_path / "out.jsonl"
    first = by_workers(workers, source, out, Recorder(stop_after=4))
    assert (first.complete, 32 <= first.scored + first.rejected < 160) == (False, True)
    second = by_workers(workers, source, out, Recorder(stop_after=4), resume=True)
    assert second.resumed_rows == first.scored + first.rejected
    config = panel_config(**SLOW)
    with load_panel(config) as panel:
        summary = score_file(
            ScorePaths(out, source=source),
            panel,
            identity=panel_identity(config, panel),
            observer=Recorder(),
            stop=threading.Event(),
            resume=True,
            chunk_rows=CHUNK_ROWS,
        )
    assert summary.complete
    assert left_by(out) == by_one_process(source, tmp_path / "one" / "out.jsonl")


def test_a_worker_with_another_panel_is_refused(workers: RayWorkers, tmp_path: Path) -> None:
    """What a worker raises comes as it was; what is written stays to be resumed."""
    own = workers._panel
    workers._panel = LoadedPanel("another", trained=True)
    try:
        with pytest.raises(StreamError, match="different panels"):
            by_workers(workers, write_battles(tmp_path, 20), tmp_path / "out.jsonl", Recorder())
    finally:
        workers._panel = own
    assert (tmp_path / "out.jsonl.progress").exists()


def test_the_command_scores_several_files_into_a_folder_that_evaluate_reads(
    workers: RayWorkers, tmp_path: Path
) -> None:
    panel = write_prior_panel(tmp_path)
    rows = [
        {"id": str(number), "prompt": MARK, "response_a": "x", "response_b": "y", "winner": "model_a"}
        for number in range(30)
    ]
    for name in ("one", "two"):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows) + "no battle\n")
    words = ["score", str(tmp_path / "*.jsonl"), "--panel", str(panel)]
    by_ray = ["-o", str(tmp_path / "ray"), "--engine", "ray", "--workers", "1", "--worker-cpus", "0.5"]
    for folder in ("ray", "here"):
        (tmp_path / folder).mkdir()
    done = CliRunner().invoke(app, [*words, *by_ray])
    assert done.exit_code == 3, done.output
    assert "1 workers of 0.5 CPU each" in done.stderr
    assert CliRunner().invoke(app, [*words, "-o", str(tmp_path / "here")]).exit_code == 3
    found = {path.name: path.read_bytes() for path in (tmp_path / "ray").iterdir()}
    assert found == {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert found.keys() == {name + end for name in ("one.jsonl", "two.jsonl") for end in ("", ".rejected")}
    scored = ["evaluate", str(tmp_path / "one.jsonl"), "--predictions", str(tmp_path / "ray" / "one.jsonl")]
    evaluated = CliRunner().invoke(app, scored)
    assert evaluated.exit_code == 3, evaluated.output
    assert "30 battles" in evaluated.output


def test_a_panel_that_does_not_load_is_told_as_here(workers: RayWorkers, tmp_path: Path) -> None:
    judges = [{"name": "lexical", "kind": "features", "adapter": str(tmp_path)}]
    with (
        pytest.raises(LoadError, match="safetensors"),
        RayWorkers(PanelConfig.model_validate({"judges": judges}), workers=1, cpus=0.1, say=lambda _: None),
    ):
        pass


def test_a_cluster_without_room_is_refused(workers: RayWorkers) -> None:
    with (
        pytest.raises(UsageError, match="no node of the Ray cluster has room for a worker of 1 CPU and 1 GPU"),
        RayWorkers(panel_config(), gpus=1.0, say=lambda _: None),
    ):
        pass


def test_rays_logs_have_no_text_and_nothing_is_reported(workers: RayWorkers, cluster: Cluster, tmp_path: Path) -> None:
    by_workers(workers, write_battles(tmp_path, 20, bad=(3,)), tmp_path / "out.jsonl", Recorder())
    logs = [path for path in cluster.folder.rglob("*") if path.is_file()]
    assert any("worker" in path.name for path in logs)
    assert [path for path in logs if MARK.encode() in path.read_bytes()] == []
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_an_address_where_nobody_answers_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")
    # Whatever this process is connected to stays so.
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with (
        pytest.raises(StreamError, match=r"can't use the Ray cluster at 127\.0\.0\.1:9: "),
        ray_cluster.connected("127.0.0.1:9", 1),
    ):
        pass


def test_without_its_extra_the_engine_says_so(tmp_path: Path) -> None:
    panel = write_prior_panel(tmp_path)
    source, out = write_battles(tmp_path, 3), tmp_path / "out.jsonl"
    done = run_only(["judges"], ["score", source, "-o", out, "--panel", panel, "--engine", "ray"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "prefstream: prefstream score --engine ray needs prefstream[ray]: pip install 'prefstream[ray]'\n"
    )
    assert not out.exists()


# --- where workers go ------------------------------------------------------------------------------------------------


def nodes(*resources: dict[str, float]) -> Any:
    """A cluster, as far as it is asked."""
    return SimpleNamespace(nodes=lambda: [{"Alive": True, "Resources": each} for each in resources])


def of_devices(*devices: str | tuple[str, ...]) -> PanelConfig:
    judges = [
        {"name": f"judge-{place}", "kind": "pointwise", "base": "demo:gemma", "allow_untrained": True, "device": device}
        for place, device in enumerate(devices)
    ]
    return PanelConfig.model_validate({"judges": judges})


@pytest.mark.parametrize(
    ("devices", "cards", "wanted"),
    [
        (("cpu",), 8, 0),
        (("auto",), 0, 0),
        (("auto",), 8, 1),
        (("auto", "auto"), 1, 1),
        (("auto", "auto"), 8, 2),
        (("cuda:0", "cuda:1"), 8, 2),
        (("cuda", "cuda:0"), 8, 1),
        (("cuda:0", "cuda:1"), 0, 2),  # no worker fits, and that is said
        (("cuda:3", "auto"), 8, 2),
        ((("cuda:0", "cuda:1"), "cuda:1"), 8, 2),
    ],
)
def test_a_worker_gets_the_cards_that_the_panel_speaks_of(
    devices: tuple[str | tuple[str, ...], ...], cards: int, wanted: int
) -> None:
    assert gpus_of(of_devices(*devices), nodes({"CPU": 4.0}, {"CPU": 4.0, "GPU": float(cards)})) == wanted


def test_the_cards_of_a_worker_count_from_nought() -> None:
    def devices(config: PanelConfig) -> list[str | tuple[str, ...]]:
        return [judge.device for judge in config.judges if judge.kind == "pointwise"]

    panel = of_devices("cuda:3", "cuda:5", "auto", "cuda:3")
    assert devices(placed(panel, 2.0)) == ["cuda:0", "cuda:1", "auto", "cuda:0"]
    assert devices(placed(panel, 0.5)) == ["cuda:0", "cuda:0", "auto", "cuda:0"]
    replicas = of_devices(("cuda:3", "cuda:5"))
    assert devices(placed(replicas, 2.0)) == [("cuda:0", "cuda:1")]
    assert devices(placed(replicas, 0.5)) == [("cuda:0",)]
    assert placed(of_devices("cpu"), 0.0) == of_devices("cpu")
    with pytest.raises(UsageError, match="--worker-gpus"):
        placed(panel, 0.0)


def test_room_is_counted_node_by_node() -> None:
    two = nodes({"CPU": 3.0, "GPU": 1.0}, {"CPU": 3.0}, {"GPU": 4.0})
    assert room(two, WorkerNeeds(2.0)) == 2
    assert room(two, WorkerNeeds(1.0, 0.5)) == 2
    assert room(two, WorkerNeeds(1.0, 2.0)) == 0


# --- a cluster of its own --------------------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_what_can_be_resumed_and_no_process(
    tmp_path: Path, number: signal.Signals
) -> None:
    pytest.importorskip("ray")
    source, out = write_battles(tmp_path, 2_000), tmp_path / "out.jsonl"
    words = ["score", str(source), "-o", str(out), "--panel", str(write_prior_panel(tmp_path, 0.1)), "--chunk", "8"]
    with prefstream(*words, "--engine", "ray", "--workers", "2", log=tmp_path / "log") as running:
        wait_until(lambda: running.ended or (out.exists() and out.stat().st_size > 0), START_S)
        begun = psutil.Process(running.process.pid).children(recursive=True)
        running.signal(number)
        assert running.wait() == 130
    _, alive = psutil.wait_procs(begun, timeout=5)
    assert [child for child in alive if child.status() != psutil.STATUS_ZOMBIE] == []
    assert CliRunner().invoke(app, [*words, "--resume"]).exit_code == 0
    assert len(out.read_bytes().splitlines()) == 2_000
    assert not (tmp_path / "out.jsonl.progress").exists()
