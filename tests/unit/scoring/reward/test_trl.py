"""The reward function of TRL's trainers: what it reads, and that real trainers take steps with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefstream import Panel, PanelConfig, RewardModel, ScoringError, TrlReward
from prefstream.scoring.reward.trl import read_conversation
from tests.support.models import make_tiny_base, make_tiny_judge, one_torch_thread, tiny_tokenizer

PROMPT = "Which answer is better, and why?"


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


@pytest.fixture(scope="module")
def pointwise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RewardModel]:
    entry = make_tiny_judge(tmp_path_factory.mktemp("gemma"), "gemma2", "pointwise")
    with RewardModel.load(PanelConfig.model_validate({"judges": [entry]})) as model:
        yield model


@pytest.fixture(scope="module")
def pairwise(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RewardModel]:
    entry = make_tiny_judge(tmp_path_factory.mktemp("llama"), "llama", "pairwise")
    with RewardModel.load(PanelConfig.model_validate({"judges": [entry]})) as model:
        yield model


# Conversations.


@pytest.mark.parametrize(
    ("prompt", "completion", "turns"),
    [
        pytest.param("ask", "answer", (("ask",), ("answer",)), id="text"),
        pytest.param([user("ask")], [assistant("answer")], (("ask",), ("answer",)), id="messages"),
        pytest.param(
            [user("1"), assistant("2"), user("3")], [assistant("4")], (("1", "3"), ("2", "4")), id="several rounds"
        ),
        pytest.param(
            [{"role": "system", "content": "Be brief."}, user("ask")],
            [assistant("answer")],
            (("Be brief.\n\nask",), ("answer",)),
            id="a system message belongs to the first turn",
        ),
        pytest.param(
            [user("ask"), assistant("The answer")], [assistant(" is 4")], (("ask",), ("The answer is 4",)), id="begun"
        ),
        pytest.param(
            [user("ask")],
            [assistant(None), {"role": "tool", "content": "4"}, assistant("It is 4.")],
            (("ask",), ("It is 4.",)),
            id="a tool's answer is left out",
        ),
        pytest.param([user([{"type": "text", "text": "ask"}])], [assistant("a")], (("ask",), ("a",)), id="parts"),
        pytest.param([user("ask")], [], (("ask",), ("",)), id="nothing written"),
        pytest.param([], [assistant("answer")], (("",), ("answer",)), id="nothing asked"),
    ],
)
def test_a_conversation_becomes_turns(prompt: Any, completion: Any, turns: Any) -> None:
    assert read_conversation(prompt, completion) == turns


@pytest.mark.parametrize(
    ("prompt", "completion", "message"),
    [
        ("ask", [assistant("answer")], "both be text"),
        ([user([{"type": "image", "image": "x.png"}])], [assistant("answer")], "else than text"),
    ],
)
def test_what_judges_cannot_read_is_refused(prompt: Any, completion: Any, message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        read_conversation(prompt, completion)


# Rewards.


def test_a_pointwise_judge_rewards_each_completion(pointwise: RewardModel) -> None:
    reward = TrlReward(pointwise)
    rewards = reward(prompts=[PROMPT, "Hello"], completions=["no", "It is a tie."], completion_ids=[[1], [2]], level=3)
    assert rewards == pointwise.rewards([PROMPT, "Hello"], ["no", "It is a tie."])
    messages = reward(
        prompts=[[user(PROMPT)], [user("Hello")]], completions=[[assistant("no")], [assistant("It is a tie.")]]
    )
    assert messages == rewards


def test_pairwise_judges_rank_the_completions_of_each_prompt(pairwise: RewardModel) -> None:
    prompts = ["one", "two", "one", "two", "one", "three"]
    completions = ["no", "It is a tie.", "Response A", "fox", "dog", "alone"]
    rewards = TrlReward(pairwise)(prompts, completions)
    np.testing.assert_allclose(rewards[0::2][:3], pairwise.rank("one", completions[0:5:2]), atol=1e-6)
    np.testing.assert_allclose(rewards[1:4:2], pairwise.rank("two", completions[1:4:2]), atol=1e-6)
    assert rewards[5] == 0.0


def test_conversations_with_other_earlier_answers_are_other_groups(pairwise: RewardModel) -> None:
    prompts = [[user("one"), assistant(earlier), user("more")] for earlier in ("a", "b")]
    assert TrlReward(pairwise)(prompts, [[assistant("x")], [assistant("no")]]) == [0.0, 0.0]


def test_trainers_log_a_reward_by_its_name() -> None:
    model = RewardModel(Panel([]))
    assert TrlReward(model).__name__ == "prefstream"
    assert TrlReward(model, name="helpful").__name__ == "helpful"


# Trainers.

trl_warns = pytest.mark.filterwarnings(
    # TRL 1.16 still uses what transformers 5.23 calls by another name (activation_checkpointing).
    "ignore:`(is_)?gradient_checkpointing\\w*` is deprecated:FutureWarning",
)


def policy(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    make_tiny_base(folder, "chatml")
    model = AutoModelForCausalLM.from_pretrained(folder)
    model.generation_config.pad_token_id = model.config.pad_token_id
    return model


def train(trainer: str, folder: Path, model: RewardModel, prompts: Sequence[Any], **settings: Any) -> Any:
    """Take three steps with one of TRL's trainers; returns the trainer."""
    trl = pytest.importorskip("trl", reason="needs the optional extra: pip install 'prefstream[trl]'")
    dataset = pytest.importorskip("datasets").Dataset
    args = getattr(trl, f"{trainer}Config")(
        output_dir=str(folder / "run"),
        max_steps=3,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=8,
        learning_rate=1e-2,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        bf16=False,
        disable_tqdm=True,
        seed=1,
        **settings,
    )
    student = policy(folder / "policy")
    before = {name: weight.detach().clone() for name, weight in student.named_parameters()}
    running = getattr(trl, f"{trainer}Trainer")(
        student,
        reward_funcs=TrlReward(model),
        args=args,
        train_dataset=dataset.from_dict({"prompt": list(prompts)}),
        processing_class=tiny_tokenizer("chatml"),
    )
    running.train()
    changed = [name for name, weight in student.named_parameters() if not weight.detach().equal(before[name])]
    assert changed, "no weight moved"
    return running


def rewards_logged(trainer: Any) -> list[float]:
    return [
        entry["rewards/prefstream/mean"] for entry in trainer.state.log_history if "rewards/prefstream/mean" in entry
    ]


@trl_warns
def test_grpo_takes_steps_with_pointwise_rewards(tmp_path: Path, pointwise: RewardModel) -> None:
    trainer = train("GRPO", tmp_path, pointwise, [PROMPT, "Write a function."])
    rewards = rewards_logged(trainer)
    assert len(rewards) == 3
    assert np.isfinite(rewards).all()
    assert np.ptp(rewards) > 0


@trl_warns
def test_rloo_takes_steps_with_ranks_of_a_pairwise_panel(tmp_path: Path, pairwise: RewardModel) -> None:
    trainer = train("RLOO", tmp_path, pairwise, [PROMPT, "Write a function."])
    np.testing.assert_allclose(rewards_logged(trainer), 0.0, atol=1e-6)
    spreads = [entry["rewards/prefstream/std"] for entry in trainer.state.log_history if "reward" in entry]
    assert len(spreads) == 3
    assert min(spreads) > 0
