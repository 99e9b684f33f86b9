"""How many padded tokens a pass may have on a card, where a judge leaves that open (`micro_batch_tokens: auto`).

By arithmetic, as `scoring.loading.memory.serving` counts it: judges that share a card compute side by side, so a pass
of each at once must fit into what their weights leave. That it fits is tried before the first battle, when they warm
up; where it does not after all, or not any more, the budget is halved as any is (`scoring.judges.memory.token_budget`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch

from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.judges.devices import Placement, attention_for
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.loading.memory.serving import JudgeMemory, judge_memory

_USED: Final = 0.9
"""Of the memory that is free. The rest is for what the arithmetic does not see: work spaces that libraries make for
each thread at its first pass, and gaps between what is allocated."""


@dataclass(frozen=True, slots=True)
class Reader:
    """A judge on a card, as far as its passes go.

    Attributes:
        name: of the judge.
        open: whether its budget is to be found.
        most: padded tokens of one pass that it may have, or has where its budget is not to be found.
        max_length: tokens of a sequence, at most.
        takes: bytes of a pass, by its padded tokens; never fewer for more.
    """

    name: str
    open: bool
    most: int
    max_length: int
    takes: Callable[[int], int]

    @classmethod
    def of(cls, config: ModelJudgeConfig, placement: Placement, model_config: Any) -> Reader:
        """What a judge's settings say.

        Args:
            config: of the judge.
            placement: of the judge.
            model_config: transformers' own, of its base.
        """
        return cls(
            config.name,
            is_open(config, placement),
            placement.micro_batch_tokens,
            config.max_length,
            lambda tokens: memory_of(config, placement, model_config, tokens=tokens).one_pass,
        )

    @property
    def least(self) -> int:
        """Padded tokens of one sequence, the longest: without it there is no judge."""
        return min(self.max_length, self.most)

    def fitting(self, room: float) -> int:
        """Padded tokens of as many of the longest sequences as fit, at least one and fewer than it may have.

        Args:
            room: in bytes.
        """
        more = range(2, self.most // self.max_length)
        sequences = 1 + bisect_right(more, room, key=lambda sequences: self.takes(sequences * self.max_length))
        return min(sequences * self.max_length, self.most)


def is_open(config: ModelJudgeConfig, placement: Placement) -> bool:
    """Whether a judge's budget is to be found; on a CPU it has that of others, which is no question of memory."""
    return config.micro_batch_tokens == "auto" and placement.device.type == "cuda"


def memory_of(
    config: ModelJudgeConfig, placement: Placement, model_config: Any, *, tokens: int, adapter_weights: int = 0
) -> JudgeMemory:
    """Count what a judge takes at its place.

    Args:
        config: of the judge.
        placement: of the judge.
        model_config: transformers' own, of its base.
        tokens: padded tokens of a pass, at most.
        adapter_weights: how many its adapter has.
    """
    return judge_memory(
        model_config,
        attention=attention_for(config, model_config, placement),
        dtype=placement.dtype,
        quantization=config.rounding,  # what int8-dynamic saves, on a CPU, is not counted
        micro_batch_tokens=tokens,
        max_length=config.max_length,
        adapter_weights=0 if config.merges else adapter_weights,
    )


def fit_budgets(readers: Iterable[Reader], room: int) -> dict[str, int]:
    """Share the room of one card out among the passes of its judges.

    Those with a budget of their own have what that takes, every other judge has one of its longest sequences, and
    equal shares of the rest; what one of them has no use for is the others'.

    Args:
        readers: all judges on the card.
        room: bytes that are free for passes; a tenth of it stays free.

    Returns:
        Padded tokens of one pass, by the name of each judge whose budget is to be found. They fit together, unless
        one sequence of each does not: that is told when judges warm up.
    """
    readers = list(readers)
    least = {reader.name: reader.takes(reader.least) for reader in readers if reader.open}
    left = _USED * room - sum(least.values()) - sum(reader.takes(reader.most) for reader in readers if not reader.open)
    more = {reader.name: reader.takes(reader.most) - least[reader.name] for reader in readers if reader.open}
    budgets: dict[str, int] = {}
    wanting = sorted((reader for reader in readers if reader.open), key=lambda reader: more[reader.name])
    for place, reader in enumerate(wanting):
        share = left / (len(wanting) - place)
        tokens = reader.most if more[reader.name] <= share else reader.fitting(least[reader.name] + share)
        budgets[reader.name] = tokens
        left -= reader.takes(tokens) - least[reader.name]
    return budgets


def fit_to_cards(
    forwards: Mapping[str, Forward],
    configs: Mapping[str, ModelJudgeConfig],
    placements: Mapping[str, Placement],
    *,
    say: Callable[[str], None],
) -> None:
    """Give judges their budgets that are to be found: what the cards have room for, now that all weights are there.

    Args:
        forwards: all of a panel's models that are on cards, loaded, by the name of the judge or its replica; nothing
            is scored yet.
        configs: of judges and replicas, by name.
        placements: likewise.
        say: told each budget that was found.
    """
    by_card: dict[torch.device, dict[str, Forward]] = {}
    for name, forward in forwards.items():
        by_card.setdefault(placements[name].device, {})[name] = forward
    for device, there in by_card.items():
        if not any(is_open(configs[name], placements[name]) for name in there):
            continue
        readers = [Reader.of(configs[name], placements[name], forward.model_config) for name, forward in there.items()]
        for name, tokens in fit_budgets(readers, free_bytes(device)).items():
            there[name].limit(tokens)
            say(f"{name}: passes of {tokens} tokens fit on {device}")


def free_bytes(device: torch.device) -> int:
    """What is free on a card, with what torch holds there and does not use."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free) + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
