"""Judges on cards warm up before the first battle: in their own threads, with a full pass; judges on the CPU don't."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from prefstream import LoadError, MisuseError, ModelJudgeConfig, Panel, PanelConfig, load_panel
from prefstream.scoring.judges import devices
from prefstream.scoring.judges.devices import Placement, place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading import judge as loading
from prefstream.scoring.loading.judge import load_judge
from prefstream.scoring.panel.load import warm_up
from tests.support.models import MAX_LENGTH, Kind, make_tiny_judge, one_torch_thread

BUDGET_TOKENS = 1024


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


class Watched(torch.nn.Module):
    """A model on a device that holds only so many tokens; tells who let it compute what."""

    def __init__(self, model: torch.nn.Module, capacity_tokens: int) -> None:
        super().__init__()
        self.model = model
        self.capacity_tokens = capacity_tokens
        self.passes: list[tuple[str, tuple[int, ...]]] = []

    def forward(self, input_ids: torch.Tensor, **arguments: Any) -> Any:
        self.passes.append((threading.current_thread().name, tuple(input_ids.shape)))
        if input_ids.numel() > self.capacity_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.model(input_ids=input_ids, **arguments)


Load = Callable[..., tuple[ModelJudge, Watched]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Load a tiny judge, and watch its model."""

    def load_one(name: str, kind: Kind = "pairwise", capacity_tokens: int = 10**9) -> tuple[ModelJudge, Watched]:
        entry = make_tiny_judge(tmp_path / name, "llama", kind, micro_batch_tokens=BUDGET_TOKENS)
        config = ModelJudgeConfig.model_validate(entry)
        judge = load_judge(config, place_judges([config])[name])
        model = judge._source._model
        assert model is not None
        judge._source._model = watched = Watched(model, capacity_tokens)
        return judge, watched

    return load_one


def test_every_judge_fills_a_pass_with_its_longest_sequences_in_its_own_thread(load: Load) -> None:
    loaded = {"x": load("x"), "y": load("y", "pointwise")}
    judges = [judge for judge, _ in loaded.values()]
    with Panel(judges) as panel:
        warm_up(panel, judges)
    for name, (_, watched) in loaded.items():
        [(thread, shape)] = watched.passes
        assert thread.startswith(f"judge-{name}")
        assert shape == (BUDGET_TOKENS // MAX_LENGTH, MAX_LENGTH)


def test_a_budget_that_does_not_fit_is_smaller_before_the_first_battle(load: Load) -> None:
    judge, _ = load("x", capacity_tokens=600)
    with Panel([judge]) as panel:
        warm_up(panel, [judge])
        assert judge.budget_tokens == BUDGET_TOKENS // 2


def test_a_judge_that_can_not_read_what_it_is_set_to_read_is_refused_and_the_panel_closed(load: Load) -> None:
    judge, _ = load("x", capacity_tokens=MAX_LENGTH - 1)
    panel = Panel([judge])
    with pytest.raises(LoadError, match=rf"judge x: {MAX_LENGTH} tokens do not fit on cpu, even alone; lower"):
        warm_up(panel, [judge])
    with pytest.raises(MisuseError, match="closed"):
        panel.submit(judge, judge.warm_up)


def test_a_judge_that_fails_at_it_is_refused(load: Load) -> None:
    judge, _ = load("x")
    judge._source._model = torch.nn.Identity()
    with pytest.raises(LoadError, match="judge x: TypeError on cpu in a forward pass"):
        warm_up(Panel([judge]), [judge])


@pytest.mark.parametrize(("device", "expected"), [("cpu", []), ("cuda:0", ["x"])])
def test_only_judges_on_cards_warm_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, expected: list[str]
) -> None:
    """A first pass on a CPU costs what others cost, and the start would wait for it."""

    def place(configs: list[ModelJudgeConfig]) -> dict[str, Placement]:
        return {
            name: dataclasses.replace(placement, device=torch.device(device))
            for name, placement in place_judges(configs).items()
        }

    def load_on_cpu(config: ModelJudgeConfig, _: Placement, **options: Any) -> ModelJudge:
        return load_judge(config, place_judges([config])[config.name], **options)

    warmed: list[str] = []
    monkeypatch.setattr(devices, "place_judges", place)
    monkeypatch.setattr(loading, "load_judge", load_on_cpu)
    monkeypatch.setattr(ModelJudge, "warm_up", lambda judge: warmed.append(judge.name))
    load_panel(PanelConfig.model_validate({"judges": [make_tiny_judge(tmp_path / "x", "llama")]})).close()
    assert warmed == expected
