"""What a card could do at most follows from what a judge's own code multiplies and moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from prefstream.scoring.bench.cards import roofline
from prefstream.scoring.bench.cards.roofline import JudgeWork, Way, bounds
from prefstream.scoring.bench.cards.sheets import CARDS, find_cards
from prefstream.scoring.bench.cards.work import FUSED, Work, work_of
from prefstream.scoring.bench.throughput import read_lengths
from prefstream.scoring.config import PanelConfig
from prefstream.scoring.errors import ConfigError
from prefstream.scoring.known_bases import gemma_2_9b, llama_3_8b
from tests.support.models import make_tiny_judge

[A100, H100] = find_cards(["H100", "a100-80gb"])


def panel(**changed: Any) -> PanelConfig:
    judge = {
        "name": "llama",
        "kind": "pairwise",
        "base": "meta-llama/Meta-Llama-3-8B-Instruct",
        "revision": "8afb486c1db24fe5011ec46dfbe5b5dccdb575c2",
        "allow_untrained": True,
        "dtype": "bfloat16",
        "max_length": 2048,
    }
    return PanelConfig.model_validate({"judges": [{**judge, **changed}]})


def test_linear_layers_multiply_twice_for_each_weight_and_attention_each_pair_of_tokens_that_is_seen() -> None:
    """4 operations for each pair, head and number of a head: a product for its score, and one with its value."""
    config = llama_3_8b()
    weights = 32 * (4096 * (4096 + 1024 + 1024 + 4096) + 3 * 4096 * 14336)
    work = work_of(config, FUSED, 512)
    assert work.linear_flops == pytest.approx(2 * weights * 512, rel=0.001)
    assert work.attention_flops == pytest.approx(32 * 4 * 32 * 128 * 512**2 / 2, rel=0.001)


def test_attention_that_keeps_scores_moves_most_and_multiplies_twice_as_much() -> None:
    eager, blocks, fused = (work_of(gemma_2_9b(), name, 1024) for name in ("eager", "causal_blocks", FUSED))
    assert eager.attention_flops == pytest.approx(2 * fused.attention_flops, rel=0.001)
    assert fused.attention_flops < blocks.attention_flops < 0.6 * eager.attention_flops
    assert fused.other_bytes < blocks.other_bytes < eager.other_bytes
    assert eager.linear_flops == blocks.linear_flops == fused.linear_flops


def test_an_adapter_beside_the_base_adds_its_products() -> None:
    alone, beside = (work_of(llama_3_8b(), FUSED, 256, lora_rank=rank) for rank in (0, 64))
    sides = 32 * (2 * (4096 + 4096) + 2 * (4096 + 1024) + 3 * (4096 + 14336))
    assert beside.linear_flops - alone.linear_flops == pytest.approx(2 * 64 * sides * 256, rel=0.001)


def test_a_pass_takes_the_slower_of_multiplying_and_moving_and_then_the_rest() -> None:
    work = JudgeWork(Work(linear_flops=1e9, other_bytes=1e6), Work(), Work(product_bytes=2e10), int8=False)
    reading, multiplying = 2e10 / A100.bytes_per_s, 1e9 / A100.flops_per_s
    assert work.seconds(1, 1, A100) == pytest.approx(reading + 1e6 / A100.bytes_per_s)
    assert work.seconds(8 * 1024, 8 * 1024**2, A100) == pytest.approx(8 * 1024 * (multiplying + 1e6 / A100.bytes_per_s))
    in_8_bits = JudgeWork(work.per_token, work.per_pair, work.per_pass, int8=True)
    assert in_8_bits.seconds(8 * 1024, 8 * 1024**2, A100) < work.seconds(8 * 1024, 8 * 1024**2, A100)


def test_a_bound_is_near_that_of_the_products_alone_and_below_it() -> None:
    found = bounds(panel(), [A100, H100])
    rates = {(one.card, one.way, one.swap): one.battles_per_s for one in found}
    tokens = sum(min(2048, sum(lengths) + roofline.TEMPLATE_TOKENS) for lengths in read_lengths()) / len(read_lengths())
    most = A100.flops_per_s / (2 * 6.98e9 * tokens)
    assert 0.6 * most < rates["A100-80GB", Way.BLOCKS, False] < most
    assert (
        rates["A100-80GB", Way.PLAIN, False] < rates["A100-80GB", Way.BLOCKS, False] < rates["H100", Way.BLOCKS, False]
    )
    assert rates["H100", Way.BLOCKS, True] == pytest.approx(rates["H100", Way.BLOCKS, False] / 2, rel=0.03)
    padding = {one.way: one.padding for one in found if not one.swap}
    assert padding[Way.BLOCKS] < 0.05
    assert padding[Way.PLAIN] > 0.2


def test_two_replicas_read_twice_as_much_at_most(tmp_path: Path) -> None:
    judge = make_tiny_judge(tmp_path / "x", "llama", dtype="bfloat16")

    def rate(device: object) -> float:
        config = PanelConfig.model_validate({"judges": [judge | {"device": device}]})
        return bounds(config, [A100], swaps=[False], lengths=[(100, 50, 50)] * 4)[0].battles_per_s

    assert rate(["cuda:0", "cuda:1"]) == pytest.approx(2 * rate("cuda:0"))
    assert rate(["cuda:0", "cuda:0"]) == pytest.approx(rate("cuda:0"))


def test_cards_that_hold_no_weights_or_compute_in_another_dtype_are_passed_over() -> None:
    names = {bound.card for bound in bounds(panel(), CARDS)}
    assert names == {card.name for card in CARDS if card.memory > 14.9e9 and card.has_bfloat16}


def test_of_a_base_the_layers_count_that_the_adapter_keeps(tmp_path: Path) -> None:
    def rate(kept_layers: int | None) -> float:
        folder = tmp_path / f"kept-{kept_layers}"
        judge = make_tiny_judge(folder, "llama", layers=3, kept_layers=kept_layers, dtype="bfloat16")
        [bound] = bounds(
            PanelConfig.model_validate({"judges": [judge]}), [A100], swaps=[False], lengths=[(100, 50, 50)] * 4
        )[1:2]
        assert bound.way == Way.BLOCKS
        return bound.battles_per_s

    assert rate(1) > 1.5 * rate(None)


def test_what_is_not_known_is_told() -> None:
    with pytest.raises(ConfigError, match="a200 is unknown; there are T4, L4"):
        find_cards(["H100", "A200"])
    unknown = panel(base="someone/something", revision="0" * 40)
    with pytest.raises(ConfigError, match="someone/something is not on this machine"):
        bounds(unknown, CARDS)
    prior = PanelConfig.model_validate(
        {"judges": [{"name": "p", "kind": "prior", "probabilities": {"model_a": 0.3, "model_b": 0.3, "tie": 0.4}}]}
    )
    with pytest.raises(ConfigError, match="nothing to bound"):
        bounds(prior, CARDS)
