"""Whole runs of a tiny judge: what they leave behind, going on after an interruption, and what is refused."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from prefstream.scoring.adapters.receipt import PREDICTIONS
from prefstream.scoring.atomic_file import hash_file
from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.errors import ConfigError, FileError, FinetuneError, LoadError
from prefstream.scoring.files.data_report import DataReport
from prefstream.scoring.files.labelled import LabelledBattle
from prefstream.scoring.files.submission import encode_submission
from prefstream.scoring.finetune.callbacks import COMPLETE, StepReport, newest_checkpoint
from prefstream.scoring.finetune.checks import ANY_DATA, WORK, check_run
from prefstream.scoring.finetune.data.parts import DataPart, Fold, parts
from prefstream.scoring.finetune.recipe import DataRecipe, OptimizerRecipe, Recipe, StageRecipe, load_recipe
from prefstream.scoring.finetune.run import Outcome, finetune
from prefstream.scoring.judges.devices import place_judges
from prefstream.scoring.loading.adapter_record import AdapterRecord
from prefstream.scoring.loading.judge import load_judge
from tests.support.labelled_pairs import MARK, make_recipe, make_rows, read_rows, write_rows
from tests.unit.scoring.finetune.conftest import MakeBase

STOP_AT = 6
"""Step at which runs are interrupted: between two checkpoints, and between two looks at the dev pairs."""

WEIGHTS = "adapter_model.safetensors"


@dataclass
class Watching:
    """An observer that can interrupt."""

    stop_at: int | None = None
    lines: list[str] = field(default_factory=list)
    reports: list[StepReport] = field(default_factory=list)

    def say(self, line: str) -> None:
        self.lines.append(line)

    def advanced(self, report: StepReport) -> None:
        self.reports.append(report)

    def wants_to_stop(self) -> bool:
        return self.stop_at is not None and self.reports[-1].step >= self.stop_at


@dataclass(frozen=True)
class Files:
    """Data to train on and to select by."""

    train: Path
    dev: Path


@dataclass(frozen=True)
class Finished:
    """A run that nobody disturbed."""

    folder: Path
    recipe: Recipe
    outcome: Outcome
    watching: Watching


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("data")
    rows = make_rows(40, prompts=10)
    train = write_rows(folder / "train.jsonl", [*rows, {"id": "no battle"}])
    return Files(train, write_rows(folder / "dev.jsonl", make_rows(18, prompts=6, seed=1)))


@pytest.fixture(scope="module")
def recipe(base: MakeBase) -> Recipe:
    """With dropout: what is drawn must be the same after an interruption."""
    lora = {"rank": 4, "alpha": 8, "dropout": 0.1}
    return make_recipe(base("llama"), lora=lora, data={"stages": [{"epochs": 3}]}, licence="Nobody's")


@pytest.fixture(scope="module")
def finished(files: Files, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("finished") / "adapter"
    watching = Watching()
    outcome = finetune(recipe, files.train, folder, dev=files.dev, observer=watching)
    return Finished(folder, recipe, outcome, watching)


@pytest.fixture(scope="module")
def interrupted(files: Files, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interrupted") / "adapter"
    watching = Watching(stop_at=STOP_AT)
    outcome = finetune(
        recipe, files.train, folder, dev=files.dev, observer=watching, interrupted=watching.wants_to_stop
    )
    assert outcome == Outcome(finished=False, metrics={}, steps=STOP_AT)
    return folder


@pytest.fixture
def again(interrupted: Path, tmp_path: Path) -> Path:
    """The interrupted run, for a test of its own."""
    return shutil.copytree(interrupted, tmp_path / "adapter")


def read_rows_that_count(path: Path) -> list[LabelledBattle]:
    """The usable rows of a file that has others, too."""
    return list(DataPart(path).battles())


def receipt(folder: Path) -> dict[str, Any]:
    fields: dict[str, Any] = json.loads((folder / "train.json").read_text())
    return fields


def dev_predictions(folder: Path) -> dict[str, list[float]]:
    with (folder / "dev-predictions.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["id", "winner_model_a", "winner_model_b", "winner_tie"]
    return {name: list(map(float, row)) for name, *row in rows}


def tensors(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every leaf of a nested state, with its place."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from tensors(inner, f"{path}/{key}")
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from tensors(inner, f"{path}/{number}")
    else:
        yield path, value


def assert_same_state(one: Path, other: Path) -> None:
    """Two files of torch hold the same, bit by bit."""
    found, expected = (dict(tensors(torch.load(path, weights_only=True))) for path in (one, other))
    assert found.keys() == expected.keys()
    for place, value in found.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, expected[place]), place
        else:
            assert value == expected[place], place


# What a run leaves behind.


def test_the_folder_holds_all_that_serving_and_readers_need(finished: Finished) -> None:
    assert {path.name for path in finished.folder.iterdir()} == {
        WEIGHTS,
        "adapter_config.json",
        "prefstream.json",
        "train.json",
        "README.md",
        "curves.png",
        "dev-predictions.csv",
        WORK,
    }
    assert list((finished.folder / WORK / "tensorboard").glob("events.out.tfevents.*"))
    assert (finished.folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (finished.folder / WEIGHTS).stat().st_mode & 0o777 == 0o644


def test_no_file_tells_where_the_run_took_place_or_what_users_wrote(finished: Finished, base: MakeBase) -> None:
    """Beside the working folder, which stays at home, what is published holds no path and no text of a battle."""
    secrets = [str(path).encode() for path in (finished.folder, base("llama"), Path.home(), Path("/tmp"))]  # noqa: S108
    for path in finished.folder.iterdir():
        if path.is_file():
            content = path.read_bytes()
            assert [secret for secret in (*secrets, MARK.encode()) if secret in content] == [], path.name


def test_the_record_says_how_the_judge_reads(finished: Finished) -> None:
    record = AdapterRecord.read(finished.folder)
    assert (record.kind, record.labels) == ("pointwise", ("score", "tie"))
    assert record.template == "llama3-pointwise-1"
    assert (record.max_length, record.mask_identity, record.base) == (96, False, "llama")
    assert record.base_hash == receipt(finished.folder)["base_hash"]
    assert -5 < record.tau < 5
    settings = json.loads((finished.folder / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"], settings["base_model_name_or_path"]) == (4, 8, "llama")
    assert settings["inference_mode"] is True


def test_the_receipt_says_what_was_done_with_what(finished: Finished, files: Files) -> None:
    fields = receipt(finished.folder)
    assert fields["recipe"] == {**finished.recipe.model_dump(mode="json"), "base": "llama"}
    assert fields["recipe"]["seed"] == 0
    for role, path, usable in (("train", files.train, 40), ("dev", files.dev, 18)):
        data = fields["data"][role]
        assert (data["file"], data["sha256"]) == (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
        assert data["usable"] == usable
    assert fields["data"]["train"]["rejected"]["first"][0]["line"] == 41
    assert fields["metrics"] == finished.outcome.metrics
    assert fields["steps"] == finished.outcome.steps == fields["plan"]["steps"]
    assert 0 < fields["best_step"] <= fields["steps"]
    assert {"torch", "transformers", "peft", "prefstream"} <= fields["versions"].keys()
    assert (fields["dtype"], fields["device"]) == ("float32", "cpu")


def test_the_card_tells_people_what_it_is(finished: Finished) -> None:
    card = (finished.folder / "README.md").read_text()
    for expected in ("# tiny", "Nobody's", "pointwise", "llama", "train.jsonl", "log_loss"):
        assert expected in card


def test_people_are_told_what_happens(finished: Finished) -> None:
    watching = finished.watching
    assert any("40 pairs" in line for line in watching.lines)
    steps = finished.outcome.steps
    assert watching.reports[-1].step == watching.reports[-1].steps == steps
    looks = [report.step for before, report in pairwise(watching.reports) if report.dev != before.dev]
    every = -(-steps // 3)
    assert looks == [every, 2 * every, steps]


def test_prompts_that_are_both_learnt_and_measured_on_are_told(files: Files, recipe: Recipe, tmp_path: Path) -> None:
    watching = Watching(stop_at=1)
    finetune(recipe, files.train, tmp_path, dev=files.train, observer=watching, interrupted=watching.wants_to_stop)
    (told,) = [line for line in watching.lines if "figures on them flatter" in line]
    assert re.match(rf"(\d+) of \1 prompts of {files.train.name} stand in {files.train.name}", told)


def test_the_rows_found_are_reported(files: Files, recipe: Recipe, tmp_path: Path) -> None:
    reports: dict[str, DataReport] = {}

    def stop_reading(name: str, report: DataReport) -> None:
        reports[name] = report
        if name == "dev":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finetune(recipe, files.train, tmp_path, dev=files.dev, observer=Watching(), seen=stop_reading)
    assert {name: (report.usable, report.rejected.total()) for name, report in reports.items()} == {
        "train": (40, 1),
        "dev": (18, 0),
    }


@pytest.mark.parametrize(("kind", "store"), [("pointwise", "float32"), ("pairwise", "bfloat16")])
def test_a_served_judge_answers_what_the_run_found_at_its_end(
    finished: Finished, files: Files, base: MakeBase, tmp_path: Path, kind: str, store: str
) -> None:
    """The predictions are those of the adapter as stored, rounded to bfloat16 where the recipe says so."""
    folder = finished.folder
    if store == "bfloat16":
        folder = tmp_path / "adapter"
        recipe = make_recipe(base("gemma2"), kind=kind, store=store, data={"swap": "random"}, step={"weight": 12})
        finetune(recipe, files.train, folder, dev=files.dev, observer=Watching())
        assert {"flip_rate", "log_loss_arena"} <= receipt(folder)["metrics"].keys()
    assert {tensor.dtype for tensor in load_file(folder / WEIGHTS).values()} == {getattr(torch, store)}
    family = {"pointwise": "llama", "pairwise": "gemma2"}[kind]
    entry = {"name": "served", "kind": kind, "base": base(family), "adapter": folder, "max_length": 96}  # type: ignore[arg-type]
    config = ModelJudgeConfig.model_validate({**entry, "device": "cpu", "dtype": "float32"})
    judge = load_judge(config, place_judges([config])["served"])
    battles = [one.battle for one in read_rows(files.dev)]
    served = judge.score(judge.encode(battles)).probabilities
    judge.close()
    found = dev_predictions(folder)
    assert len({tuple(row) for row in found.values()}) > 5
    np.testing.assert_allclose(served, [found[battle.id] for battle in battles], atol=1e-5)


# Going on.


def test_a_run_that_goes_on_ends_as_if_nothing_had_happened(
    again: Path, finished: Finished, files: Files, recipe: Recipe
) -> None:
    """Weights, optimiser, best weights, losses and predictions are the same to the last bit."""
    half_written = again / WORK / "checkpoint-999"
    shutil.copytree(again / WORK / f"checkpoint-{STOP_AT}", half_written)
    (half_written / COMPLETE).unlink()
    (half_written / "optimizer.pt").write_bytes(b"half")
    assert not (again / WEIGHTS).exists()

    watching = Watching()
    outcome = finetune(recipe, files.train, again, dev=files.dev, observer=watching, resume=True)
    assert f"going on at step {STOP_AT}" in watching.lines
    assert watching.reports[0].step == STOP_AT + 1
    assert outcome == finished.outcome
    for name in (WEIGHTS, "dev-predictions.csv", "prefstream.json", "README.md"):
        assert (again / name).read_bytes() == (finished.folder / name).read_bytes(), name
    ours, theirs = receipt(again), receipt(finished.folder)
    costs = dict.fromkeys(("seconds", "cpu_seconds"))
    assert {**ours, **costs} == {**theirs, **costs}
    last, undisturbed = (newest_checkpoint(folder / WORK) for folder in (again, finished.folder))
    assert last is not None
    assert undisturbed is not None
    assert last.name == undisturbed.name == f"checkpoint-{outcome.steps}"
    for name in ("optimizer.pt", "scheduler.pt"):
        assert_same_state(last / name, undisturbed / name)
    history, expected = (
        json.loads((folder / "trainer_state.json").read_text())["log_history"] for folder in (last, undisturbed)
    )
    assert [entry.get("loss") for entry in history] == [entry.get("loss") for entry in expected]


def test_a_finished_run_that_is_resumed_ends_the_same_at_once(
    finished: Finished, files: Files, recipe: Recipe, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished.folder, tmp_path / "adapter")
    (folder / WEIGHTS).unlink()
    watching = Watching()
    outcome = finetune(recipe, files.train, folder, dev=files.dev, observer=watching, resume=True)
    assert outcome == finished.outcome
    assert watching.reports == []
    assert (folder / WEIGHTS).read_bytes() == (finished.folder / WEIGHTS).read_bytes()


def test_another_recipe_is_not_resumed(again: Path, files: Files, recipe: Recipe) -> None:
    other = recipe.model_copy(update={"seed": 1})
    with pytest.raises(ConfigError, match="the run was started with another recipe; start anew with --force"):
        finetune(other, files.train, again, dev=files.dev, observer=Watching(), resume=True)


@pytest.mark.parametrize("changed", ["train", "dev"])
def test_other_data_are_not_resumed(again: Path, files: Files, recipe: Recipe, tmp_path: Path, changed: str) -> None:
    other = write_rows(tmp_path / "other.jsonl", make_rows(40, prompts=10, seed=5))
    data = {"train": files.train, "dev": files.dev, changed: other}
    with pytest.raises(ConfigError, match=f"the run was started with another {changed};"):
        finetune(recipe, data["train"], again, dev=data["dev"], observer=Watching(), resume=True)


def test_starting_anew_leaves_nothing_of_the_run_before(
    finished: Finished, files: Files, recipe: Recipe, tmp_path: Path
) -> None:
    """Later checkpoints and better weights of the run before must not get into the way of a shorter one."""
    folder = shutil.copytree(finished.folder, tmp_path / "adapter")
    (folder / WORK / "best.json").write_text('{"step": 1, "log_loss": 0.0}')
    shorter = recipe.model_copy(update={"step": recipe.step.model_copy(update={"weight": 8.0})})
    outcome = finetune(shorter, files.train, folder, observer=Watching())
    assert outcome.steps < finished.outcome.steps
    checkpoints = {path.name for path in (folder / WORK).glob("checkpoint-*")}
    assert f"checkpoint-{outcome.steps}" in checkpoints
    assert f"checkpoint-{finished.outcome.steps}" not in checkpoints
    # Without dev pairs the last weights are kept, and there is nothing to tell about them.
    assert outcome.metrics == {}
    fields = receipt(folder)
    assert (fields["data"]["dev"], fields["best_step"], fields["metrics"]) == (None, None, {})
    assert not (folder / PREDICTIONS).exists()


# Measured on a part of the training data.


def test_a_held_out_part_is_measured_on_and_not_learnt_from(files: Files, recipe: Recipe, tmp_path: Path) -> None:
    watching = Watching()
    finetune(recipe, files.train, tmp_path, hold_out=Fold(2, 5), observer=watching)
    train, held_out = parts(files.train, None, Fold(2, 5))
    assert held_out is not None
    expected = [one.battle.id for one in held_out.battles()]
    assert list(dev_predictions(tmp_path)) == expected
    fields = receipt(tmp_path)
    assert fields["data"]["held_out"] == "2/5"
    assert fields["data"]["train"]["sha256"] == fields["data"]["dev"]["sha256"]
    assert (fields["data"]["train"]["usable"], fields["data"]["dev"]["usable"]) == (40 - len(expected), len(expected))
    assert fields["plan"]["pairs_seen"] == 3 * sum(1 for _ in train.battles())
    assert not any("stand in" in line for line in watching.lines)
    assert "part 2/5" in (tmp_path / "README.md").read_text()


# Learning from others.


def test_a_student_of_a_sure_teacher_says_what_the_teacher_says(files: Files, recipe: Recipe, tmp_path: Path) -> None:
    """People's labels count for nothing where the teacher has the whole share: here it says that all are ties."""
    ids = [one.battle.id for one in read_rows_that_count(files.train)]
    ties = tmp_path / "ties.csv"
    ties.write_bytes(encode_submission([*ids, "elsewhere"], np.full((41, 3), [0.005, 0.005, 0.99])))
    watching = Watching()
    student = recipe.model_copy(update={"data": recipe.data.model_copy(update={"teacher": 1.0})})
    finetune(student, files.train, tmp_path / "out", dev=files.dev, teachers=[ties], observer=watching)
    assert min(tie for _, _, tie in dev_predictions(tmp_path / "out").values()) > 0.9
    told = "40 of 40 pairs learn from the teacher, which counts 1 in them; 1 of its rows are about other battles"
    assert any(told in line for line in watching.lines)
    recorded = receipt(tmp_path / "out")["data"]["teacher"]
    assert recorded == {
        "files": [{"file": "ties.csv", "sha256": hash_file(ties), "pairs": 40, "other_rows": 1}],
        "pairs": 40,
    }
    with pytest.raises(ConfigError, match="the run was started with another teacher;"):
        finetune(student, files.train, tmp_path / "out", dev=files.dev, observer=Watching(), resume=True)


def test_a_run_begins_with_the_adapter_that_it_is_given(
    finished: Finished, files: Files, recipe: Recipe, tmp_path: Path
) -> None:
    """At a rate at which nothing moves, what comes out is what went in, its offset of the tie's logit too."""
    still = recipe.model_copy(update={"optimizer": OptimizerRecipe(learning_rate=1e-30), "max_steps": 1})
    finetune(still, files.train, tmp_path, dev=files.dev, start=finished.folder, observer=Watching())
    before, after = (load_file(folder / WEIGHTS) for folder in (finished.folder, tmp_path))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert dev_predictions(tmp_path) == dev_predictions(finished.folder)
    assert receipt(tmp_path)["start"] == "adapter"


def test_another_kind_of_judge_begins_with_what_was_learnt_and_a_new_head(
    finished: Finished, files: Files, recipe: Recipe, tmp_path: Path
) -> None:
    pairwise = recipe.model_copy(
        update={"kind": "pairwise", "optimizer": OptimizerRecipe(learning_rate=1e-30), "max_steps": 1}
    )
    finetune(pairwise, files.train, tmp_path, dev=files.dev, start=finished.folder, observer=Watching())
    before, after = (load_file(folder / WEIGHTS) for folder in (finished.folder, tmp_path))
    lora = [name for name in before if "lora_" in name]
    assert lora
    assert all(torch.equal(before[name], after[name]) for name in lora)
    assert AdapterRecord.read(tmp_path).labels == ("model_a", "model_b", "tie")
    assert len({tuple(row) for row in dev_predictions(tmp_path).values()}) == 1  # a head of zeros


@pytest.mark.parametrize(
    ("lora", "told"),
    [
        ({"rank": 8, "alpha": 8}, "lora.rank 4 there, 8 here"),
        ({"rank": 4, "alpha": 4}, "lora.alpha 8.0 there, 4.0 here"),
        ({"rank": 4, "alpha": 8, "frozen_layers": 1}, "lora.frozen_layers 0 there, 1 here"),
        ({"rank": 4, "alpha": 8, "targets": ["q_proj"]}, "lora.targets .* there, q_proj here"),
    ],
)
def test_an_adapter_of_another_shape_is_no_beginning(
    finished: Finished, files: Files, base: MakeBase, tmp_path: Path, lora: dict[str, Any], told: str
) -> None:
    other = make_recipe(base("llama"), lora=lora)
    with pytest.raises(LoadError, match=told):
        finetune(other, files.train, tmp_path, start=finished.folder, observer=Watching())


def test_an_adapter_that_is_cut_off_is_no_beginning(
    finished: Finished, files: Files, recipe: Recipe, tmp_path: Path
) -> None:
    cut_off = shutil.copytree(finished.folder, tmp_path / "cut-off")
    weights = cut_off / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(LoadError, match=r"adapter_model\.safetensors"):
        finetune(recipe, files.train, tmp_path / "new", start=cut_off, observer=Watching())


def test_an_adapter_of_another_base_is_no_beginning(
    finished: Finished, files: Files, base: MakeBase, tmp_path: Path
) -> None:
    other = make_recipe(base("gemma2"), lora={"rank": 4, "alpha": 8})
    with pytest.raises(LoadError, match="was trained on another base"):
        finetune(other, files.train, tmp_path, start=finished.folder, observer=Watching())
    with pytest.raises(LoadError, match=r"prefstream\.json"):
        finetune(other, files.train, tmp_path, start=tmp_path, observer=Watching())


# What is refused.


def test_a_run_in_a_folder_that_holds_one_is_refused(finished: Finished, files: Files) -> None:
    with pytest.raises(FileError, match="holds a run already; go on with --resume, or start anew with --force"):
        check_run(files.train, None, finished.folder, resume=False, force=False)
    check_run(files.train, None, finished.folder, resume=True, force=False)
    check_run(files.train, None, finished.folder, resume=False, force=True)
    with pytest.raises(FileError, match="choose one"):
        check_run(files.train, None, finished.folder, resume=True, force=True)


def test_files_that_cannot_be_used_are_refused_at_once(files: Files, tmp_path: Path) -> None:
    missing, taken = tmp_path / "missing.jsonl", tmp_path / "taken"
    taken.touch()
    for train, dev in ((missing, None), (files.train, missing)):
        with pytest.raises(FileError, match=r"missing\.jsonl"):
            check_run(train, dev, tmp_path / "out", resume=False, force=False)
    with pytest.raises(FileError, match=r"can't write to .*taken"):
        check_run(files.train, None, taken, resume=False, force=False)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "holds nothing to learn from"),
        ([{"id": "no battle"}], "holds nothing to learn from"),
        ([{**row, "winner": "tie", "votes": None} for row in make_rows(5, prompts=2)], "every label is tie"),
        ([{**row, "weight": 0} for row in make_rows(5, prompts=2)], "every weight is 0"),
    ],
)
def test_data_that_cannot_be_learnt_from_are_refused_and_claim_no_folder(
    recipe: Recipe, tmp_path: Path, rows: list[dict[str, Any]], told: str
) -> None:
    """Once the file is mended, the same command works: nothing has to be forced."""
    train, output = write_rows(tmp_path / "train.jsonl", rows), tmp_path / "adapter"
    with pytest.raises(FileError, match=told):
        finetune(recipe, train, output, observer=Watching())
    check_run(train, None, output, resume=False, force=False)


def test_dev_pairs_that_cannot_be_used_are_refused(files: Files, recipe: Recipe, tmp_path: Path) -> None:
    empty = write_rows(tmp_path / "empty.jsonl", [])
    with pytest.raises(FileError, match=r"empty\.jsonl: no row can be used"):
        finetune(recipe, files.train, tmp_path / "out", dev=empty, observer=Watching())
    elsewhere = recipe.model_copy(update={"dev": recipe.dev.model_copy(update={"tiers": ("nowhere",)})})
    with pytest.raises(ConfigError, match=r"dev\.tiers: no dev pair has nowhere; there are arena, core"):
        finetune(elsewhere, files.train, tmp_path / "out", dev=files.dev, observer=Watching())


def test_all_that_a_recipe_asks_of_other_data_is_told_together_and_first(files: Files, tmp_path: Path) -> None:
    """Before the base is looked for, let alone loaded: there is none here."""
    rows = [{key: value for key, value in row.items() if key != "tier"} for row in make_rows(8, prompts=4)]
    train = write_rows(tmp_path / "train.jsonl", rows)
    changes = {
        "base": str(tmp_path / "nowhere"),
        "data.stages": [{"tiers": ["arena_decided"]}, {"tiers": ["core", "arena"]}],
        "data.weights": {"arena": 1.5},
        "dev.tiers": ["arena", "core"],
    }
    asked = load_recipe("smollm2-135m", changes)
    seen: dict[str, int] = {}
    with pytest.raises(ConfigError) as caught:
        finetune(
            asked,
            train,
            tmp_path / "out",
            dev=train,
            observer=Watching(),
            seen=lambda name, report: seen.update({name: report.usable}),
        )
    assert caught.value.errors == (
        "data.weights: no pair has arena; there are one, three, two",
        "data.stages[0].tiers: no pair has arena_decided; there are none",
        "data.stages[1].tiers: no pair has core; there are none",
        "data.stages[1].tiers: no pair has arena; there are none",
        "dev.tiers: no dev pair has arena, core; there are none",
        f"the data names no tier at all; {ANY_DATA}",
    )
    assert seen == {"train": 8, "dev": 8}


def test_pairs_that_read_the_same_on_both_sides_are_told_counted_and_not_trained_on(
    recipe: Recipe, tmp_path: Path
) -> None:
    rows = make_rows(12, prompts=4)
    alike = [{**row, "id": f"alike-{row['id']}", "response_b": row["response_a"], "votes": None} for row in rows[:3]]
    decided = [{**row, "winner": "model_a"} for row in alike[:2]] + [{**alike[2], "winner": "tie"}]
    train = write_rows(tmp_path / "train.jsonl", [*rows, *decided])
    watching = Watching()
    finetune(recipe.model_copy(update={"max_steps": 1}), train, tmp_path / "out", dev=train, observer=watching)
    told = "2 of 15 pairs read the same on both sides, cut and masked as this judge reads them, though people preferred"
    assert any(line.startswith(told) for line in watching.lines)
    assert any(line.startswith("13 pairs, ") for line in watching.lines)
    data = receipt(tmp_path / "out")["data"]
    assert [data[name]["alike_though_decided"] for name in ("train", "dev")] == [2, 2]
    assert len(dev_predictions(tmp_path / "out")) == 15


def test_data_of_which_nothing_reads_differently_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    rows = [{**row, "response_b": row["response_a"], "votes": None} for row in make_rows(6, prompts=3)]
    decided = [{**row, "winner": ("model_a", "model_b")[number % 2]} for number, row in enumerate(rows)]
    with pytest.raises(FileError, match="in every pair that counts both answers read the same"):
        finetune(recipe, write_rows(tmp_path / "train.jsonl", decided), tmp_path / "out", observer=Watching())


def test_pairs_that_the_recipe_leaves_out_are_told(recipe: Recipe, files: Files, tmp_path: Path) -> None:
    one_tier = recipe.model_copy(update={"data": DataRecipe(stages=(StageRecipe(tiers=("core",)),)), "max_steps": 1})
    watching = Watching()
    finetune(one_tier, files.train, tmp_path / "out", observer=watching)
    assert any(
        line.endswith("20 pairs are left out: no stage of the recipe takes them, or it weighs them 0")
        for line in watching.lines
    )


def test_a_run_whose_loss_is_no_number_ends(files: Files, recipe: Recipe, tmp_path: Path) -> None:
    wild = recipe.model_copy(update={"optimizer": recipe.optimizer.model_copy(update={"learning_rate": 1e36})})
    with pytest.raises(FinetuneError, match=r"is no number; lower optimizer\.learning_rate"):
        finetune(wild, files.train, tmp_path / "out", observer=Watching())


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), RuntimeError("CUDA error: out of memory")], ids=repr)
def test_a_card_that_is_too_small_is_told_with_what_to_change(
    files: Files, recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def run_out(_trainer: object, **_: object) -> None:
        raise error

    monkeypatch.setattr("prefstream.scoring.finetune.trainer.JudgeTrainer.train", run_out)
    with pytest.raises(FinetuneError, match=r"memory is too small for this run; lower step\.micro_batch_tokens"):
        finetune(recipe, files.train, tmp_path / "out", observer=Watching())


def test_an_adapter_of_another_layout_is_not_served(finished: Finished, base: MakeBase, tmp_path: Path) -> None:
    folder = shutil.copytree(finished.folder, tmp_path / "adapter", ignore=shutil.ignore_patterns(WORK))
    config = ModelJudgeConfig(
        name="served", kind="pointwise", base=str(base("gemma2")), adapter=str(folder), device="cpu", max_length=96
    )
    with pytest.raises(LoadError, match="was trained with the layout llama3-pointwise-1"):
        load_judge(config, place_judges([config])["served"])
