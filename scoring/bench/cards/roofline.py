"""How fast a panel would be on a card if each operator ran at the card's peak: a bound by arithmetic, no measurement.

What a judge multiplies and moves is counted by running its own code on tensors without contents, as its memory is
(`scoring.loading.memory.serving`): products take as long as the slower of multiplying and moving, everything else as
long as its bytes take to and from memory, one operator after the other. Not in it: time between operators, tokenising,
products that reach a part of the peak, caches that save trips to memory. Real cards stay below it.

Sequences have the lengths of `lengths.csv`, and passes are cut by the code that cuts them
(`scoring.judges.microbatch`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeAlias

import torch

from prefstream.scoring.bench.cards.sheets import GraphicsCard
from prefstream.scoring.bench.cards.work import FUSED, Work, work_of
from prefstream.scoring.bench.request import DEFAULT_MAX_LENGTH, models
from prefstream.scoring.bench.throughput import DEFAULT_BATCH_BATTLES, read_lengths
from prefstream.scoring.config import CUDA_MICRO_BATCH_TOKENS, ModelJudgeConfig, PanelConfig, Quantization
from prefstream.scoring.encoding.template import LABELS
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.judges import block_attention
from prefstream.scoring.judges.devices import packs
from prefstream.scoring.judges.microbatch import PASS_COST_TOKENS, pack_micro_batches, plan_micro_batches
from prefstream.scoring.loading.adapter_record import RECORD, AdapterRecord
from prefstream.scoring.loading.base_model import find_config
from prefstream.scoring.loading.memory.serving import linear_layers, weight_bytes
from prefstream.scoring.loading.sources import fetched_folder

TEMPLATE_TOKENS: Final = 30
"""About what a template writes around one round."""

_LORA_RANK: Final = 64
"""Of an adapter that stays beside a quantised base: that of the recipes."""

_FEWEST_PASSES: Final = 10**9
"""What a pass would cost, in tokens, for the fewest passes to be the best plan."""

_WIDTHS: Final = (512, 2048)
"""Tokens of the sequences on which work is counted; what others take lies on a parabola."""


Lengths: TypeAlias = tuple[int, int, int]
"""Tokens of a battle's prompt, response A and response B."""


class Way(StrEnum):
    """How a panel's judges read."""

    PLAIN = "eager attention, fewest passes"
    BLOCKS = "as it is"
    FLASH = "with flash-attn"


@dataclass(frozen=True, slots=True)
class JudgeWork:
    """What one judge does, as far as it depends on lengths.

    Attributes:
        per_token: work of a token.
        per_pair: work of each pair of tokens of one sequence.
        per_pass: of a pass, whatever it reads.
        int8: whether its linear layers multiply in 8 bits.
        packed: whether its sequences lie one behind the other, without padding.
    """

    per_token: Work
    per_pair: Work
    per_pass: Work
    int8: bool
    packed: bool = False

    def seconds(self, tokens: int, pairs: int, card: GraphicsCard) -> float:
        """Of a pass.

        Args:
            tokens: of all its sequences, padding included.
            pairs: of tokens of one sequence.
            card: that computes.
        """
        work = self.per_token * tokens + self.per_pair * pairs + self.per_pass
        # Attention multiplies in 16 bits in any case.
        linear = work.linear_flops / (card.int8_per_s if self.int8 else card.flops_per_s)
        products = max(linear + work.attention_flops / card.flops_per_s, work.product_bytes / card.bytes_per_s)
        return products + work.other_bytes / card.bytes_per_s


@dataclass(frozen=True, slots=True)
class SpeedBound:
    """What a panel can't exceed.

    Attributes:
        card: name.
        way: how its judges read.
        swap: each battle in both orders.
        battles_per_s: of the panel; the slowest device decides.
        judges: battles per second of each alone.
        padding: share of the tokens, over all judges.
    """

    card: str
    way: Way
    swap: bool
    battles_per_s: float
    judges: dict[str, float]
    padding: float


def bounds(
    config: PanelConfig,
    cards: Iterable[GraphicsCard],
    *,
    swaps: Sequence[bool] = (True, False),
    lengths: Sequence[Lengths] | None = None,
) -> list[SpeedBound]:
    """Bound a panel's speed, each of its devices being one of the cards.

    Args:
        config: the panel; only its judges with a base model count, and those that name one device share it.
        cards: those that can't hold the weights, or compute in a judge's dtype, are passed over.
        swaps: with swap and without; a pointwise judge reads no more with it.
        lengths: tokens of each battle's prompt and responses; by default those of `lengths.csv`.

    Returns:
        For each card, way and swap, in this order.

    Raises:
        ConfigError: nothing is known of a judge's base, or there is no judge with one.
        LoadError: a base can't be used.
    """
    judges = models(config)
    if not judges:
        raise ConfigError("bench roofline", ("no judge has a base model, so there is nothing to bound",))
    bases = {judge.name: _base(judge) for judge in judges}
    works = {way: {judge.name: _work(judge, bases[judge.name], way) for judge in judges} for way in Way}
    read = read_lengths() if lengths is None else lengths
    found = []
    for card in cards:
        if not _fit(judges, bases, card):
            continue
        found += [_bound(judges, works[way], card, way, read, swap=swap) for way in Way for swap in swaps]
    return found


def cells(found: Sequence[SpeedBound]) -> list[tuple[str, ...]]:
    """A row for each card, for people: battles per second with swap and without, by way.

    Args:
        found: what `bounds` returned, with both swaps.

    Returns:
        Name of the card, then "with / without" for each `Way`.
    """
    rates = {(bound.card, bound.way, bound.swap): bound.battles_per_s for bound in found}
    return [
        (card, *(f"{rates[card, way, True]:.1f} / {rates[card, way, False]:.1f}" for way in Way))
        for card in dict.fromkeys(bound.card for bound in found)
    ]


def _base(judge: ModelJudgeConfig) -> Any:
    config = find_config(judge.base, judge.revision, labels=len(LABELS[judge.kind]), layers=_layers(judge))
    if config is None:
        raise ConfigError(
            f"judge {judge.name}", (f"base: {judge.base} is not on this machine, so nothing is known of it yet",)
        )
    return config


def _layers(judge: ModelJudgeConfig) -> int | None:
    """Of its base that it has, where its adapter is here to say so; None for all."""
    folder = judge.adapter and fetched_folder(judge.adapter, judge.adapter_revision)
    return AdapterRecord.read(folder).layers if folder and (folder / RECORD).is_file() else None


def _fit(judges: Sequence[ModelJudgeConfig], bases: dict[str, Any], card: GraphicsCard) -> bool:
    taken: dict[str, int] = {}
    for judge in judges:
        if judge.dtype == "bfloat16" and not card.has_bfloat16:
            return False
        weights = weight_bytes(bases[judge.name], torch.bfloat16, judge.rounding)
        for replica in judge.replicas:
            place = _place(replica)
            taken[place] = taken.get(place, 0) + weights
    return max(taken.values()) < card.memory


def _place(replica: ModelJudgeConfig) -> str:
    """The card that it is on; one of its own where that is open."""
    return replica.name if replica.device == "auto" else str(replica.device)


def _bound(
    judges: Sequence[ModelJudgeConfig],
    works: dict[str, JudgeWork],
    card: GraphicsCard,
    way: Way,
    lengths: Sequence[Lengths],
    *,
    swap: bool,
) -> SpeedBound:
    battles = len(lengths)
    by_device: dict[str, float] = {}
    alone, read, padded = {}, 0, 0
    for judge in judges:
        work = works[judge.name]
        passes, tokens = _passes(judge, way, lengths, swap=swap, packed=work.packed)
        replicas = judge.replicas
        seconds = sum(work.seconds(one_tokens, pairs, card) for one_tokens, pairs in passes) / len(replicas)
        alone[judge.name] = battles / seconds
        for replica in replicas:
            place = _place(replica)
            by_device[place] = by_device.get(place, 0.0) + seconds
        read, padded = read + tokens, padded + sum(one_tokens for one_tokens, _ in passes)
    return SpeedBound(card.name, way, swap, battles / max(by_device.values()), alone, 1 - read / padded)


def _passes(
    judge: ModelJudgeConfig, way: Way, lengths: Sequence[Lengths], *, swap: bool, packed: bool
) -> tuple[list[tuple[int, int]], int]:
    """Tokens of each pass over a batch of the stream's at a time, and pairs of them within sequences; tokens read."""
    longest = judge.max_length or DEFAULT_MAX_LENGTH
    budget = judge.micro_batch_tokens if isinstance(judge.micro_batch_tokens, int) else CUDA_MICRO_BATCH_TOKENS
    passes, read = [], 0
    for start in range(0, len(lengths), DEFAULT_BATCH_BATTLES):
        tokens = []
        for prompt, answer_a, answer_b in lengths[start : start + DEFAULT_BATCH_BATTLES]:
            if judge.kind == "pairwise":
                tokens += [prompt + answer_a + answer_b] * (2 if swap else 1)
            else:
                tokens += [prompt + answer_a, prompt + answer_b]
        tokens = [min(longest, count + TEMPLATE_TOKENS) for count in tokens]
        read += sum(tokens)
        if packed:
            plan = pack_micro_batches(tokens, tokens=budget)
            passes += [(one.padded_tokens, sum(tokens[index] ** 2 for index in one.indices)) for one in plan]
            continue
        cost = _FEWEST_PASSES if way == Way.PLAIN else PASS_COST_TOKENS
        plan = plan_micro_batches(tokens, padded_tokens=budget, pass_cost_tokens=cost)
        passes += [(one.padded_tokens, one.padded_tokens * one.width) for one in plan]
    return passes, read


def _work(judge: ModelJudgeConfig, config: Any, way: Way) -> JudgeWork:
    rank, attention = 0 if judge.merges else _LORA_RANK, _attention(config, way)
    short, long = (work_of(config, attention, width, lora_rank=rank) for width in _WIDTHS)
    # Work of one sequence is a * width + b * width ** 2.
    narrow, wide = _WIDTHS
    per_pair = (long * (1 / wide) + short * (-1 / narrow)) * (1 / (wide - narrow))
    per_token = short * (1 / narrow) + per_pair * -narrow
    linear = linear_layers(config)
    weights = sum(layer.weight.numel() for layer in linear)
    return JudgeWork(
        per_token=per_token + _rounding_of_inputs(linear, judge.rounding),
        per_pair=per_pair,
        per_pass=_reading_of_weights(weights, judge.rounding),
        int8=judge.rounding == "8bit",
        packed=way == Way.FLASH and config.model_type == "gemma2" and packs(judge, "flash_attention_2"),
    )


def _attention(config: Any, way: Way) -> str:
    if config.model_type != "gemma2":  # torch has kernels for all others
        return FUSED
    return {Way.PLAIN: "eager", Way.BLOCKS: block_attention.NAME, Way.FLASH: FUSED}[way]


def _reading_of_weights(weights: int, quantization: Quantization) -> Work:
    """Once a pass; in 4 bits they are unpacked before, which writes and reads them in 16."""
    product_bytes = {"none": 2.0, "8bit": 1.0, "4bit": 2.0}[quantization] * weights
    return Work(product_bytes=product_bytes, other_bytes=2.5 * weights if quantization == "4bit" else 0.0)


def _rounding_of_inputs(linear: Sequence[torch.nn.Linear], quantization: Quantization) -> Work:
    """In 8 bits an input is read and written in fewer bits, and sums of 32 bits are read to become numbers of 16."""
    if quantization != "8bit":
        return Work()
    return Work(other_bytes=float(sum(3 * layer.in_features + 10 * layer.out_features for layer in linear)))
