"""Every section of a report, with real judges on the CPU; what only a card can show says so."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from prefstream.scoring.bench.gpu import agreement, speed, threads
from prefstream.scoring.bench.gpu.check import on_device
from prefstream.scoring.bench.gpu.report import Section, SectionName
from prefstream.scoring.bench.gpu.sections import carry_out
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.request import Request
from prefstream.scoring.bench.side_by_side import SideBySide
from prefstream.scoring.bench.throughput import PanelBenchResult, bench_battles
from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.errors import LoadError
from prefstream.scoring.judges.devices import Placement
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.judge import load_judge
from tests.support.models import make_tiny_judge, one_torch_thread


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def request_of(tmp_path_factory: pytest.TempPathFactory) -> Request:
    """A pairwise Gemma 2 and a pointwise Llama, for a card that is the CPU."""
    folder = tmp_path_factory.mktemp("gpu")
    judges = [
        make_tiny_judge(folder / "gemma", "gemma2", device="cuda:1", hidden_size=64, dtype="auto"),
        make_tiny_judge(folder / "llama", "llama", "pointwise", device="cuda:0", hidden_size=64, pooling="answer"),
    ]
    config = PanelConfig.model_validate({"judges": judges, "swap": True})
    return Request(on_device(config, "cpu"), tuple(bench_battles(3)), 2, folder)


def passed(section: Section) -> Section:
    assert (section.status, section.reason) == ("passed", None), section.where
    return section


def test_the_machine_is_described_with_the_attention_of_each_judge_and_why(request_of: Request) -> None:
    section = passed(carry_out("machine", request_of))
    assert section.figures["libraries"]["torch"]
    assert "can't cap scores" in section.figures["judges"]["gemma"]["why"]
    assert any(line.startswith("llama: ") for line in section.told)
    assert str(request_of.folder) not in json.dumps(asdict(section))


def test_answers_of_one_device_agree_with_themselves(request_of: Request) -> None:
    section = passed(carry_out("agreement", request_of))
    for judge in section.figures["judges"].values():
        assert judge["float32"]["most"] < 1e-5
        assert 0 <= judge["half_against_cpu_half"]["most"] <= 0.06
        assert judge["repeatable"]


def test_answers_that_differ_fail_a_section_which_keeps_its_figures(
    request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "_FLOAT32_MOST", -1.0)
    one = replace(request_of, config=request_of.config.model_copy(update={"judges": request_of.config.judges[1:]}))
    section = carry_out("agreement", one)
    assert section.status == "failed"
    assert str(section.reason).startswith("llama: in float32 answers differ from the CPU's by ")
    assert section.figures["judges"]["llama"]["repeatable"]


def test_two_judges_in_two_threads_say_what_they_say_alone(request_of: Request) -> None:
    section = passed(carry_out("threads", request_of))
    found = section.figures["one device"]
    assert list(found["judges"]) == ["gemma-1", "llama-2"]
    assert found["ratio"] == pytest.approx(found["one_after_the_other_s"] / found["together_s"])
    assert set(section.figures) == {"one device"}


def test_a_lone_judge_reads_beside_another_like_it(request_of: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_MOST", -1.0)
    one = replace(request_of, config=request_of.config.model_copy(update={"judges": request_of.config.judges[1:]}))
    section = carry_out("threads", one)
    assert list(section.figures["one device"]["judges"]) == ["llama-1", "llama-2"]
    assert section.reason == "one device: answers together differ from those alone by up to 0.0e+00"


@pytest.mark.parametrize("quantization", ["8bit", "4bit"])
def test_quantised_answers_stand_beside_those_in_16_bits(request_of: Request, quantization: str) -> None:
    section = carry_out(quantization, request_of)
    llama = section.figures["judges"]["llama"]
    assert 0 < llama["gap"]["mean"] <= llama["gap"]["most"] < 0.5
    assert llama[quantization]["tokens_per_s"] > 0 < llama["none"]["tokens_per_s"]
    assert section.status == ("passed" if not section.reason else "failed")


def test_where_bitsandbytes_is_missing_rounding_is_skipped(
    request_of: Request, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("prefstream.scoring.bench.gpu.quantised.is_installed", lambda _: False)
    section = carry_out("8bit", request_of)
    assert section.status == "skipped"
    assert "pip install" in str(section.reason)


@pytest.mark.parametrize("section", ["agreement", "8bit"])
def test_a_judge_that_does_not_fit_unrounded_is_not_tried_and_no_fault(
    request_of: Request, monkeypatch: pytest.MonkeyPatch, section: str
) -> None:
    def load(config: ModelJudgeConfig, placement: Placement) -> ModelJudge:
        if config.name == "gemma":
            raise LoadError(f"judge gemma: does not fit on {placement.device}") from torch.OutOfMemoryError()
        return load_judge(config, placement)

    monkeypatch.setattr("prefstream.scoring.bench.gpu.subjects.load_judge", load)
    found = carry_out(section, request_of)
    assert (found.status, list(found.figures["judges"])) == ("passed", ["llama"])
    assert found.told[0].startswith("gemma: not tried: ")
    one = replace(request_of, config=request_of.config.model_copy(update={"judges": request_of.config.judges[:1]}))
    alone = carry_out(section, one)
    assert alone.status == "skipped"
    assert "does not fit on cpu" in str(alone.reason)


def test_memory_that_runs_out_is_for_cards(request_of: Request) -> None:
    section = carry_out("memory", request_of)
    assert (section.status, section.reason) == ("skipped", "only a card's memory can be capped")


def test_speed_is_told_of_each_judge_and_the_panel_and_that_a_cpu_has_no_bound(request_of: Request) -> None:
    section = passed(carry_out("speed", request_of))
    for judge in section.figures["judges"].values():
        assert judge["battles_per_s"] == pytest.approx(3 / judge["scoring_s"])
        assert 0 <= judge["padding"] < 1
    assert section.figures["panel"]["battles_per_s"] > 0
    assert section.figures["bound"] == {"reason": "bench gpu: a CPU has no data sheet here"}


def test_loops_are_run_on_the_judges_without_rounding(request_of: Request, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loops themselves have a test of their own, and take processes."""
    asked: list[str] = []
    speeds = dict.fromkeys(("speed", "cpu_speed"), SideBySide((3.0,), (1.0,)))
    careful = dict.fromkeys(("careful_speed", "careful_cpu_speed"), SideBySide((3.0,), (2.0,)))
    counts = dict.fromkeys(("battles", "panel_padded_tokens", "plain_padded_tokens"), 3)
    gaps = {"careful_gap": 0.01, "largest_gap": 0.02, "mean_gap": 0.001}
    rest = {
        "panel_settings": {},
        "plain_settings": {},
        "panel_memory_bytes": 1,
        "plain_memory_bytes": 1,
        "competitors": {},
    }

    def compared(config: PanelConfig, **_: object) -> PanelBenchResult:
        asked.extend(judge.quantization for judge in config.judges if judge.kind == "pairwise")
        return PanelBenchResult(**speeds, **careful, **counts, **gaps, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(speed, "bench_panel", compared)
    rounded = request_of.config.judges[0].model_copy(update={"quantization": "8bit"})
    config = request_of.config.model_copy(update={"judges": (rounded,)})
    section = passed(carry_out("loops", replace(request_of, config=config)))
    assert asked == ["none"]
    assert section.told[0].startswith("panel 1.50 times as fast as a careful loop")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("judge g: base does not fit on cuda:0; set quantization: 8bit", "skipped"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB.", "skipped"),
        ("judge g: has no adapter", "failed"),
    ],
)
def test_loops_that_the_card_is_too_small_for_are_skipped(
    request_of: Request, monkeypatch: pytest.MonkeyPatch, reason: str, status: str
) -> None:
    def compared(*_: object, **__: object) -> PanelBenchResult:
        raise BenchError(f"bench: plain failed: {reason}")

    monkeypatch.setattr(speed, "bench_panel", compared)
    section = carry_out("loops", request_of)
    assert section.status == status
    assert reason in str(section.reason)


def test_what_breaks_off_is_told_in_one_line_with_the_calls_that_led_there(request_of: Request) -> None:
    """No folder is in it: where files lie says who ran this."""
    lost = request_of.config.judges[0].model_copy(update={"adapter": str(request_of.folder / "lost")})
    config = request_of.config.model_copy(update={"judges": (lost,)})
    section = carry_out("threads", replace(request_of, config=config))
    assert section.status == "failed"
    assert str(section.reason).startswith("LoadError: ")
    assert "\n" not in str(section.reason)
    assert any(place.startswith("judge.py:") for place in section.where)
    assert not any("/" in place for place in section.where)


def test_there_is_a_section_of_each_name(tmp_path: Path) -> None:
    nobody = Request(PanelConfig.model_validate({"judges": [_prior()]}), (), 1, tmp_path)
    for name in SectionName:
        assert not str(carry_out(name, nobody).reason).startswith("KeyError")


def _prior() -> dict[str, object]:
    return {"name": "p", "kind": "prior", "probabilities": {"model_a": 0.3, "model_b": 0.3, "tie": 0.4}}
