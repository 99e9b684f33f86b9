"""Sequences as tensors: padded on the right, found again in the rows of several passes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prefstream.scoring.finetune.data.pairs import keep_one_order
from prefstream.scoring.finetune.passes import StepDataset, forward_passes
from prefstream.scoring.finetune.recipe import DataRecipe
from prefstream.scoring.finetune.steps import plan_steps
from tests.support.labelled_pairs import make_pairs, make_recipe

PAD = 99


def test_passes_hold_every_sequence_once_within_their_padded_tokens() -> None:
    pairs = make_pairs(5, lengths=[3, 30, 8, 9, 90, 1, 2, 7, 7, 7])
    passes = forward_passes(pairs, np.array([0, 1, 3, 4, 7, 9]), PAD, padded_tokens=32)
    assert sorted(np.concatenate([places for places, _, _ in passes]).tolist()) == [0, 1, 3, 4, 7, 9]
    for places, ids, mask in passes:
        assert ids.numel() <= 32 or len(places) == 1
        for row, place in enumerate(places):
            assert ids[row][mask[row].bool()].tolist() == pairs.sequences[place].tolist()


@pytest.mark.parametrize("balance", ["none", "step"])
def test_rows_of_a_step_point_to_the_pairs_sequences(balance: str) -> None:
    """Laid end to end, the rows of a micro-batch's passes are where `first` and `second` say."""
    lengths = [1 + (7 * number) % 23 for number in range(48)]
    pairs = make_pairs(24, prompts=[number // 3 for number in range(24)], lengths=lengths, shared=True)
    step = {"weight": 6, "micro_batch_tokens": 60, "pass_tokens": 30}
    recipe = make_recipe(Path("base"), step=step, data={"balance_length": balance, "prompt_exponent": 0})
    plan = plan_steps(pairs, recipe.data, recipe.step, seed=0)
    steps = StepDataset(pairs, plan, recipe, pad_id=PAD)
    assert len(steps) == len(plan.steps) == 4
    for number, chosen in enumerate(plan.steps):
        micro_batches = steps[number]
        assert len(micro_batches) > 1
        assert sum(float(batch["weights"].sum()) for batch in micro_batches) == pytest.approx(1.0)
        seen = []
        for batch in micro_batches:
            rows = [
                ids[mask.bool()].tolist()
                for one in batch["passes"]
                for ids, mask in zip(one["input_ids"], one["attention_mask"], strict=True)
            ]
            ends = zip(batch["first"].tolist(), batch["second"].tolist(), batch["targets"].tolist(), strict=True)
            seen += [(rows[first], rows[second], target) for first, second, target in ends]
        expected = [
            (pairs.sequences[pairs.first[pair]], pairs.sequences[pairs.second[pair]], pairs.targets[pair])
            for pair in chosen
        ]
        assert sorted(seen) == sorted(tuple(column.tolist() for column in pair) for pair in expected)


def test_a_step_balances_its_own_lengths() -> None:
    pairs = make_pairs(8, outcomes=[0, 0, 0, 1] * 2)
    recipe = make_recipe(Path("base"), data={"balance_length": "step"}, step={"weight": 8})
    plan = plan_steps(pairs, recipe.data, recipe.step, seed=0)
    [batch] = StepDataset(pairs, plan, recipe, pad_id=PAD)[0]
    a_wins = batch["targets"][:, 0] == 1
    assert float(batch["weights"][a_wins].sum()) == pytest.approx(0.5)


@pytest.mark.parametrize("one_order", [False, True])
def test_lengths_are_balanced_by_verdicts_whatever_the_shares_and_the_order_that_is_read(one_order: bool) -> None:
    """Soft labels, sources without ties and a pairwise judge's exchanged sides change nothing about who won."""
    pairs = make_pairs(6, outcomes=[0, 0, 0, 1, 2, 2], longer=[1, 1, 1, 1, 1, -1])
    soft = 0.6 * pairs.targets + 0.4 * np.array([1, 1, 0]) / 2
    pairs = replace(
        pairs, targets=soft.astype(np.float32), ties_possible=np.array([True, False, True, False, True, True])
    )
    if one_order:
        pairs = keep_one_order(pairs, seed=3)
    recipe = make_recipe(Path("base"), data={"balance_length": "step", "prompt_exponent": 0}, step={"weight": 6})
    plan = plan_steps(pairs, recipe.data, recipe.step, seed=0)
    [batch] = StepDataset(pairs, plan, recipe, pad_id=PAD)[0]
    # Sequences of one length go by the number of their prompt: here the pairs' own order.
    assert (batch["weights"] * 6).tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2, 1, 1])


def test_weights_of_the_plan_are_left_as_they_are_without_balance() -> None:
    pairs = make_pairs(8, prompts=[0] * 4 + [1, 2, 3, 4])
    recipe = make_recipe(Path("base"), step={"weight": 16})
    plan = plan_steps(pairs, DataRecipe(), recipe.step, seed=0)
    [batch] = StepDataset(pairs, plan, recipe, pad_id=PAD)[0]
    assert sorted(set(batch["weights"].tolist())) == pytest.approx([0.5 / 6, 1 / 6])
