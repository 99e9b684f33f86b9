"""Budgets of passes that are found by what a card has room for; the card is made up, the judges are real."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefstream import ModelJudgeConfig, PanelConfig, load_panel
from prefstream.scoring.config import CUDA_MICRO_BATCH_TOKENS
from prefstream.scoring.judges import devices
from prefstream.scoring.judges.devices import Placement, place_judges
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.judges.replicas.judge import ReplicatedJudge
from prefstream.scoring.loading import judge as loading
from prefstream.scoring.loading.judge import load_judge, load_replicas
from prefstream.scoring.loading.memory import budgets
from prefstream.scoring.loading.memory.budgets import Reader, fit_budgets
from prefstream.scoring.loading.memory.serving import judge_memory
from tests.support.models import MAX_LENGTH, Family, make_tiny_judge, one_torch_thread

CARD = torch.device("cuda:0")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


def linear(fixed: int, each: int) -> Callable[[int], int]:
    """Of a pass that takes so many bytes, and so many more for each token."""
    return lambda tokens: fixed + each * tokens


def reader(name: str = "x", *, each: int = 10, fixed: int = 100, **settings: Any) -> Reader:
    defaults = {"open": True, "most": 16384, "max_length": 2048}
    return Reader(name, takes=linear(fixed, each), **defaults | settings)


def test_a_judge_has_all_that_it_may_have_where_there_is_room() -> None:
    assert fit_budgets([reader()], 10**9) == {"x": 16384}


def test_else_as_many_of_its_longest_sequences_as_fit_into_nine_tenths_of_the_room() -> None:
    needed = 100 + 10 * 3 * 2048
    assert fit_budgets([reader()], int(needed / 0.9) + 1) == {"x": 3 * 2048}
    assert fit_budgets([reader()], int(needed / 0.9) - 1) == {"x": 2 * 2048}


def test_one_sequence_is_read_whether_or_not_it_fits() -> None:
    """It is tried before the first battle, and refused there."""
    assert fit_budgets([reader()], -5) == {"x": 2048}
    assert fit_budgets([reader(max_length=20_000)], -5) == {"x": 16384}


def test_a_judge_with_a_budget_of_its_own_keeps_it_and_the_others_have_the_rest() -> None:
    fixed = reader("y", open=False, most=4096)
    room = int((fixed.takes(4096) + reader().takes(5 * 2048)) / 0.9) + 1
    assert fit_budgets([fixed, reader()], room) == {"x": 5 * 2048}
    assert fit_budgets([fixed], room) == {}


def test_what_one_judge_has_no_use_for_is_the_others() -> None:
    small, large = reader("small", each=1), reader("large", each=100)
    room = int((small.takes(16384) + large.takes(6 * 2048)) / 0.9) + 1
    assert fit_budgets([large, small], room) == {"small": 16384, "large": 6 * 2048}


READERS = st.lists(
    st.builds(
        reader,
        each=st.integers(0, 1000),
        fixed=st.integers(0, 10**6),
        most=st.integers(1, 10**5),
        max_length=st.integers(1, 10**4),
        open=st.booleans(),
    ),
    min_size=1,
    max_size=4,
).map(lambda readers: [dataclasses.replace(one, name=str(place)) for place, one in enumerate(readers)])


@given(READERS, st.integers(-(10**6), 10**9), st.integers(0, 10**8))
def test_budgets_fit_together_where_one_sequence_of_each_does_and_grow_with_the_room(
    readers: list[Reader], room: int, more: int
) -> None:
    found = fit_budgets(readers, room)
    assert set(found) == {one.name for one in readers if one.open}

    def needed(budgets: dict[str, int]) -> int:
        return sum(one.takes(budgets.get(one.name, one.most)) for one in readers)

    least = {one.name: one.least for one in readers if one.open}
    for one in readers:
        if one.open:
            assert one.least <= found[one.name] <= one.most
            assert found[one.name] == one.most or found[one.name] % one.max_length == 0
    if needed(least) <= 0.9 * room:
        assert needed(found) <= 0.9 * room * (1 + 1e-12)
    else:
        assert needed(found) == needed(least)
    for one in readers[:1]:
        wider = fit_budgets([one], room + more)
        assert all(fit_budgets([one], room)[name] <= wider[name] for name in wider)


@pytest.mark.parametrize("family", ["gemma2", "gemma3", "embeddinggemma", "llama"])
@pytest.mark.parametrize("quantization", ["none", "8bit"])
def test_a_loaded_judge_is_counted_as_its_files_are(tmp_path: Path, family: Family, quantization: str) -> None:
    """The doctor reads files, `run` has the judge; both find the same budget."""
    entry = make_tiny_judge(tmp_path, family, quantization=quantization, dtype="bfloat16")
    config = ModelJudgeConfig.model_validate(entry)
    placement = place_judges([config])[config.name]
    judge = load_judge(config, placement)
    from transformers import AutoConfig

    files, loaded = (
        Reader.of(config, placement, model_config)
        for model_config in (AutoConfig.from_pretrained(entry["base"]), judge.model_config)
    )
    assert files.takes(1024) == loaded.takes(1024) > files.takes(256) > 0
    assert (
        files.takes(1024)
        == judge_memory(
            judge.model_config,
            attention=str(judge.provenance.attention),
            dtype=placement.dtype,
            quantization=config.rounding,
            micro_batch_tokens=1024,
            max_length=MAX_LENGTH,
        ).one_pass
    )


@pytest.fixture
def on_a_card(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have judges placed on a card with so many bytes free, and loaded onto the CPU all the same."""

    def place(configs: list[ModelJudgeConfig]) -> dict[str, Placement]:
        return {config.name: Placement(CARD, torch.float32, None, devices._tokens(config, CARD)) for config in configs}

    def load_on_cpu(config: ModelJudgeConfig, placement: Placement, **options: Any) -> ModelJudge:
        there = place_judges([config])[config.name]
        return load_judge(
            config, dataclasses.replace(there, micro_batch_tokens=placement.micro_batch_tokens), **options
        )

    def prepare(free: int) -> None:
        monkeypatch.setattr(devices, "place_judges", place)
        monkeypatch.setattr(loading, "load_judge", load_on_cpu)
        monkeypatch.setattr(budgets, "free_bytes", lambda device: {CARD: free}[device])

    return prepare


def test_a_panel_finds_the_budgets_that_its_file_leaves_open(tmp_path: Path, on_a_card: Callable[[int], None]) -> None:
    entries = [
        make_tiny_judge(tmp_path / "x", "llama", micro_batch_tokens="auto"),
        make_tiny_judge(tmp_path / "y", "gemma3", micro_batch_tokens=512),
    ]
    config = PanelConfig.model_validate({"judges": entries})
    x, y = (
        Reader.of(one, Placement(CARD, torch.float32, None, 512), load_on_cpu_config(one))
        for one in config.judges
        if isinstance(one, ModelJudgeConfig)
    )
    on_a_card(int((x.takes(5 * MAX_LENGTH) + y.takes(512)) / 0.9) + 1)
    lines: list[str] = []
    with load_panel(config, say=lines.append) as panel:
        found = {judge.name: judge.budget_tokens for judge in panel.judges if isinstance(judge, ModelJudge)}
    assert found == {"x": 5 * MAX_LENGTH, "y": 512}
    assert [line for line in lines if "fit" in line] == [f"x: passes of {5 * MAX_LENGTH} tokens fit on cuda:0"]


def test_a_judge_with_replicas_has_the_budget_of_the_card_with_the_least_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = make_tiny_judge(tmp_path / "x", "llama", device=["cuda:0", "cuda:1"], micro_batch_tokens="auto")
    [config] = PanelConfig.model_validate({"judges": [entry]}).judges
    assert isinstance(config, ModelJudgeConfig)
    cards = [torch.device("cuda", number) for number in range(2)]
    reader = Reader.of(config, Placement(CARD, torch.float32, None, 16384), load_on_cpu_config(config))
    free = {
        card: int(reader.takes(sequences * MAX_LENGTH) / 0.9) + 1 for card, sequences in zip(cards, (7, 5), strict=True)
    }

    def place(configs: list[ModelJudgeConfig]) -> dict[str, Placement]:
        replicas = [replica for one in configs for replica in one.replicas]
        return {
            replica.name: Placement(card, torch.float32, None, 16384)
            for replica, card in zip(replicas, cards, strict=True)
        }

    def load_on_cpu(one: ModelJudgeConfig, placements: list[Placement], **options: Any) -> ReplicatedJudge:
        here = [dataclasses.replace(placement, device=torch.device("cpu")) for placement in placements]
        return load_replicas(one, here, **options)

    monkeypatch.setattr(devices, "place_judges", place)
    monkeypatch.setattr(loading, "load_replicas", load_on_cpu)
    monkeypatch.setattr(budgets, "free_bytes", lambda device: free[device])
    lines: list[str] = []
    with load_panel(PanelConfig(judges=(config,)), say=lines.append) as panel:
        [judge] = panel.judges
        assert isinstance(judge, ReplicatedJudge)
        assert judge.budget_tokens == 5 * MAX_LENGTH
    assert [line for line in lines if "fit" in line] == [
        f"x: passes of {7 * MAX_LENGTH} tokens fit on cuda:0",
        f"x#2: passes of {5 * MAX_LENGTH} tokens fit on cuda:1",
    ]


def load_on_cpu_config(config: ModelJudgeConfig) -> Any:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(config.base)


def test_nothing_is_counted_where_every_budget_is_given(
    tmp_path: Path, on_a_card: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_card(0)
    monkeypatch.setattr(budgets, "judge_memory", None)
    monkeypatch.setattr(ModelJudge, "warm_up", lambda _: None)
    entry = make_tiny_judge(tmp_path / "x", "llama")
    with load_panel(PanelConfig.model_validate({"judges": [entry]})) as panel:
        [judge] = panel.judges
        assert isinstance(judge, ModelJudge)
        assert judge.budget_tokens == CUDA_MICRO_BATCH_TOKENS
