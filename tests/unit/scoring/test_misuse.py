"""Whoever calls the library in a way that can't work is told so by an error of ours, in words of ours."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from prefstream import Battle, Panel, PanelConfig, PrefstreamError, RewardModel, TrlReward, load_panel
from tests.support.models import make_tiny_judge, one_torch_thread

BATTLE = Battle(id="1", prompt="a", response_a="b", response_b="c")
ANSWER = [{"role": "assistant", "content": "x"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RewardModel]:
    judge = make_tiny_judge(tmp_path_factory.mktemp("judge"), "gemma2", "pointwise")
    config = PanelConfig.model_validate({"judges": [judge]})
    with one_torch_thread(), RewardModel.load(config) as model:
        yield model


def told(call: Callable[[], object]) -> str:
    with pytest.raises(PrefstreamError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize("panel", [{"judges": []}, None, 3])
def test_a_panel_that_is_no_path(panel: Any) -> None:
    wanted = "a panel is the path of its file, demo, or PanelConfig(**settings), not "
    assert told(lambda: load_panel(panel)) == wanted + type(panel).__name__


@pytest.mark.parametrize("given", [None, 3, BATTLE])
def test_battles_that_are_no_list(model: RewardModel, given: Any) -> None:
    panel: Panel = model.panel
    assert told(lambda: panel.score(given)).endswith("call it with a list of battles: score([battle])")
    assert told(lambda: panel.encode(given)).endswith("call it with a list of battles")


def test_battles_that_can_be_walked_only_once(model: RewardModel) -> None:
    """They would be gone before the judges got them."""
    given: Any = (battle for battle in [BATTLE])
    assert told(lambda: model.panel.encode(given)) == (
        "panel.encode: one generator was given; call it with a list of battles"
    )
    assert len(model.panel.score(battle for battle in [BATTLE])) == 1


def test_a_list_of_battles_where_an_encoded_batch_is_due(model: RewardModel) -> None:
    given: Any = [BATTLE]
    assert told(lambda: model.panel.score_encoded(given)).endswith("battles go to panel.score")


def test_columns_of_unequal_lengths(model: RewardModel) -> None:
    assert told(lambda: model.scores(["a"], ["b", "c"], ["d"])) == (
        "1 prompts, 2 responses_a, 1 responses_b: each needs as many as the others"
    )
    assert told(lambda: model.rewards(["a", "b"], ["c"])) == "2 prompts, 1 responses: each needs as many as the others"
    assert told(lambda: model.ranks(["a", "b"], [["c"]])).startswith("2 prompts, 1 responses")


@pytest.mark.parametrize("text", [None, 3])
def test_texts_that_are_none(model: RewardModel, text: Any) -> None:
    wanted = f"a prompt or response is a text or a list of texts, not {type(text).__name__}"
    assert told(lambda: model.score("a", text, "b")) == wanted
    assert told(lambda: model.reward(text, "a")) == wanted
    assert told(lambda: model.rank("a", ["b", text])) == wanted


def test_one_text_where_several_answers_are_ranked(model: RewardModel) -> None:
    assert "a list of answers, not one text" in told(lambda: model.rank("a", "bc"))


@pytest.mark.parametrize("prompt", [[{"content": "x"}], ["x"], [3]])
def test_messages_that_are_none(model: RewardModel, prompt: Any) -> None:
    assert "no object with role and content" in told(lambda: TrlReward(model)(prompts=[prompt], completions=[ANSWER]))


def test_a_part_of_a_message_that_is_no_text(model: RewardModel) -> None:
    prompt: Any = [{"role": "user", "content": [3]}]
    assert "holds something else than text" in told(lambda: TrlReward(model)(prompts=[prompt], completions=[ANSWER]))
