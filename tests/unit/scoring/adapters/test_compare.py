"""Runs compared on the battles that all were measured on: figures of evaluation and calibration, on the same draws."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefstream.schemas import OUTCOMES
from prefstream.scoring.adapters.compare import NO_TIER, TierComparison, compare_runs
from prefstream.scoring.errors import FileError
from prefstream.scoring.evaluation.battle_facts import gather_facts
from prefstream.scoring.evaluation.metrics import log_loss
from prefstream.scoring.files.labelled import Label, LabelledBattle
from prefstream.scoring.files.submission import encode_submission
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.probabilities import Triples
from tests.support.judged import make_labelled, make_probabilities

LABELLED = make_labelled(200, prompts=60)
FACTS = gather_facts(LABELLED)
TRUTH = np.eye(3)[FACTS.outcomes]


def write_run(
    folder: Path, probabilities: Triples, *, battles: Sequence[LabelledBattle] = LABELLED, **receipt: Any
) -> Path:
    """A run's folder as `finetune` leaves it, as far as a comparison looks at it."""
    folder.mkdir()
    recipe = Recipe(name="tiny", base="base", kind="pointwise", **receipt.pop("recipe", {}))
    fields = {
        "recipe": recipe.model_dump(mode="json"),
        "data": {"train": {"sha256": "a" * 64}, "dev": None, "held_out": "1/5", "teacher": None},
        "plan": {"tokens": 1000},
        "steps": 7,
        "seconds": 120.0,
        "cpu_seconds": 90.0,
        **receipt,
    }
    (folder / "train.json").write_text(json.dumps(fields))
    (folder / "dev-predictions.csv").write_bytes(encode_submission([one.battle.id for one in battles], probabilities))
    return folder


def only(tiers: Sequence[TierComparison], name: str) -> TierComparison:
    [found] = [tier for tier in tiers if tier.tier == name]
    return found


def test_a_run_that_knows_more_is_better_beyond_luck_on_each_tier(tmp_path: Path) -> None:
    guess = write_run(tmp_path / "guess", make_probabilities(200))
    better = write_run(tmp_path / "better", 0.5 * make_probabilities(200) + 0.5 * TRUTH)
    found = compare_runs(FACTS, [[guess], [better]])
    assert [(tier.tier, tier.battles) for tier in found.tiers] == [("core", 160), ("arena", 40)]
    core = only(found.tiers, "core")
    first, second = core.runs
    assert (first.change, first.accuracy_change) == (None, None)
    for change in (second.change, second.accuracy_change):
        assert change is not None
        assert change.excludes_zero
    assert second.calibrated is not None
    assert first.calibrated is not None
    assert second.change is not None
    assert second.change.value == pytest.approx((second.calibrated.value or 0) - (first.calibrated.value or 0))
    assert only(found.tiers, "arena").runs[0].calibrated is None  # 40 battles are too few to fit on


def test_the_plain_figure_is_evaluations(tmp_path: Path) -> None:
    said = make_probabilities(200)
    found = compare_runs(FACTS, [[write_run(tmp_path / "one", said)]])
    rows = np.array([one.tier == "core" for one in LABELLED])
    outcomes = FACTS.outcomes
    assert only(found.tiers, "core").runs[0].log_loss.value == pytest.approx(
        log_loss(said[rows], outcomes[rows]).of_all()
    )


def test_a_run_that_is_only_too_sure_is_level_once_it_is_calibrated(tmp_path: Path) -> None:
    said = 0.9 * make_probabilities(200) + 0.1 * TRUTH
    sharp = said**2 / (said**2).sum(axis=1, keepdims=True)
    core = only(
        compare_runs(FACTS, [[write_run(tmp_path / "as-is", said)], [write_run(tmp_path / "sharp", sharp)]]).tiers,
        "core",
    )
    plain, sure = core.runs
    assert (sure.log_loss.value or 0) - (plain.log_loss.value or 0) > 0.1
    assert sure.change is not None
    assert abs(sure.change.value or 0) < 0.01


def test_length_is_measured_as_people_decided(tmp_path: Path) -> None:
    """A run that always holds the longer answer for better finds no winner that was the shorter one."""
    facts = gather_facts(LABELLED)
    longer = np.where((facts.chars_a > facts.chars_b)[:, None], [0.7, 0.2, 0.1], [0.2, 0.7, 0.1])
    core = only(compare_runs(FACTS, [[write_run(tmp_path / "long", longer)]]).tiers, "core")
    assert core.people_longer.value is not None
    assert 0.8 < core.people_longer.value < 1
    [run] = core.runs
    assert run.shorter_found.value == 0.0
    assert run.longer.value is not None
    # Calibrated, it believes in length as much as people do.
    assert run.longer.value == pytest.approx(core.people_longer.value, abs=0.05)


def test_where_ties_are_impossible_a_and_b_share_all(tmp_path: Path) -> None:
    battles = [
        replace(one, tier="decided", label=Label(OUTCOMES[place % 2], (1.0, 0.0, 0.0), ties_possible=False))
        for place, one in enumerate(LABELLED[:30])
    ]
    said = np.full((30, 3), [0.1, 0.1, 0.8])
    [tier] = compare_runs(gather_facts(battles), [[write_run(tmp_path / "ties", said, battles=battles)]]).tiers
    assert tier.runs[0].log_loss.value == pytest.approx(np.log(2))


def test_only_battles_that_all_runs_answered_count(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", make_probabilities(150), battles=LABELLED[:150])
    two = write_run(tmp_path / "two", make_probabilities(100), battles=LABELLED[100:])
    assert sum(tier.battles for tier in compare_runs(FACTS, [[one], [two]]).tiers) == 50
    other = write_run(tmp_path / "other", make_probabilities(10), battles=LABELLED[:10])
    with pytest.raises(FileError, match="no battle that all of these runs were measured on"):
        compare_runs(FACTS, [[other], [two]])


def test_the_folds_of_a_run_count_as_one(tmp_path: Path) -> None:
    said = make_probabilities(200)
    whole = write_run(tmp_path / "whole", said)
    folds = [
        write_run(tmp_path / "1", said[:90], battles=LABELLED[:90]),
        write_run(tmp_path / "2", said[90:], battles=LABELLED[90:]),
    ]
    found = compare_runs(FACTS, [[whole], folds])
    assert found.records[1].name == "1 + 2"
    assert found.records[1].differences == {"hold-out": "1/5 + 1/5"}
    assert (found.records[1].minutes, found.records[1].steps, found.records[1].tokens) == (4.0, 14, 2000)
    for tier in found.tiers:
        assert tier.runs[1].change is not None
        assert tier.runs[1].change.value == 0.0


def test_battles_without_a_tier_are_one_group(tmp_path: Path) -> None:
    battles = [replace(one, tier=None) for one in LABELLED]
    [tier] = compare_runs(gather_facts(battles), [[write_run(tmp_path / "one", make_probabilities(200))]]).tiers
    assert (tier.tier, tier.battles, tier.prompts) == (NO_TIER, 200, 60)


def test_settings_that_differ_from_the_first_run_are_told(tmp_path: Path) -> None:
    first = write_run(tmp_path / "first", make_probabilities(200))
    data = {"balance_length": "step", "stages": [{"epochs": 2}]}
    taught = {"files": [{"file": "a.jsonl"}, {"file": "b.csv"}], "pairs": 9}
    second = write_run(
        tmp_path / "second",
        make_probabilities(200),
        recipe={"seed": 3, "data": data},
        data={"train": {"sha256": "a" * 64}, "dev": None, "held_out": "1/5", "teacher": taught},
        start="base-run",
    )
    one, two = compare_runs(FACTS, [[first], [second]]).records
    assert one.differences == {}
    assert two.differences.keys() == {"seed", "data.balance_length", "data.stages", "teacher", "start-from"}
    assert two.differences["teacher"] == "a.jsonl + b.csv"
    assert (one.minutes, one.cpu_minutes, one.steps, one.tokens, two.seed) == (2.0, 1.5, 7, 1000, 3)


def test_a_receipt_of_an_older_run_or_of_one_without_steps_is_read(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", make_probabilities(200))
    receipt = json.loads((run / "train.json").read_text())
    del receipt["cpu_seconds"], receipt["plan"], receipt["steps"], receipt["recipe"]["seed"]
    del receipt["data"]["held_out"], receipt["data"]["teacher"]
    (run / "train.json").write_text(json.dumps(receipt))
    [record] = compare_runs(FACTS, [[run]]).records
    assert (record.cpu_minutes, record.tokens, record.steps, record.seed) == (None, None, None, None)


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="holds no finished run"):
        compare_runs(FACTS, [[tmp_path]])
    run = write_run(tmp_path / "run", make_probabilities(200))
    (run / "dev-predictions.csv").unlink()
    with pytest.raises(FileError, match="measured on nothing; train with --hold-out or --eval"):
        compare_runs(FACTS, [[run]])


@pytest.mark.parametrize("key", ["recipe", "data", "seconds"])
def test_a_receipt_that_is_none_of_a_run_is_refused(tmp_path: Path, key: str) -> None:
    run = write_run(tmp_path / "run", make_probabilities(200))
    receipt = json.loads((run / "train.json").read_text())
    del receipt[key]
    (run / "train.json").write_text(json.dumps(receipt))
    with pytest.raises(FileError, match="holds no finished run"):
        compare_runs(FACTS, [[run]])
