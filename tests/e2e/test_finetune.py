"""`prefstream finetune` in processes of its own: killed and resumed, interrupted, on two processes; then served.

A tiny random Gemma 2 in float32 and a tiny random Llama on an 8-bit base learn a handful of synthetic pairs.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from prefstream.consumer.cli.exit_codes import EXIT_INTERRUPTED
from prefstream.consumer.config import StreamConfig
from prefstream.schemas import Battle, decode_preference
from prefstream.scoring.config import load_panel_config
from prefstream.scoring.files.battles import read_battles
from prefstream.scoring.finetune.callbacks import COMPLETE
from prefstream.scoring.finetune.recipe import load_recipe
from prefstream.scoring.finetune.run import finetune
from prefstream.scoring.panel.combine import PanelAnswer
from prefstream.scoring.panel.load import load_panel
from prefstream.scoring.probabilities import Triples
from tests.support.labelled_pairs import SilentObserver, make_rows, on_one_cpu_thread, write_rows
from tests.support.models import Family, Kind, make_tiny_base, one_torch_thread
from tests.support.processes import PREFSTREAM, START_S, Prefstream, child_environment, prefstream, run_arguments
from tests.support.streams import produce, read_topic, visible_count, wait_until

MakeConfig = Callable[..., StreamConfig]

TRAIN_S = 500.0
"""Longest training of a tiny judge, start included, on a machine with other things to do."""


@dataclass(frozen=True)
class Case:
    """A judge to train, and its files."""

    name: str
    folder: Path
    train: Path
    dev: Path
    recipe: Path

    @property
    def killed(self) -> Path:
        """Output of the run that is killed and resumed."""
        return self.folder / "killed"

    @property
    def undisturbed(self) -> Path:
        """Output of the run that nobody disturbs."""
        return self.folder / "undisturbed"

    def arguments(self, output: Path, *more: str) -> list[str]:
        return ["finetune", *map(str, (self.train, "--eval", self.dev, "-r", self.recipe, "-o", output)), *more]


def make_case(folder: Path, name: str, family: Family, kind: Kind, *, epochs: int, **settings: Any) -> Case:
    """Write base, data and recipe of a judge."""
    base = folder / name / "base"
    make_tiny_base(base, family, hidden_size=64 if "quantization" in settings else 32)
    fields = {
        "name": name,
        "base": str(base),
        "kind": kind,
        "max_length": 128,
        "store": "float32",
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.05},
        "optimizer": {"learning_rate": 3e-3, "head_learning_rate": 1e-2},
        "data": {"stages": [{"epochs": epochs}]},
        "step": {"weight": 4, "micro_batch_tokens": 600},
        "checkpoints": 12,
        **settings,
    }
    recipe = folder / name / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(fields))
    train = write_rows(folder / name / "train.jsonl", make_rows(40, prompts=10))
    dev = write_rows(folder / name / "dev.jsonl", make_rows(15, prompts=5, seed=1))
    return Case(name, folder / name, train, dev, recipe)


@pytest.fixture(scope="module", autouse=True)
def _no_cards() -> Iterator[None]:
    """Runs that are compared bit by bit are on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@contextmanager
def training(case: Case, output: Path, log: Path, *more: str) -> Iterator[Prefstream]:
    with prefstream(*case.arguments(output, *more), log=log) as process:
        yield process


def kill_midway(case: Case) -> None:
    """SIGKILL once a checkpoint is whole."""
    log = case.folder / "log.txt"
    with training(case, case.killed, log) as process:
        wait_until(lambda: checkpoints(case.killed) or process.ended, TRAIN_S)
        assert not process.ended, process.log
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert not (case.killed / "adapter_model.safetensors").exists(), "it was to be killed during the work"


@dataclass(frozen=True)
class Interrupted:
    """A run that was killed, resumed, and interrupted by Ctrl-C, as it ended then.

    Attributes:
        code: its exit code.
        log: what it said.
        steps: of its whole checkpoints.
        finished: whether it has an adapter.
    """

    code: int
    log: str
    steps: list[int]
    finished: bool


def checkpoints(output: Path) -> list[int]:
    """The steps of the checkpoints that are whole."""
    return [int(path.parent.name.rpartition("-")[2]) for path in output.glob(f"run/checkpoint-*/{COMPLETE}")]


def resume_and_interrupt(case: Case) -> Interrupted:
    """Ctrl-C once there is one more checkpoint."""
    before = max(checkpoints(case.killed))
    with training(case, case.killed, case.folder / "log.txt", "--resume") as process:
        wait_until(lambda: max(checkpoints(case.killed), default=0) > before or process.ended, TRAIN_S)
        process.signal(signal.SIGINT)
        code, log = process.wait(TRAIN_S), process.log
    finished = (case.killed / "adapter_model.safetensors").exists()
    return Interrupted(code, log, checkpoints(case.killed), finished)


def train_here(case: Case, output: Path, *, resume: bool = False) -> None:
    """In this process, which has loaded its libraries already."""
    finetune(load_recipe(str(case.recipe)), case.train, output, dev=case.dev, observer=SilentObserver(), resume=resume)


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Case], Interrupted]:
    """Both judges, each trained undisturbed, and killed and resumed; one was interrupted by Ctrl-C, too."""
    folder = tmp_path_factory.mktemp("finetune")
    made = [
        make_case(folder, "gemma", "gemma2", "pairwise", epochs=8, dtype="float32"),
        make_case(folder, "llama", "llama", "pointwise", epochs=8, dtype="bfloat16", quantization="8bit"),
    ]
    with ThreadPoolExecutor(2, "case") as pool, on_one_cpu_thread():
        killed = [pool.submit(kill_midway, case) for case in made]
        for case in made:
            train_here(case, case.undisturbed)
        for future in killed:
            future.result()
        interrupted = pool.submit(resume_and_interrupt, made[0])
        train_here(made[1], made[1].killed, resume=True)
        told = interrupted.result()
        train_here(made[0], made[0].killed, resume=True)
    return {case.name: case for case in made}, told


@pytest.fixture
def cases(work: tuple[dict[str, Case], Interrupted]) -> dict[str, Case]:
    return work[0]


def receipt(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return fields


def losses(folder: Path) -> list[float]:
    """The loss of every step, as the last checkpoint's state tells it."""
    steps = receipt(folder)["steps"]
    state = json.loads((folder / "run" / f"checkpoint-{steps}" / "trainer_state.json").read_text())
    found = [entry["loss"] for entry in state["log_history"] if "loss" in entry]
    assert len(found) == steps
    return found


def dev_predictions(folder: Path) -> dict[str, list[float]]:
    with (folder / "dev-predictions.csv").open(newline="") as file:
        _, *rows = csv.reader(file)
    return {name: list(map(float, row)) for name, *row in rows}


def write_panel(case: Case, **entry: object) -> Path:
    """A panel file with the judge that was killed and resumed."""
    fields = yaml.safe_load(case.recipe.read_text())
    judge = {name: fields[name] for name in ("name", "base", "kind", "max_length")}
    path = case.folder / "panel.yaml"
    path.write_text(yaml.safe_dump({"judges": [{**judge, "adapter": str(case.killed), "device": "cpu", **entry}]}))
    return path


def panel_probabilities(panel: Path, dev: Path) -> Triples:
    battles = [record.content for record in read_battles(dev) if isinstance(record.content, Battle)]
    with one_torch_thread(), load_panel(load_panel_config(panel)) as judges:
        answers = judges.score(battles)
    rows = [answer.probabilities for answer in answers if isinstance(answer, PanelAnswer)]
    return np.array([list(row.model_dump().values()) for row in rows])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["gemma", "llama"])
def test_a_killed_run_that_is_resumed_ends_with_the_loss_of_an_undisturbed_one(
    cases: dict[str, Case], name: str
) -> None:
    case = cases[name]
    found, expected = receipt(case.killed), receipt(case.undisturbed)
    assert found["recipe"]["quantization"] == ("8bit" if name == "llama" else "none")
    assert losses(case.killed) == losses(case.undisturbed)
    assert losses(case.killed)[-1] < losses(case.killed)[0]
    assert found["metrics"] == expected["metrics"]
    costs = dict.fromkeys(("seconds", "cpu_seconds"))
    assert {**found, **costs} == {**expected, **costs}
    for file in ("adapter_model.safetensors", "dev-predictions.csv"):
        assert (case.killed / file).read_bytes() == (case.undisturbed / file).read_bytes()


@pytest.mark.timeout(600)
def test_its_adapter_serves_with_the_probabilities_of_the_runs_own_evaluation(
    cases: dict[str, Case], stream_config: MakeConfig, tmp_path: Path
) -> None:
    case = cases["gemma"]
    config = stream_config()
    expected = dev_predictions(case.killed)
    events = [line.encode() for line in case.dev.read_text().splitlines()]
    produce(config, events)
    panel = write_panel(case, dtype="float32")
    with prefstream(*run_arguments(config, panel), log=tmp_path / "log.txt") as run:
        run.wait_streaming()
        wait_until(lambda: visible_count(config) >= len(events), START_S, "every preference")
        run.signal(signal.SIGTERM)
        assert run.wait() == 0
    found = {}
    for record in read_topic(config.bootstrap_servers, config.preferences_topic):
        preference = decode_preference(record.value)
        found[preference.id] = list(preference.probabilities.model_dump().values())
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[name] for name in expected], list(expected.values()), rtol=0, atol=1e-5)
    assert len({tuple(row) for row in expected.values()}) > 5


@pytest.mark.timeout(600)
def test_an_adapter_of_an_8_bit_base_serves_on_an_8_bit_base(cases: dict[str, Case]) -> None:
    """Serving batches otherwise than training, and bfloat16 rounds otherwise in another batch (0.06 were seen)."""
    case = cases["llama"]
    served = panel_probabilities(write_panel(case, quantization="8bit", dtype="bfloat16"), case.dev)
    expected = np.array(list(dev_predictions(case.killed).values()))
    np.testing.assert_allclose(served, expected, rtol=0, atol=0.06)
    assert np.abs(served - expected).mean() < 0.01


@pytest.mark.timeout(600)
def test_ctrl_c_saves_and_says_how_to_go_on(work: tuple[dict[str, Case], Interrupted]) -> None:
    cases, told = work
    assert told.code == EXIT_INTERRUPTED, told.log
    assert "going on at step" in told.log
    assert "finishing the step at hand, then saving" in told.log
    assert "interrupted and saved; go on with the same command and --resume" in told.log
    assert "Traceback" not in told.log
    assert 0 < max(told.steps) < receipt(cases["gemma"].undisturbed)["steps"]
    assert not told.finished


TELLS_HOW_IT_LEAVES = """
import gc

import torch

destroy = torch.distributed.destroy_process_group


def tell_and_destroy(*given):
    wrapped = [found for found in gc.get_objects() if type(found) is torch.nn.parallel.DistributedDataParallel]
    print(f"leaving with {len(wrapped)} wrapped models", flush=True)
    destroy(*given)


torch.distributed.destroy_process_group = tell_and_destroy
"""
"""Put before a program: it says what still owns the process group as it is destroyed."""


def launch(arguments: Sequence[str], log: Path) -> None:
    """Run `prefstream` in two processes, as accelerate's launcher does."""
    script = log.with_name("command.py")  # its folder is searched for modules first: not by the name of one
    script.write_text(TELLS_HOW_IT_LEAVES + PREFSTREAM)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    with log.open("wb") as file:
        done = subprocess.run(
            [*launcher, *arguments], stdout=file, stderr=file, env=child_environment(), timeout=TRAIN_S
        )
    assert done.returncode == 0, log.read_text()


@pytest.mark.timeout(600)
def test_two_processes_learn_what_one_learns_that_adds_up_two_steps(tmp_path: Path) -> None:
    """Each takes every other step, and the mean of their gradients is that of both: data-parallel training."""
    # An even number of steps: of an odd one, the process without a last step repeats its first.
    shared = {"dtype": "float32", "epochs": 2, "lora": {"rank": 4, "alpha": 8}, "checkpoints": 2}
    case = make_case(tmp_path, "pair", "gemma2", "pairwise", **shared)  # type: ignore[arg-type]
    launch(case.arguments(case.killed), tmp_path / "log.txt")
    recipe = load_recipe(str(case.recipe), {"step.accumulation": 2})
    with on_one_cpu_thread():
        finetune(recipe, case.train, case.undisturbed, dev=case.dev, observer=SilentObserver())
    assert receipt(case.killed)["steps"] == receipt(case.undisturbed)["steps"]
    expected = np.array(list(dev_predictions(case.undisturbed).values()))
    np.testing.assert_allclose(np.array(list(dev_predictions(case.killed).values())), expected, rtol=0, atol=1e-4)
    log = (tmp_path / "log.txt").read_text()
    assert log.count("the adapter is in") == 1
    # One that goes after the group, as its last owner, now and then waits for ever.
    assert log.count("leaving with 0 wrapped models") == 2
