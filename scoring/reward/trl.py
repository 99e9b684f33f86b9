"""A panel as reward function of TRL's trainers (`GRPOTrainer`, `RLOOTrainer`), as TRL 1.16 calls it.

TRL itself is not imported here: a reward function is a callable with a name.

Example:
    Train a policy against a panel; the trainer prints the rewards as it goes:

    >>> from trl import GRPOTrainer
    >>> from prefstream import RewardModel, TrlReward
    >>> with RewardModel.load("panel.yaml") as model:
    ...     trainer = GRPOTrainer(policy, reward_funcs=TrlReward(model), args=args, train_dataset=prompts)
    ...     result = trainer.train()
    {...'rewards/prefstream/mean': ...}
    >>> result.global_step == args.max_steps
    True
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from prefstream.scoring.errors import ScoringError
from prefstream.scoring.reward.model import RewardModel

Conversation: TypeAlias = str | Sequence[Mapping[str, Any]]
"""Plain text, or messages with `role` and `content`."""

_BETWEEN_MESSAGES = "\n\n"
"""Between messages that stand in one turn, such as a system message and the user's first."""


class TrlReward:
    """Rewards completions by a panel.

    With a pointwise judge in the panel, a completion's reward is its score. Otherwise the completions of each prompt
    are compared with each other (`RewardModel.rank`), and their strengths, with mean zero for each prompt, are the
    rewards. That fits both trainers, which look at differences within a prompt's group only, but needs the group in
    one call: make the batch size per device a multiple of the number of generations. A completion that is alone with
    its prompt gets 0.

    Every process of a distributed run loads judges of its own: give each its device in the panel file.

    Args:
        model: closed by whoever opened it.
        name: under which the trainer logs the reward.
    """

    def __init__(self, model: RewardModel, *, name: str = "prefstream") -> None:
        self.model = model
        self.__name__ = name

    def __call__(
        self, prompts: Sequence[Conversation], completions: Sequence[Conversation], **_columns: object
    ) -> list[float]:
        """One reward per completion.

        Args:
            prompts: one per completion; those of a group are repeated.
            completions: what the policy wrote, in the form of the prompts: text, or messages.
            _columns: what else the trainer passes: token ids, columns of the data set, its state.

        Raises:
            ScoringError: a message holds something else than text, a judge broke down, or its device is too small.
        """
        read = [read_conversation(*one) for one in zip(prompts, completions, strict=True)]
        if self.model.gives_rewards:
            return self.model.rewards([prompt for prompt, _ in read], [response for _, response in read])
        groups: dict[object, list[int]] = {}
        for position, (prompt, response) in enumerate(read):
            groups.setdefault((prompt, response[:-1]), []).append(position)
        ranked = self.model.ranks(
            [read[positions[0]][0] for positions in groups.values()],
            [[read[position][1] for position in positions] for positions in groups.values()],
        )
        rewards = [0.0] * len(read)
        for positions, strengths in zip(groups.values(), ranked, strict=True):
            for position, strength in zip(positions, strengths, strict=True):
                rewards[position] = strength
        return rewards


def read_conversation(prompt: Conversation, completion: Conversation) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The turns of a prompt and of the response to it, as many of the one as of the other.

    System messages go to the user's turn that follows. What tools answered is left out; what the assistant wrote
    before and after it is one turn. A prompt that ends with the beginning of the answer is continued by it.

    Args:
        prompt: text, or messages.
        completion: text where the prompt is text, else messages.

    Raises:
        ScoringError: a message holds something else than text.
    """
    if isinstance(prompt, str) or isinstance(completion, str):
        if not (isinstance(prompt, str) and isinstance(completion, str)):
            raise ScoringError("a prompt and its completion must both be text or both be messages")
        return (prompt,), (completion,)
    if not all(isinstance(message, Mapping) and "role" in message for message in [*prompt, *completion]):
        raise ScoringError("a message is no object with role and content; give them as TRL's trainers do")
    messages = [(message["role"], _text_of(message)) for message in [*prompt, *completion]]
    if prompt and completion and prompt[-1]["role"] == completion[0]["role"] == "assistant":
        begun, goes_on = messages[len(prompt) - 1 : len(prompt) + 1]
        messages[len(prompt) - 1 : len(prompt) + 1] = [("assistant", begun[1] + goes_on[1])]
    rounds: list[tuple[list[str], list[str]]] = [([], [])]
    for role, text in messages:
        asked, answered = rounds[-1]
        if role == "assistant":
            answered.append(text)
        elif role != "tool":
            if answered:
                rounds.append(([text], []))
            else:
                asked.append(text)
    return tuple(_join(asked) for asked, _ in rounds), tuple(_join(answered) for _, answered in rounds)


def _text_of(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    if content is None:  # a tool was called and nothing said
        return ""
    if isinstance(content, str):
        return content
    parts = [part["text"] for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    if len(parts) < len(content):
        raise ScoringError("a message holds something else than text, which judges can't read; leave it out")
    return _BETWEEN_MESSAGES.join(parts)


def _join(texts: Sequence[str]) -> str:
    return _BETWEEN_MESSAGES.join(text for text in texts if text)
