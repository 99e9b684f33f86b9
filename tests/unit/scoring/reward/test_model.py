"""The panel as a reward model: scores of single answers, strengths of many, and how both agree with the panel."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch

from prefstream import (
    BattleTooLargeError,
    ConfigError,
    JudgeFaultError,
    NoRewardError,
    Panel,
    PanelConfig,
    RewardModel,
    load_panel,
)
from prefstream.schemas import Battle, InvalidEventError, Provenance
from prefstream.scoring.judges.calibration import Calibration, CalibrationFile
from prefstream.scoring.judges.judge import JudgeBatch, Scores, is_pointwise
from prefstream.scoring.judges.model import ModelJudge
from prefstream.scoring.loading.adapter_record import AdapterRecord
from tests.support.models import make_tiny_judge, one_torch_thread, put_into_the_demos_cache

PROMPT = "Which answer is better, and why?"
ANSWERS = ["Response A is correct.", "no", "", "The quick brown fox jumps over the lazy dog.", "It is a tie."]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rewards")


@pytest.fixture(scope="module")
def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {
        "gemma": make_tiny_judge(folder / "gemma", "gemma2", "pointwise", 1, weight=3.0),
        "llama": make_tiny_judge(folder / "llama", "llama", "pointwise", 2),
        "pair": make_tiny_judge(folder / "pair", "gemma2", "pairwise", 3),
    }


@pytest.fixture(scope="module")
def models(entries: dict[str, dict[str, Any]]) -> Iterator[dict[str, RewardModel]]:
    """Panels of one judge each, and one of all."""
    panels = {**{name: [entry] for name, entry in entries.items()}, "all": list(entries.values())}
    loaded = {name: RewardModel.load(PanelConfig.model_validate({"judges": judges})) for name, judges in panels.items()}
    yield loaded
    for model in loaded.values():
        model.close()


class LengthJudge:
    """Prefers longer answers by a set number of nats per character, and the one that stands first by a bias."""

    def __init__(self, *, per_char: float = 0.25, first_bias: float = 0.0, too_large: bool = False) -> None:
        self.name = "length"
        self.weight = 1.0
        self.provenance = Provenance(kind="pairwise")
        self.settings = {"per_char": per_char, "first_bias": first_bias}
        self.symmetric = not first_bias
        self.battles = 0
        self._per_char = per_char
        self._first_bias = first_bias
        self._too_large = too_large
        self._seen: list[Battle] = []

    def encode(self, battles: Sequence[Battle]) -> JudgeBatch:
        self._seen = list(battles)
        return JudgeBatch(len(battles), 1)

    def score(self, batch: JudgeBatch) -> Scores:
        self.battles += batch.count
        gaps = [len(battle.response_a[-1]) - len(battle.response_b[-1]) for battle in self._seen]
        half = (np.array(gaps) * self._per_char + self._first_bias) / 2
        odds = np.exp(np.stack([half, -half, np.zeros_like(half)], axis=1))
        too_large = {0: BattleTooLargeError("judge length: too large")} if self._too_large else {}
        return Scores(odds / odds.sum(axis=1, keepdims=True), too_large)

    def close(self) -> None: ...


# Rewards of single answers.


@pytest.mark.parametrize("name", ["gemma", "llama"])
def test_a_difference_of_rewards_is_the_log_odds_of_the_score(models: dict[str, RewardModel], name: str) -> None:
    model = models[name]
    rewards = model.rewards([PROMPT] * len(ANSWERS), ANSWERS)
    assert len(set(rewards)) == len(rewards)
    for one, answer in enumerate(ANSWERS):
        for other, opponent in enumerate(ANSWERS):
            probabilities = model.score(PROMPT, answer, opponent)
            odds = probabilities.model_a / probabilities.model_b
            assert odds == pytest.approx(np.exp(rewards[one] - rewards[other]), rel=1e-5)


def test_a_panels_reward_is_the_weighted_mean_of_its_pointwise_judges(models: dict[str, RewardModel]) -> None:
    gemma, llama, panel = (models[name].rewards([PROMPT] * 5, ANSWERS) for name in ("gemma", "llama", "all"))
    np.testing.assert_allclose(panel, (3 * np.array(gemma) + np.array(llama)) / 4, rtol=1e-6)


def test_calibration_leaves_rewards_alone(entries: dict[str, dict[str, Any]], models: dict[str, RewardModel]) -> None:
    calibration = CalibrationFile(judges={"gemma": Calibration(temperature=2.0, tie_bias=1.0)})
    panel = load_panel(PanelConfig.model_validate({"judges": [entries["gemma"]]}), calibration=calibration)
    with RewardModel(panel) as model:
        assert model.score(PROMPT, "a", "b") != models["gemma"].score(PROMPT, "a", "b")
        assert model.reward(PROMPT, "a") == models["gemma"].reward(PROMPT, "a")


def test_one_reward_is_the_same_as_among_many(models: dict[str, RewardModel]) -> None:
    together = models["all"].rewards([PROMPT] * 5, ANSWERS)
    np.testing.assert_allclose([models["all"].reward(PROMPT, text) for text in ANSWERS], together, rtol=1e-5)


def test_no_answers_have_no_rewards(models: dict[str, RewardModel]) -> None:
    assert models["gemma"].rewards([], []) == []
    assert models["gemma"].scores([], [], []) == []
    assert models["pair"].ranks([], []) == []


def test_turns_are_read_like_a_battle_of_as_many(models: dict[str, RewardModel]) -> None:
    prompt, first, second = ["Hello", PROMPT], ["Hi!", "no"], ["Hi!", "It is a tie."]
    probabilities = models["gemma"].score(prompt, first, second)
    gap = models["gemma"].reward(prompt, first) - models["gemma"].reward(prompt, second)
    assert np.log(probabilities.model_a / probabilities.model_b) == pytest.approx(gap, abs=1e-5)
    assert models["gemma"].reward(prompt, first) != models["gemma"].reward(PROMPT, "no")


def test_a_string_that_looks_like_a_list_is_one_turn(models: dict[str, RewardModel]) -> None:
    """In an event, such a string is a list of turns; here it is what a policy wrote."""
    listed = '["Response A is correct.", "no"]'
    assert models["gemma"].reward(PROMPT, listed) != models["gemma"].reward(PROMPT, "Response A is correct.")
    assert models["gemma"].score(PROMPT, listed, listed)


@pytest.mark.parametrize("response", [["one", "two"], []])
def test_turns_that_do_not_match_are_refused(models: dict[str, RewardModel], response: list[str]) -> None:
    with pytest.raises(InvalidEventError, match="turns"):
        models["gemma"].reward(["only one", "or three", "turns"], response)


def test_a_panel_without_pointwise_judges_points_to_rank(models: dict[str, RewardModel]) -> None:
    assert not models["pair"].gives_rewards
    with pytest.raises(NoRewardError, match=r"rank\(\)"):
        models["pair"].reward(PROMPT, "no")


def test_a_pointwise_judge_of_no_weight_gives_no_rewards(entries: dict[str, dict[str, Any]]) -> None:
    judges = [{**entries["gemma"], "weight": 0.0}, entries["pair"]]
    with RewardModel.load(PanelConfig.model_validate({"judges": judges})) as model:
        assert not model.gives_rewards


def test_a_judge_that_breaks_down_is_never_left_out_of_a_reward(entries: dict[str, dict[str, Any]]) -> None:
    """A panel that degrades would go on: with rewards on another scale, in the middle of a training run."""
    judges = [entries["gemma"], entries["llama"]]
    config = PanelConfig.model_validate({"judges": judges, "on_judge_failure": "degrade"})
    with RewardModel.load(config) as model:
        model.panel.judges[1].close()
        with pytest.raises(JudgeFaultError, match="llama"):
            model.reward(PROMPT, "no")


class NoRoom(torch.nn.Module):
    """A model on a device that has no memory left."""

    def forward(self, **_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")


def test_an_answer_too_large_for_the_device_is_an_error(
    entries: dict[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with RewardModel.load(PanelConfig.model_validate({"judges": [entries["gemma"]]})) as model:
        [judge] = model.panel.judges
        assert isinstance(judge, ModelJudge)
        monkeypatch.setattr(judge._source, "_model", NoRoom())
        with pytest.raises(BattleTooLargeError, match="gemma"):
            model.reward(PROMPT, "no")


# Strengths of several answers.


def test_rank_recovers_the_strengths_behind_a_panels_probabilities() -> None:
    answers = ["a" * length for length in (1, 9, 4, 4, 12)]
    with RewardModel(Panel([LengthJudge()])) as model:
        strengths = model.rank(PROMPT, answers)
    expected = np.array([1, 9, 4, 4, 12]) / 4
    np.testing.assert_allclose(strengths, expected - expected.mean(), atol=5e-3)


def test_rank_is_free_of_the_bias_for_a_position() -> None:
    answers = ["bbb", "a", "ccccc"]
    with RewardModel(Panel([LengthJudge(first_bias=2.0)])) as model:
        strengths = model.rank(PROMPT, answers)
        backwards = model.rank(PROMPT, answers[::-1])
    np.testing.assert_allclose(strengths, backwards[::-1], atol=1e-6)
    assert np.argsort(strengths).tolist() == [1, 0, 2]


@pytest.mark.parametrize(("bias", "swap", "battles"), [(0.0, False, 6), (0.5, False, 12), (0.5, True, 12)])
def test_each_pair_is_compared_once_and_in_both_orders_where_that_matters(
    bias: float, swap: bool, battles: int
) -> None:
    judge = LengthJudge(first_bias=bias)
    with RewardModel(Panel([judge], swap=swap)) as model:
        model.rank(PROMPT, ["a", "bb", "ccc", "dddd", "a"])
    assert judge.battles == battles


def test_equal_answers_are_equally_strong() -> None:
    with RewardModel(Panel([LengthJudge()])) as model:
        strengths = model.rank(PROMPT, ["aaaa", "b", "aaaa"])
        assert model.rank(PROMPT, ["a", "a"]) == [0.0, 0.0]
    assert strengths[0] == strengths[2] > strengths[1]
    assert sum(strengths) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("answers", [[], ["alone"]])
def test_what_has_no_opponent_has_strength_zero(answers: list[str]) -> None:
    with RewardModel(Panel([LengthJudge()])) as model:
        assert model.rank(PROMPT, answers) == [0.0] * len(answers)


def test_many_prompts_are_ranked_as_each_alone() -> None:
    lists = [["a", "bb", "cccc"], ["x"], [], ["dd", "eeeeee"]]
    with RewardModel(Panel([LengthJudge(first_bias=0.3)])) as model:
        together = model.ranks(["1", "2", "3", "4"], lists)
        assert together == [model.rank("p", answers) for answers in lists]


def test_strengths_of_a_pointwise_judge_are_in_the_order_of_its_rewards(models: dict[str, RewardModel]) -> None:
    strengths = models["gemma"].rank(PROMPT, ANSWERS)
    rewards = models["gemma"].rewards([PROMPT] * 5, ANSWERS)
    assert np.argsort(strengths).tolist() == np.argsort(rewards).tolist()


def test_a_pairwise_judge_ranks_alike_in_any_order(models: dict[str, RewardModel]) -> None:
    there = models["pair"].rank(PROMPT, ANSWERS)
    back = models["pair"].rank(PROMPT, ANSWERS[::-1])
    np.testing.assert_allclose(there, back[::-1], atol=1e-5)


def test_a_comparison_too_large_for_the_device_is_an_error() -> None:
    with RewardModel(Panel([LengthJudge(too_large=True)])) as model, pytest.raises(BattleTooLargeError, match="length"):
        model.rank(PROMPT, ["a", "b"])


# Loading.


COMMIT = "11c9b309abf73637e4b6f9a3fa1e92e615547819"


def copy_adapter(source: Path, target: Path, **changes: Any) -> Path:
    shutil.copytree(source, target)
    AdapterRecord.read(target).model_copy(update=changes).write(target)
    return target


def test_a_judge_is_loaded_by_its_adapter(folder: Path, models: dict[str, RewardModel]) -> None:
    """How it reads stands in the record."""
    base, adapter = folder / "gemma" / "base", folder / "gemma" / "adapter"
    with RewardModel.from_adapter(str(adapter), base=base, device="cpu", dtype="float32") as model:
        assert model.reward(PROMPT, "no") == models["gemma"].reward(PROMPT, "no")


def test_an_adapters_base_is_fetched_as_it_recorded_it(
    folder: Path, models: dict[str, RewardModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    shutil.copytree(folder / "gemma" / "base", tmp_path / "hub" / "models--someone--model" / "snapshots" / COMMIT)
    adapter = copy_adapter(
        folder / "gemma" / "adapter", tmp_path / "adapter", base="someone/model", base_revision=COMMIT
    )
    with RewardModel.from_adapter(adapter, device="cpu", dtype="float32") as model:
        assert model.panel.judges[0].provenance.base == "someone/model"
        assert model.reward(PROMPT, "no") == models["gemma"].reward(PROMPT, "no")


def test_an_adapters_base_may_be_one_of_the_demo(
    folder: Path, models: dict[str, RewardModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_into_the_demos_cache(folder / "gemma" / "base", "demo:gemma", tmp_path / "cache", monkeypatch)
    adapter = copy_adapter(folder / "gemma" / "adapter", tmp_path / "adapter", base="demo:gemma")
    with RewardModel.from_adapter(adapter, device="cpu", dtype="float32") as model:
        assert model.reward(PROMPT, "no") == models["gemma"].reward(PROMPT, "no")


@pytest.mark.parametrize(("base", "message"), [(None, "doesn't name"), ("my-gemma", "the folder of my-gemma")])
def test_an_adapter_whose_base_is_not_of_the_hub_asks_for_it(
    folder: Path, tmp_path: Path, base: str | None, message: str
) -> None:
    adapter = copy_adapter(folder / "gemma" / "adapter", tmp_path / "adapter", base=base)
    with pytest.raises(ConfigError, match=message):
        RewardModel.from_adapter(adapter)


def test_settings_that_a_panel_file_would_not_take_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="device"):
        RewardModel.from_adapter(folder / "gemma" / "adapter", base=folder / "gemma" / "base", device="moon")


def test_an_open_panel_can_be_used(entries: dict[str, dict[str, Any]], models: dict[str, RewardModel]) -> None:
    with load_panel(PanelConfig.model_validate({"judges": [entries["gemma"]]})) as panel:
        assert RewardModel(panel).reward(PROMPT, "no") == models["gemma"].reward(PROMPT, "no")


def test_only_judges_that_read_one_answer_are_pointwise(models: dict[str, RewardModel]) -> None:
    judged = [is_pointwise(judge) for judge in models["all"].panel.judges]
    assert judged == [True, True, False]
