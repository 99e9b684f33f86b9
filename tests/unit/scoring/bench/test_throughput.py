"""The benchmark: battles of real lengths, and two sides that compute the same thing."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from prefstream.schemas import Battle
from prefstream.scoring.bench.process import BenchError
from prefstream.scoring.bench.request import models, without_int8
from prefstream.scoring.bench.throughput import PanelBenchResult, bench_battles, bench_panel, read_lengths
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError
from tests.support.models import make_tiny_judge, one_torch_thread
from tests.support.priors import prior_entry

pytestmark = [
    pytest.mark.timeout(900),  # processes that load torch take minutes on a machine with twenty times the work
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),  # peft asks for it
]

PRIOR = prior_entry()


def _ignore(_line: str) -> None:
    """Lines that nobody reads."""


def test_the_table_has_200_battles_of_plausible_lengths() -> None:
    lengths = read_lengths()
    assert len(lengths) == 200
    assert 200 < sum(first for _, first, _ in lengths) / 200 < 400
    assert max(map(max, lengths)) > 1024  # some must not fit: truncation is a part of the work


def test_battles_have_the_tables_lengths_in_words_of_one_token() -> None:
    battles = bench_battles()
    lengths = [
        tuple(len(" ".join(turns).split()) for turns in (battle.prompt, battle.response_a, battle.response_b))
        for battle in battles
    ]
    assert lengths == read_lengths()


def test_battles_are_always_the_same_and_differ_from_each_other() -> None:
    assert bench_battles(30) == bench_battles(60)[:30]
    assert len({battle.prompt + battle.response_a for battle in bench_battles(60)}) == 60


def test_more_battles_than_the_table_has_repeat_its_lengths_with_other_ids() -> None:
    battles = bench_battles(205)
    assert len({battle.id for battle in battles}) == 205
    assert len(battles[204].prompt[0].split()) == len(battles[4].prompt[0].split())


def bench(folder: Path) -> PanelBenchResult:
    """A run with a pointwise judge that has an adapter and a pairwise one that needs a random one."""
    judges = [
        make_tiny_judge(folder / "gemma", "embeddinggemma", "pointwise", weight=3.0, pooling="mean", kept_layers=1),
        make_tiny_judge(folder / "llama", "chatml", "pairwise", adapter=False),
        make_tiny_judge(folder / "middle", "llama", "pointwise", pooling="answer", kept_layers=1),
    ]
    battles = [Battle(id=str(n), prompt=("fox?",), response_a=("dog " * n,), response_b=("fox",)) for n in range(1, 12)]
    config = PanelConfig.model_validate({"judges": judges})
    return bench_panel(config, battles=battles, repetitions=1, batch_battles=5, say=_ignore)


def run_here(module: str, task: str, request: Path, **_: object) -> Any:
    """What `run_worker` does, in this process, which has loaded its libraries already."""
    answer = request.with_name("answer.json")
    with pytest.MonkeyPatch.context() as patch, one_torch_thread():
        patch.setattr(sys, "argv", [module, task, str(request), str(answer)])
        importlib.import_module(module).main()
    return json.loads(answer.read_bytes())


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> PanelBenchResult:
    """Of all sides, one after the other in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prefstream.scoring.bench.throughput.run_worker", run_here)
        return bench(tmp_path_factory.mktemp("bench"))


def check_same_probabilities(result: PanelBenchResult) -> None:
    assert result.battles == 11
    # float32: merged adapters and other batches, nothing else.
    assert result.largest_gap < 1e-4
    assert result.careful_gap < 1e-4


def test_all_sides_compute_the_same_probabilities(result: PanelBenchResult) -> None:
    check_same_probabilities(result)


@pytest.mark.long
def test_processes_of_their_own_compute_them_too(tmp_path: Path) -> None:
    result = bench(tmp_path)
    check_same_probabilities(result)
    assert min(result.panel_memory_bytes, result.plain_memory_bytes) > 10_000_000


def test_the_result_is_json(result: PanelBenchResult) -> None:
    fields = json.loads(json.dumps(result.to_fields()))
    assert fields["speed"]["ratio"] == result.speed.ratio > 0
    assert fields["cpu_speed"]["ratio"] == result.cpu_speed.ratio > 0
    assert fields["careful_speed"]["ratio"] == result.careful_speed.ratio > 0
    assert set(fields["panel_settings"]) >= {"gemma", "llama", "malloc"}


def test_beside_judges_in_8_bits_the_bases_are_read_as_they_are() -> None:
    bases = [{"kind": "pointwise", "base": "/b", "quantization": how} for how in ("auto", "int8-dynamic", "8bit")]
    panel = PanelConfig.model_validate({"judges": [{**base, "name": f"j{n}"} for n, base in enumerate(bases)]})
    assert [judge.quantization for judge in models(without_int8(panel))] == ["none", "none", "8bit"]


@pytest.mark.parametrize(
    ("panel", "fault"),
    [
        ({"judges": [PRIOR]}, "prior"),
        ({"judges": [{"name": "j", "kind": "pairwise", "base": "/b", "allow_untrained": True}], "swap": True}, "swap"),
        (
            {"judges": [{"name": "j", "kind": "pairwise", "base": "/b", "quantization": "8bit", "adapter": "/a"}]},
            "quantization is 8bit",
        ),
    ],
)
def test_what_the_plain_loop_cannot_do_is_refused(panel: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        bench_panel(PanelConfig.model_validate(panel), say=_ignore)


def test_a_failed_run_says_which_and_why_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that fails like Python does: a traceback, and the reason in its last line."""
    interpreter = tmp_path / "python"
    interpreter.write_text("#!/bin/sh\necho 'Traceback ...' >&2\necho 'OSError: no such model' >&2\nexit 1\n")
    interpreter.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(interpreter))
    judge = {"name": "j", "kind": "pairwise", "base": str(tmp_path), "allow_untrained": True}
    with pytest.raises(BenchError, match=r"^bench: adapters failed: OSError: no such model$"):
        bench_panel(PanelConfig.model_validate({"judges": [judge]}), say=_ignore)


def test_what_the_plain_loop_knows_nothing_of_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges of features, and with them whatever names them."""
    model = {"name": "model", "kind": "pointwise", "base": str(tmp_path), "adapter": str(tmp_path)}
    lexical = {"name": "lexical", "kind": "features", "adapter": str(tmp_path)}
    recuse = {"lexical": ["gpt-*"], "model": ["llama-*"]}
    config = PanelConfig.model_validate({"judges": [model, lexical], "recuse": recuse})
    asked: list[PanelConfig] = []

    def worker(_module: str, _arm: str, request: Path, **_: object) -> None:
        asked.append(PanelConfig.model_validate(json.loads(request.read_text())["config"]))
        raise BenchError("seen")

    monkeypatch.setattr("prefstream.scoring.bench.throughput.run_worker", worker)
    said: list[str] = []
    with pytest.raises(BenchError, match="seen"):
        bench_panel(config, battles=bench_battles(1), say=said.append)
    assert ([judge.name for judge in asked[0].judges], asked[0].recuse) == (["model"], {})
    assert said[0].startswith("judges of features are left out")
