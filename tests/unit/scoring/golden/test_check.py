"""What a golden set sees of a panel, judged by what a user reads: one line, with what is wrong, where, and a remedy."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefstream import LoadError, Panel, PanelConfig, load_panel
from prefstream.scoring.errors import GoldenSetError
from prefstream.scoring.golden.check import GoldenReport, check_golden, require_golden
from prefstream.scoring.golden.fingerprint import moved
from prefstream.scoring.golden.record import GoldenSet
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.model import LocalJudge, ModelJudge
from tests.support.goldens import break_in_memory, golden_of, panel_of
from tests.support.models import make_tiny_adapter, make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

Entry = dict[str, Any]

LEXICAL = Path(__file__).parents[4] / "scoring/demo/pretrained/lexical-demo"
"""The demo's judge of features: it is small, and comes with the package."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Entry:
    """Of `golden`; no test may spoil its files."""
    return make_tiny_judge(tmp_path_factory.mktemp("golden") / "gemma", "gemma2", hidden_size=64, layers=3)


@pytest.fixture(scope="module")
def golden(judge: Entry) -> GoldenSet:
    return golden_of(judge)


@pytest.fixture
def own(judge: Entry, tmp_path: Path) -> Entry:
    """The same judge, whose files a test may spoil."""
    shutil.copytree(Path(judge["base"]).parent, tmp_path / "gemma")
    return judge | {key: str(tmp_path / "gemma" / key) for key in ("base", "adapter")}


@pytest.fixture
def panel(judge: Entry) -> Iterator[Panel]:
    with panel_of(judge) as loaded:
        yield loaded


def elsewhere(golden: GoldenSet, **surroundings: str) -> GoldenSet:
    """As it would be if it had been made where something else moves bits."""
    record = golden.panel.model_copy(update={"surroundings": {**golden.panel.surroundings, **surroundings}})
    return dataclasses.replace(golden, panel=record)


def nudged(golden: GoldenSet, by: float) -> GoldenSet:
    """With answers that are a little off."""
    answers = []
    for known in golden.answers:
        said = known.panel.model_copy(update={"model_a": known.panel.model_a - by, "model_b": known.panel.model_b + by})
        answers.append(known.model_copy(update={"panel": said, "judges": dict.fromkeys(known.judges, said)}))
    return dataclasses.replace(golden, answers=tuple(answers))


def problem(golden: GoldenSet, *entries: Entry, **settings: Any) -> str:
    """What a user reads of a panel that is refused."""
    with panel_of(*entries, **settings) as loaded:
        loaded.golden = golden
        with pytest.raises(GoldenSetError) as refused:
            require_golden(loaded)
    assert isinstance(refused.value, LoadError)
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("golden.jsonl: ")
    return str(refused.value)


def test_the_same_panel_gives_its_answers_to_the_bit(golden: GoldenSet, panel: Panel) -> None:
    report = check_golden(panel, golden)
    assert report.passed
    assert [finding.to_the_bit for finding in report.findings] == [True, True]
    assert report.summary.startswith("answers to 8 golden battles as known, to the bit; ")


def test_a_panel_without_a_golden_set_is_let_through(panel: Panel) -> None:
    assert require_golden(panel) is None


def test_another_adapter_is_another_panel(golden: GoldenSet, own: Entry) -> None:
    shutil.rmtree(own["adapter"])
    make_tiny_adapter(Path(own["adapter"]), Path(own["base"]), seed=7)
    said = problem(golden, own)
    assert "another one than this golden set is of: judge gemma: weights of the adapter " in said
    assert " instead of " in said
    assert "prefstream golden make" in said


def test_another_tokenizer_is_another_panel(golden: GoldenSet, own: Entry) -> None:
    path = Path(own["base"]) / "tokenizer.json"
    content = json.loads(path.read_text())
    vocabulary = content["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.__getitem__)[-2:]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    path.write_text(json.dumps(content))
    assert "judge gemma: vocabulary of the tokenizer " in problem(golden, own)


def test_another_pad_token_is_another_panel(golden: GoldenSet, own: Entry) -> None:
    path = Path(own["base"]) / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"pad_token": "<unk>"}))
    assert "judge gemma: pad token of the tokenizer 3 instead of 0; " in problem(golden, own)


def overwrite(file: Path, bytes_at_the_end: int) -> None:
    """In place, as `cp` and `rsync --inplace` do; the header stays, so that it is still a file of weights."""
    with file.open("r+b") as opened:
        opened.seek(file.stat().st_size - bytes_at_the_end)
        opened.write(b"\1" * bytes_at_the_end)


def test_weights_that_are_overwritten_in_place_are_another_panel_at_the_next_load(
    golden: GoldenSet, own: Entry
) -> None:
    """What is loaded answers from memory: it gives its known answers still, and rightly."""
    weights = Path(own["base"]) / "model.safetensors"
    with panel_of(own) as loaded:
        overwrite(weights, 200_000)
        assert check_golden(loaded, golden).passed
    assert "judge gemma: weights of the base " in problem(golden, own)


def test_weights_that_are_overwritten_where_no_hash_looks_show_by_the_answers(golden: GoldenSet, own: Entry) -> None:
    """Of a base's files, which may have 20 GB, the hash takes samples."""
    overwrite(Path(own["base"]) / "model.safetensors", 400)
    assert "judge gemma answers " in problem(golden, own)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"attention": "sdpa"}, "attention"),
        ({"dtype": "bfloat16", "attention": "eager"}, "dtype bfloat16 instead of float32"),
        ({"quantization": "8bit"}, "quantization 8bit instead of none"),
        ({"max_length": 64}, "max_length 64 instead of 256"),
        ({"shares": {"prompt": 3.0}}, 'shares {"prompt": 3.0, "response": 2.0} instead of'),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_other_settings_are_another_panel(
    judge: Entry, golden: GoldenSet, settings: Entry, told: str, request: pytest.FixtureRequest
) -> None:
    if settings == {"attention": "sdpa"}:  # Gemma 2 has none
        judge = make_tiny_judge(request.getfixturevalue("tmp_path") / "llama", "llama", attention="eager")
        golden, told = golden_of(judge, count=2), "attention sdpa instead of eager"
    said = problem(golden, judge | settings)
    assert f"judge {judge['name']}: {told}" in said


@pytest.mark.parametrize(
    ("judges", "settings", "told"),
    [
        ((prior_entry("one"),), {}, "it has no judge two"),
        ((prior_entry("one"), prior_entry("two"), prior_entry("three")), {}, "judge three is new"),
        ((prior_entry("one"), prior_entry("two", (0.5, 0.25, 0.25))), {}, "judge two: probabilities "),
        ((prior_entry("one"), prior_entry("two")), {"swap": True}, "swap true instead of false"),
        ((prior_entry("one"), prior_entry("two", weight=2.0)), {}, 'weights {"one": 1.0, "two": 2.0} instead of {"one'),
        (
            (prior_entry("one"), prior_entry("two")),
            {"recuse": {"one": ["g*"]}},
            'recuse {"one": ["g*"]} instead of none',
        ),
    ],
    ids=["fewer", "more", "other", "swap", "weights", "recusal"],
)
def test_other_judges_and_what_is_made_of_them_are_another_panel(
    judges: tuple[Entry, ...], settings: Entry, told: str
) -> None:
    golden = golden_of(prior_entry("one"), prior_entry("two"), count=2)
    assert told in problem(golden, *judges, **settings)


def test_another_calibration_is_another_panel(judge: Entry, golden: GoldenSet, tmp_path: Path) -> None:
    """Of the panel's mean, and of a judge: what it makes of what judges say."""
    fitted = CalibrationFile(panel=Calibration(temperature=2.0), judges={"gemma": Calibration(tie_bias=0.5)})
    fitted.write(tmp_path / "panel.json")
    said = problem(golden, judge, calibration=str(tmp_path / "panel.json"))
    assert 'calibration {"temperature": 2.0' in said
    assert 'calibrations {"gemma": {"temperature": 1.0, "tie_bias": 0.5}} instead of ' in said


def test_a_calibration_that_is_given_in_place_of_the_files_leaves_the_judges_their_own_answers(
    judge: Entry, golden: GoldenSet, tmp_path: Path
) -> None:
    golden.write(tmp_path / "golden.jsonl")
    config = PanelConfig.model_validate({"judges": [judge], "golden": str(tmp_path / "golden.jsonl")})
    fitted = CalibrationFile(panel=Calibration(temperature=2.0), judges={"gemma": Calibration(tie_bias=0.5)})
    with load_panel(config, calibration=fitted) as loaded:
        report = require_golden(loaded)
        assert report is not None
        assert [(finding.name, finding.to_the_bit) for finding in report.findings] == [("gemma", True)]
        break_in_memory(loaded, "gemma")
        with pytest.raises(GoldenSetError, match="judge gemma answers"):
            require_golden(loaded)


def test_judges_that_are_weighed_and_calibrated_anew_are_held_to_their_own_answers(
    golden: GoldenSet, panel: Panel
) -> None:
    panel.golden = golden
    other = panel.recalibrated(CalibrationFile(panel=Calibration(temperature=2.0), weights={"gemma": 3.0}))
    first, again = require_golden(other), require_golden(other)
    assert first is not None
    assert again is not None
    assert [finding.name for finding in first.findings] == ["gemma"]
    assert [finding.name for finding in again.findings] == ["gemma", "panel"]
    break_in_memory(panel, "gemma")  # the same judge
    with pytest.raises(GoldenSetError, match="judge gemma answers"):
        require_golden(other)


def test_a_sign_that_flipped_in_memory_shows(golden: GoldenSet, panel: Panel) -> None:
    """No hash tells: the files are what they were."""
    break_in_memory(panel, "gemma")
    report = check_golden(panel, golden)
    assert not report.others
    assert report.problem is not None
    assert "golden.jsonl: judge gemma answers 8 of 8 golden battles otherwise, off by " in report.problem
    assert "start again, and if it stays so, look at the device" in report.problem


def test_a_pad_token_that_is_a_wrong_one_in_memory_shows(golden: GoldenSet, panel: Panel) -> None:
    [judge] = panel.judges
    assert isinstance(judge, ModelJudge)
    judge.model_config.pad_token_id = judge.encoder.last_token  # what the head reads is then one token too early
    assert "judge gemma answers " in str(check_golden(panel, golden).problem)


def test_a_bit_is_enough_where_nothing_may_move_one(golden: GoldenSet, panel: Panel) -> None:
    assert not check_golden(panel, nudged(golden, 1e-15)).passed


def test_elsewhere_answers_may_differ_within_the_bound_of_their_dtype_and_it_is_told_why(
    golden: GoldenSet, panel: Panel
) -> None:
    report = check_golden(panel, nudged(elsewhere(golden, numpy="1.0"), 1e-6))
    assert report.passed
    assert "near the known ones (gemma off by 7e-07 of 1e-05 on average" in report.summary
    assert f", with numpy {np.__version__} instead of 1.0; " in report.summary
    far = check_golden(panel, nudged(elsewhere(golden, numpy="1.0"), 1e-3)).problem
    assert far is not None
    assert "judge gemma is off its known answers by 0.0007 on average, 0.001 at most; numpy " in far
    assert " instead of 1.0 can explain 1e-05 on average; its weights" in far


@pytest.mark.parametrize(
    ("known", "told"),
    [
        ("AMD EPYC avx2 fma", "processor Xeon amx_bf16 instead of AMD EPYC"),
        ("Xeon avx2 fma", "processor with amx_bf16"),
        ("Xeon amx_bf16 avx2 avx_vnni fma", "processor without avx_vnni"),
    ],
)
def test_of_a_processor_what_is_told_is_in_what_it_is_another_one(golden: GoldenSet, known: str, told: str) -> None:
    there = elsewhere(golden, processor=known).panel
    here = elsewhere(golden, processor="Xeon amx_bf16 avx2 fma").panel
    assert moved(there, here) == {"": told}


def test_one_battle_that_is_far_off_shows_where_the_mean_does_not(golden: GoldenSet, panel: Panel) -> None:
    """As where one pass of many went wrong."""
    golden = elsewhere(golden, numpy="1.0")
    off = nudged(golden, 2e-4).answers[:1] + golden.answers[1:]
    report = check_golden(panel, dataclasses.replace(golden, answers=off))
    assert report.findings[0].mean < 2e-5
    wide = {name: one.model_copy(update={"bound": 1.9e-5}) for name, one in golden.panel.judges.items()}
    record = golden.panel.model_copy(update={"judges": wide})
    assert check_golden(panel, dataclasses.replace(golden, answers=off, panel=record)).passed is False


def test_a_sign_that_flips_shows_elsewhere_too(golden: GoldenSet, panel: Panel) -> None:
    break_in_memory(panel, "gemma")
    assert not check_golden(panel, elsewhere(golden, numpy="1.0")).passed


def test_who_was_near_once_is_held_to_what_it_said_then(golden: GoldenSet, panel: Panel) -> None:
    panel.golden = nudged(elsewhere(golden, numpy="1.0"), 1e-6)
    first = require_golden(panel)
    again = require_golden(panel)
    assert first is not None
    assert again is not None
    assert not any(finding.to_the_bit for finding in first.findings)
    assert all(finding.to_the_bit for finding in again.findings)


def test_other_micro_batches_may_move_bits(golden: GoldenSet, judge: Entry) -> None:
    with panel_of(judge | {"micro_batch_tokens": 1}) as loaded:
        report = check_golden(loaded, golden)
    assert report.passed
    assert report.moved == {"gemma": "other micro-batches"}
    assert not any(finding.to_the_bit for finding in report.findings)


def test_a_judge_that_was_left_out_makes_no_other_panel_and_the_rest_is_held_to_their_answers(judge: Entry) -> None:
    entries = [judge, prior_entry("one")]
    golden = golden_of(*entries, count=2, on_judge_failure="degrade")
    with panel_of(*entries, on_judge_failure="degrade") as loaded:
        for one in loaded.judges:
            if isinstance(one, LocalJudge):
                one.forwards[0].close()
        report = check_golden(loaded, golden)
        again = check_golden(loaded, golden)
    assert report.left_out == again.left_out == ("gemma",)
    assert [finding.name for finding in report.findings] == ["one"]
    assert report.passed
    assert again.passed
    assert "without gemma" in report.summary


def test_replicas_and_judges_of_features_are_held_to_the_bit(judge: Entry) -> None:
    lexical = {"name": "lexical", "kind": "features", "adapter": str(LEXICAL)}
    entries = [judge | {"device": ["cpu", "cpu"], "micro_batch_tokens": 64}, lexical]
    golden = golden_of(*entries, swap=True)
    with panel_of(*entries, swap=True) as loaded:
        report: GoldenReport = check_golden(loaded, golden)
    assert [(finding.name, finding.to_the_bit) for finding in report.findings] == [
        ("gemma", True),
        ("lexical", True),
        ("panel", True),
    ]
    assert report.passed
    assert len(golden.panel.judges["gemma"].passes or ()) > 2
