"""Forward passes: out of memory, non-finite logits, order, and what torch keeps per thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import structlog
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.pooling import Float32Head

PAD = 0
WATCHDOG_S = 60
"""For a deadlock to become a failure."""


class CountingModel(torch.nn.Module):
    """Logits tell the sum and the number of a sequence's tokens; memory ends at a number of padded tokens."""

    def __init__(self, capacity_tokens: int | None = None, error: Exception | None = None) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.capacity_tokens = capacity_tokens
        self.error = error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        self.relief: int | None = None
        """After so many failures there is memory again."""
        self.passes: list[tuple[int, int]] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
        assert not use_cache
        assert torch.is_inference_mode_enabled()
        self.passes.append((input_ids.shape[0], input_ids.shape[1]))
        if self.capacity_tokens is not None and input_ids.numel() > self.capacity_tokens:
            if self.relief is not None:
                self.relief -= 1
                self.capacity_tokens = None if self.relief <= 0 else self.capacity_tokens
            raise self.error
        tokens = (input_ids * attention_mask).sum(dim=1)
        return SimpleNamespace(logits=torch.stack([tokens, attention_mask.sum(dim=1)], dim=1) * self.scale)


def forward_of(model: torch.nn.Module, budget_tokens: int = 64, **options: Any) -> Forward:
    return Forward(
        model,
        judge="j",
        device=torch.device("cpu"),
        dtype=options.pop("dtype", torch.float32),
        pad_id=PAD,
        outputs=2,
        budget_tokens=budget_tokens,
        **options,
    )


def sequences_of(*lengths: int) -> list[tuple[int, ...]]:
    return [tuple(range(start, start + length)) for start, length in enumerate(lengths, 1)]


def expected_of(sequences: list[tuple[int, ...]]) -> list[list[float]]:
    return [[float(sum(sequence)), float(len(sequence))] for sequence in sequences]


def test_rows_come_back_in_the_order_of_the_sequences() -> None:
    sequences = sequences_of(3, 9, 1, 7, 2)
    assert forward_of(CountingModel(), 10).logits(sequences).values.tolist() == expected_of(sequences)


def test_no_sequences_give_no_rows() -> None:
    assert forward_of(CountingModel()).logits([]).values.shape == (0, 2)


def test_a_pass_stays_within_the_budget_unless_one_sequence_is_longer() -> None:
    model = CountingModel()
    forward_of(model, 10).logits(sequences_of(12, 5, 5, 5, 2, 2))
    assert all(rows * width <= 10 or rows == 1 for rows, width in model.passes)


def test_a_sequence_that_occurs_several_times_is_read_once() -> None:
    model = CountingModel()
    one, other = sequences_of(3, 4)
    logits = forward_of(model, 64).logits([one, other, one, one])
    assert logits.values.tolist() == expected_of([one, other, one, one])
    assert sum(rows for rows, _ in model.passes) == 2


def test_out_of_memory_halves_the_budget_and_goes_on() -> None:
    model = CountingModel(capacity_tokens=20)
    sequences = sequences_of(4, 5, 6, 7, 8, 3, 2, 1)
    logits = forward_of(model, 64).logits(sequences)
    assert logits.values.tolist() == expected_of(sequences)
    assert not logits.too_large


def test_the_smaller_budget_is_remembered_and_logged() -> None:
    model = CountingModel(capacity_tokens=20)
    forward = forward_of(model, 64)
    with structlog.testing.capture_logs() as logs:
        forward.logits(sequences_of(*[8] * 8))
    assert forward.budget_tokens <= 20
    assert {entry["event"] for entry in logs} == {"out of memory, budget halved"}
    model.passes.clear()
    forward.logits(sequences_of(*[8] * 8))
    assert all(rows * width <= 20 for rows, width in model.passes)


def test_a_small_pass_that_fails_costs_the_budget_one_half_and_no_more() -> None:
    """Whatever took the memory is no reason to read a thousand tokens at a time from now on, two by two."""
    model = CountingModel(capacity_tokens=0)
    forward = forward_of(model, 16_384)
    model.relief = 1
    sequences = sequences_of(4, 4)
    assert forward.logits(sequences).values.tolist() == expected_of(sequences)
    assert forward.budget_tokens == 8_192
    assert model.passes == [(2, 4), (1, 4), (1, 4)]


def test_the_budget_grows_back_after_passes_that_went_well() -> None:
    model = CountingModel(capacity_tokens=32)
    forward = forward_of(model, 64)
    forward.logits(sequences_of(*[8] * 8))
    assert forward.budget_tokens == 32
    model.capacity_tokens = None
    for _ in range(128):
        forward.logits(sequences_of(*[8] * 8))
    assert forward.budget_tokens == 64
    model.passes.clear()
    forward.logits(sequences_of(*[8] * 8))
    assert model.passes == [(8, 8)]


def test_warming_up_fills_a_pass_with_one_sequence_many_times() -> None:
    model = CountingModel()
    assert forward_of(model, 64).warm_up((5, 6, 7))
    assert model.passes == [(21, 3)]


def test_warming_up_finds_the_budget_that_fits() -> None:
    forward = forward_of(CountingModel(capacity_tokens=20), 64)
    assert forward.warm_up((5, 6, 7))
    assert forward.budget_tokens == 16


def test_warming_up_tells_whether_one_sequence_fits_at_all() -> None:
    assert not forward_of(CountingModel(capacity_tokens=2), 64).warm_up((5, 6, 7))


def test_one_sequence_too_large_alone_leaves_the_others_scored() -> None:
    model = CountingModel(capacity_tokens=20)
    sequences = sequences_of(5, 30, 6)
    logits = forward_of(model, 64).logits(sequences)
    assert logits.too_large == {1}
    assert logits.values[[0, 2]].tolist() == expected_of([sequences[0], sequences[2]])


def test_a_sequence_alone_gets_a_second_chance_after_memory_was_given_back() -> None:
    model = CountingModel(capacity_tokens=0)
    model.relief = 1
    assert not forward_of(model).logits(sequences_of(5)).too_large


class CardForOne:
    """Has room for the passes of one model at a time; two models meet on it in the first pass of each."""

    def __init__(self) -> None:
        self.inside: set[torch.nn.Module] = set()
        self.meeting = threading.Barrier(2, timeout=WATCHDOG_S)


class Neighbour(CountingModel):
    """One of the models on such a card."""

    def __init__(self, card: CardForOne) -> None:
        super().__init__()
        self.card = card
        self.neighbours: list[int] = []

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
        meets = not self.neighbours
        self.card.inside.add(self)
        try:
            if meets:
                self.card.meeting.wait()
            self.neighbours.append(len(self.card.inside) - 1)
            if meets:
                self.card.meeting.wait()
            if self.neighbours[-1]:
                raise self.error
            return super().forward(input_ids, attention_mask, use_cache=use_cache)
        finally:
            self.card.inside.discard(self)


def test_a_sequence_gets_its_last_try_while_the_cards_other_judge_waits() -> None:
    """Two judges in two threads: each fails beside the other, then has the card alone, and neither waits for ever."""
    card = CardForOne()
    models = [Neighbour(card), Neighbour(card)]
    sequences = sequences_of(5, 6, 7)
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(forward_of(model, 1).logits, sequences) for model in models]
        answers = [future.result(timeout=WATCHDOG_S) for future in running]
    for model, logits in zip(models, answers, strict=True):
        assert model.neighbours[0] == 1
        assert not logits.too_large
        assert logits.values.tolist() == expected_of(sequences)


@given(st.lists(st.integers(1, 40), max_size=30), st.integers(1, 200), st.integers(0, 60))
@settings(deadline=None, max_examples=50)
def test_every_sequence_is_scored_or_too_large(lengths: list[int], budget_tokens: int, capacity_tokens: int) -> None:
    sequences = sequences_of(*lengths)
    logits = forward_of(CountingModel(capacity_tokens), budget_tokens).logits(sequences)
    assert logits.too_large == {place for place, length in enumerate(lengths) if length > capacity_tokens}
    for place, row in enumerate(expected_of(sequences)):
        assert logits.values[place].tolist() == ([0.0, 0.0] if place in logits.too_large else row)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
        RuntimeError("cublasLt ran into an error!\n\tshapeA=torch.Size([4, 64])"),
        MemoryError(),
    ],
)
def test_other_ways_to_say_out_of_memory_are_understood(error: Exception) -> None:
    logits = forward_of(CountingModel(capacity_tokens=8, error=error)).logits(sequences_of(4, 4, 4))
    assert not logits.too_large


def test_what_may_be_no_lack_of_memory_is_a_fault_when_it_fails_alone_too() -> None:
    """A broken cuBLAS must not make every battle a dead letter that is too large."""
    error = RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")
    with pytest.raises(JudgeFaultError, match="RuntimeError on cpu in a forward pass: CUDA error: CUBLAS"):
        forward_of(CountingModel(capacity_tokens=0, error=error)).logits(sequences_of(4))


def test_any_other_failure_is_a_fault_for_good() -> None:
    model = CountingModel(capacity_tokens=0, error=RuntimeError("shapes do not match\nstack"))
    with pytest.raises(JudgeFaultError) as caught:
        forward_of(model).logits(sequences_of(3))
    assert str(caught.value) == "judge j: RuntimeError on cpu in a forward pass: shapes do not match"
    assert not caught.value.transient


def test_a_lost_card_is_told_as_itself_with_its_remedy_and_not_tried_again() -> None:
    error = torch.AcceleratorError(
        "CUDA error: an illegal memory access was encountered\nCompile with device-side assertions"
    )
    model = CountingModel(capacity_tokens=0, error=error)
    with pytest.raises(JudgeFaultError, match="forward pass: CUDA error: an illegal memory access was") as caught:
        forward_of(model).logits(sequences_of(3, 3, 3))
    assert not caught.value.transient
    assert "start it again" in str(caught.value)
    assert len(model.passes) == 1


def test_a_card_that_is_lost_while_memory_is_given_back_is_told_as_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """And not as out of memory, which is where it began."""
    forward = forward_of(CountingModel(capacity_tokens=0))
    monkeypatch.setattr(forward, "_release_memory", lost_card)
    with pytest.raises(JudgeFaultError, match=r"uncorrectable ECC error.*reset or replace it"):
        forward.logits(sequences_of(3, 3))


def test_a_judge_on_a_lost_card_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = forward_of(CountingModel())
    monkeypatch.setattr(forward, "_release_memory", lost_card)
    with structlog.testing.capture_logs() as logs:
        forward.close()
    assert [entry["event"] for entry in logs] == ["memory not given back"]
    with pytest.raises(JudgeFaultError, match="is closed"):
        forward.logits(sequences_of(3))


def lost_card() -> None:
    raise torch.AcceleratorError("CUDA error: uncorrectable ECC error encountered")


@pytest.mark.parametrize(
    ("names", "told"), [((), "logits are"), (("x", "y", "y", "z"), "logits of battle 'y' and of 1 more are")]
)
def test_logits_that_are_not_finite_are_told_with_whose_they_are(names: tuple[str, ...], told: str) -> None:
    class Overflowing(CountingModel):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
            output = super().forward(input_ids, attention_mask, use_cache=use_cache)
            output.logits[attention_mask.sum(dim=1) > 3] = float("inf")
            return output

    with pytest.raises(JudgeFaultError, match=rf"judge j: {told} not finite in torch\.float32 on cpu$"):
        forward_of(Overflowing()).logits(sequences_of(3, 4, 5, 6), names=names)


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_a_fault_that_may_pass(scale: float) -> None:
    model = CountingModel()
    model.scale.data.fill_(scale)
    with pytest.raises(JudgeFaultError, match="not finite") as caught:
        forward_of(model).logits(sequences_of(3))
    assert caught.value.transient


def test_threads_are_set_for_the_pass_and_restored() -> None:
    seen = []

    class Asking(CountingModel):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
            seen.append(torch.get_num_threads())
            return super().forward(input_ids, attention_mask, use_cache=use_cache)

    before = torch.get_num_threads()
    forward_of(Asking(), threads=1).logits(sequences_of(3))
    assert seen == [1]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("dtype", "expected"), [(torch.bfloat16, True), (torch.float32, False)])
def test_autocast_is_entered_where_the_dtype_is_lower(dtype: torch.dtype, expected: bool) -> None:
    seen = []

    class Asking(CountingModel):
        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
            seen.append(torch.is_autocast_enabled("cpu"))
            return super().forward(input_ids, attention_mask, use_cache=use_cache)

    forward_of(Asking(), dtype=dtype).logits(sequences_of(3))
    assert seen == [expected]


def test_the_head_stays_in_float32_under_autocast() -> None:
    head = Float32Head.of(torch.nn.Linear(16, 3, bias=False).bfloat16())
    hidden = torch.randn(2, 16).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = head(hidden)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits.detach().numpy(), (hidden.float() @ head.weight.T).detach().numpy(), rtol=1e-5)


def test_a_closed_judge_says_so() -> None:
    forward = forward_of(CountingModel())
    forward.close()
    with pytest.raises(JudgeFaultError, match="is closed"):
        forward.logits(sequences_of(3))
