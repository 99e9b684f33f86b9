"""The run as a whole: what it refuses, and that no section spoils another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from prefstream.scoring.bench.gpu import check
from prefstream.scoring.bench.gpu.check import check_card, on_device, require_device
from prefstream.scoring.bench.gpu.report import Section, SectionName
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.request import models
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError, LoadError
from tests.support.models import make_tiny_judge
from tests.support.priors import prior_entry

pytestmark = pytest.mark.timeout(900)
"""A process that loads torch: minutes on a machine with twenty times the work."""


def _ignore(_line: str) -> None:
    """Lines that nobody reads."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> PanelConfig:
    judge = make_tiny_judge(tmp_path_factory.mktemp("checked"), "llama", "pointwise", name="llama")
    return PanelConfig.model_validate({"judges": [judge, prior_entry()], "swap": True})


def test_a_section_runs_in_a_process_of_its_own_and_the_report_is_json(config: PanelConfig) -> None:
    done: list[Section] = []
    report = check_card(config, device="cpu", battles=2, only=[SectionName.MACHINE], say=_ignore, done=done.append)
    assert [section.status for section in report.sections] == ["passed"]
    assert done == list(report.sections)
    fields = json.loads(json.dumps(report.to_fields()))
    assert (fields["format"], fields["device"], fields["passed"]) == (1, "cpu", True)
    assert fields["sections"][0]["figures"]["judges"]["llama"]["architecture"] == "llama"
    assert fields["sections"][0]["seconds"] > 0


def test_a_section_whose_process_dies_has_failed_and_the_others_run(
    config: PanelConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def worker(_module: str, section: str, _request: Path, **_: object) -> dict[str, Any]:
        if section == "threads":
            raise BenchError("bench: threads failed: the process ended with code -11")
        status, reason = ("skipped", "not here") if section == "memory" else ("passed", None)
        rest: dict[str, Any] = {"seconds": 0.0, "figures": {}, "told": [], "where": []}
        return {"name": section, "status": status, "reason": reason, **rest}

    monkeypatch.setattr(check, "run_worker", worker)
    said: list[str] = []
    report = check_card(config, device="cpu", battles=2, say=said.append)
    failed = [section for section in report.sections if section.status == "failed"]
    assert [section.name for section in report.sections] == list(SectionName)
    assert [section.reason for section in failed] == ["bench: threads failed: the process ended with code -11"]
    assert not report.passed
    assert said[0] == f"section 1 of {len(SectionName)}: machine"
    monkeypatch.setattr(check, "run_worker", lambda *_, **__: worker("", "memory", Path()))
    assert check_card(config, device="cpu", battles=2, say=_ignore).passed  # what has no meaning here is no fault


def test_all_judges_that_read_are_put_on_the_device_in_one_order(config: PanelConfig) -> None:
    put = on_device(config, "cuda:1")
    assert [(judge.name, judge.device) for judge in models(put)] == [("llama", "cuda:1")]
    assert not put.swap
    assert len(put.judges) == 1


def test_a_panel_that_reads_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="nothing to try on a card"):
        check_card(PanelConfig.model_validate({"judges": [prior_entry()]}), device="cpu", battles=1, say=_ignore)


@pytest.mark.parametrize(
    ("cuda", "cards", "device", "fault"),
    [
        (None, 0, "cuda:0", r"was built without CUDA; install the build for your driver .*, or --device cpu"),
        ("13.0", 0, "cuda:0", r"finds no CUDA device; `nvidia-smi` must list one, with a driver for CUDA 13\.0"),
        ("13.0", 2, "cuda:2", r"there is no cuda:2; there are cuda:0 to cuda:1"),
    ],
)
def test_without_the_card_one_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, cuda: str | None, cards: int, device: str, fault: str
) -> None:
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cards)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cards > 0)
    with pytest.raises(LoadError, match=fault):
        require_device(device)
    require_device("cpu")
