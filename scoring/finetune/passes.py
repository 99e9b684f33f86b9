"""Sequences as tensors: what a forward pass reads, in training and at the dev pairs."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from prefstream.scoring.finetune.data.pairs import Pairs
from prefstream.scoring.finetune.recipe import Recipe
from prefstream.scoring.finetune.steps import BackwardPass, TrainingPlan, length_balance, micro_batches, step_tokens
from prefstream.scoring.judges.microbatch import plan_micro_batches
from prefstream.scoring.judges.padding import pad

MicroBatchTensors: TypeAlias = dict[str, Any]
"""`passes`: a list of forward passes, each with `input_ids` and `attention_mask` of shape (sequences, tokens); `first`
and `second` of shape (pairs,): rows of the passes' outputs laid end to end; `targets` (pairs, 3); `ties_possible`
(pairs,); `weights` (pairs,), which sum to 1 over the step."""


class StepDataset(Dataset[list[MicroBatchTensors]]):
    """One item per optimiser step: its micro-batches."""

    def __init__(self, pairs: Pairs, plan: TrainingPlan, recipe: Recipe, *, pad_id: int) -> None:
        self._pairs = pairs
        self._plan = plan
        self._balance = recipe.data.balance_length == "step"
        self._step = recipe.step
        self._pad_id = pad_id

    def __len__(self) -> int:
        return len(self._plan.steps)

    @property
    def tokens(self) -> NDArray[np.int64]:
        """Of each step."""
        return step_tokens(self._pairs, self._plan)

    def __getitem__(self, step: int) -> list[MicroBatchTensors]:
        chosen = self._plan.steps[step]
        weights = self._plan.weights[chosen]
        if self._balance:
            weights = weights * length_balance(self._pairs, chosen, weights)
        planned = micro_batches(self._pairs, chosen, weights, tokens=self._step.micro_batch_tokens)
        return [self._tensors(micro_batch) for micro_batch in planned]

    def _tensors(self, micro_batch: BackwardPass) -> MicroBatchTensors:
        pairs = self._pairs
        passes = forward_passes(pairs, micro_batch.sequences, self._pad_id, padded_tokens=self._step.pass_tokens)
        row = {int(place): number for number, place in enumerate(np.concatenate([places for places, _, _ in passes]))}
        return {
            "passes": [{"input_ids": ids, "attention_mask": mask} for _, ids, mask in passes],
            "first": torch.tensor([row[int(place)] for place in pairs.first[micro_batch.pairs]]),
            "second": torch.tensor([row[int(place)] for place in pairs.second[micro_batch.pairs]]),
            "targets": torch.from_numpy(pairs.targets[micro_batch.pairs]),
            "ties_possible": torch.from_numpy(pairs.ties_possible[micro_batch.pairs]),
            "weights": torch.from_numpy(micro_batch.weights.astype(np.float32)),
        }


def forward_passes(
    pairs: Pairs, places: NDArray[np.int64], pad_id: int, *, padded_tokens: int
) -> list[tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]]:
    """Split sequences into forward passes of like length.

    Args:
        pairs: the data.
        places: positions in `pairs.sequences`.
        pad_id: token that fills the right of shorter sequences.
        padded_tokens: of one pass; a longer sequence goes alone.

    Returns:
        For each pass the positions of its sequences, their ids and their mask.
    """
    plan = plan_micro_batches([len(pairs.sequences[place]) for place in places], padded_tokens=padded_tokens)
    chosen = [places[list(planned.indices)] for planned in plan]
    return [(some, *pad([pairs.sequences[place] for place in some], pad_id)) for some in chosen]
