"""Replicas: who reads what, that each sequence is answered once and in order, and what becomes of one that fails."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.forward import Forward
from prefstream.scoring.judges.replicas.replicas import Replicas
from tests.support.models import one_torch_thread

WATCHDOG_S = 60
"""For a deadlock to become a failure."""

STICKY = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be reported later")
OUT_OF_MEMORY = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_torch_thread():
        yield


class Summing(torch.nn.Module):
    """Logits tell the sum and the number of a sequence's tokens.

    Attributes:
        passes: rows and width of each.
        fails_from: the pass from which on all raise `error`; None for none.
        capacity_tokens: of a pass; more of them raise out of memory.
        together: waited for at the first pass, so that nobody reads everything before another one begins.
        waits_for: another one, that is to fail before the first pass of this.
    """

    def __init__(
        self, *, fails_from: int | None = None, error: Exception = STICKY, capacity_tokens: int = 10**9
    ) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))
        self.fails_from = fails_from
        self.error = error
        self.capacity_tokens = capacity_tokens
        self.passes: list[tuple[int, int]] = []
        self.thread = ""
        self.together: threading.Barrier | None = None
        self.waits_for: Summing | None = None
        self.failed = threading.Event()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
        assert not use_cache
        assert torch.is_inference_mode_enabled()
        self.thread = threading.current_thread().name
        if self.together and not self.passes:
            self.together.wait(WATCHDOG_S)
        if self.waits_for:
            assert self.waits_for.failed.wait(WATCHDOG_S)
        self.passes.append((input_ids.shape[0], input_ids.shape[1]))
        if self.fails_from is not None and len(self.passes) > self.fails_from:
            self.failed.set()
            raise self.error
        if input_ids.numel() > self.capacity_tokens:
            raise OUT_OF_MEMORY
        tokens = (input_ids * attention_mask).sum(dim=1)
        return SimpleNamespace(logits=torch.stack([tokens, attention_mask.sum(dim=1)], dim=1) * self.scale)


class Blinded(Summing):
    """Its numbers are none."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, *, use_cache: bool) -> Any:
        logits = super().forward(input_ids, attention_mask, use_cache=use_cache).logits
        return SimpleNamespace(logits=logits * float("nan"))


def forward_of(model: torch.nn.Module, budget_tokens: int = 64) -> Forward:
    return Forward(
        model,
        judge="j",
        device=torch.device("cpu"),
        dtype=torch.float32,
        pad_id=0,
        outputs=2,
        budget_tokens=budget_tokens,
        threads=1,
    )


@contextmanager
def replicas_of(*models: Summing, budget_tokens: int = 64, together: bool = False) -> Iterator[Replicas]:
    barrier = threading.Barrier(len(models)) if together else None
    for model in models:
        model.together = barrier
    replicas = Replicas([forward_of(model, budget_tokens) for model in models], judge="j")
    try:
        yield replicas
    finally:
        replicas.close()


def sequences_of(*lengths: int) -> list[tuple[int, ...]]:
    return [tuple(range(start, start + length)) for start, length in enumerate(lengths, 1)]


def expected_of(sequences: Sequence[tuple[int, ...]]) -> list[list[float]]:
    return [[float(sum(sequence)), float(len(sequence))] for sequence in sequences]


MANY = sequences_of(*[8, 7, 6, 5] * 10)


def test_all_replicas_read_the_micro_batches_that_one_would_each_in_a_thread_of_its_own() -> None:
    alone, one, other = Summing(), Summing(), Summing()
    forward_of(alone, 20).logits(MANY)
    with replicas_of(one, other, budget_tokens=20, together=True) as replicas:
        logits = replicas.logits(MANY)
    assert logits.values.tolist() == expected_of(MANY)
    assert one.passes
    assert other.passes
    assert Counter(one.passes + other.passes) == Counter(alone.passes)
    assert {one.thread.partition("_")[0], other.thread.partition("_")[0]} == {"judge-j-1", "judge-j-2"}


@settings(max_examples=40, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 12), max_size=30),
    budget_tokens=st.integers(1, 60),
    fates=st.lists(
        st.tuples(st.none() | st.integers(0, 4), st.sampled_from([STICKY, OUT_OF_MEMORY])), min_size=1, max_size=3
    ),
)
def test_whoever_fails_whenever_each_sequence_has_its_own_answer(
    lengths: list[int], budget_tokens: int, fates: list[tuple[int | None, Exception]]
) -> None:
    """But one replica, any may fail for good at any pass."""
    models = [Summing(), *(Summing(fails_from=fails_from, error=error) for fails_from, error in fates)]
    sequences = sequences_of(*lengths)
    with replicas_of(*models, budget_tokens=budget_tokens) as replicas:
        for _ in range(2):
            logits = replicas.logits([*sequences, *sequences])
            assert logits.values.tolist() == expected_of([*sequences, *sequences])
            assert not logits.too_large


def test_no_sequences_give_no_rows() -> None:
    with replicas_of(Summing(), Summing()) as replicas:
        assert replicas.logits([]).values.shape == (0, 2)


def test_what_a_lost_replica_had_taken_is_read_by_the_others_in_the_same_micro_batches() -> None:
    alone, lost, other = Summing(), Summing(fails_from=2), Summing()
    other.waits_for = lost
    forward_of(alone, 20).logits(MANY)
    with replicas_of(lost, other, budget_tokens=20, together=True) as replicas:
        assert replicas.logits(MANY).values.tolist() == expected_of(MANY)
    assert len(lost.passes) == 3
    assert Counter(other.passes) == Counter(alone.passes)


def test_a_replica_that_is_lost_is_told_once_and_not_asked_again() -> None:
    lost = Summing(fails_from=0)
    with replicas_of(lost, Summing(), together=True) as replicas, structlog.testing.capture_logs() as logs:
        told = [replicas.logits(MANY).lost for _ in range(3)]
    [[fault], *later] = told
    assert later == [(), ()]
    assert fault.replica == "cpu"
    assert "device-side assert" in fault.detail
    assert fault.detail.endswith("1 of 2 replicas are left")
    [line] = logs
    assert (line["event"], line["log_level"], line["judge"], line["left"]) == ("replica taken out", "error", "j", 1)
    assert len(lost.passes) == 1


def test_the_last_one_that_fails_is_the_judges_fault() -> None:
    with (
        replicas_of(Summing(fails_from=0), Summing(fails_from=3)) as replicas,
        pytest.raises(JudgeFaultError, match="device-side assert") as caught,
    ):
        replicas.logits(sequences_of(*[60] * 9))
    assert not caught.value.transient
    assert caught.value.replica is None


def test_memory_that_suffices_for_smaller_passes_costs_no_replica() -> None:
    tight, other = Summing(capacity_tokens=20), Summing()
    with replicas_of(tight, other, together=True) as replicas:
        logits = replicas.logits(MANY)
        assert replicas.budget_tokens < 64  # the next cut is one that all have room for
    assert logits.values.tolist() == expected_of(MANY)
    assert not logits.lost


def test_a_replica_without_room_for_what_another_reads_is_taken_out_and_its_budget_with_it() -> None:
    starved = Summing(fails_from=0, error=OUT_OF_MEMORY)
    with replicas_of(starved, Summing(), together=True) as replicas:
        logits = replicas.logits(MANY)
        assert replicas.budget_tokens == 64
    assert logits.values.tolist() == expected_of(MANY)
    assert not logits.too_large
    assert [fault.replica for fault in logits.lost] == ["cpu"]


def test_a_sequence_that_fits_nowhere_is_too_large_and_costs_no_replica() -> None:
    sequences = sequences_of(5, 30, 6, 30)
    with replicas_of(Summing(capacity_tokens=20), Summing(capacity_tokens=20), together=True) as replicas:
        logits = replicas.logits(sequences)
    assert logits.too_large == {1, 3}
    assert logits.values[[0, 2]].tolist() == expected_of([sequences[0], sequences[2]])
    assert not logits.lost


def test_numbers_that_are_none_on_one_replica_alone_cost_it_its_place() -> None:
    with replicas_of(Blinded(), Summing(), together=True) as replicas:
        logits = replicas.logits(MANY)
    assert logits.values.tolist() == expected_of(MANY)
    assert len(logits.lost) == 1


def test_numbers_that_are_none_everywhere_are_a_fault_that_may_pass_and_cost_no_replica() -> None:
    with (
        replicas_of(Blinded(), Blinded(), together=True) as replicas,
        structlog.testing.capture_logs() as logs,
        pytest.raises(JudgeFaultError, match="of battle 'b' are not finite") as caught,
    ):
        replicas.logits(sequences_of(60, 60), names=["b", "b"])
    assert caught.value.transient
    assert not logs


def test_numbers_that_are_none_are_told_of_the_device_that_gave_them() -> None:
    """Another one, which has no room for what gave them, is not to blame."""
    small, blinded = Summing(capacity_tokens=20), Blinded()
    small.together = blinded.together = threading.Barrier(2)
    forwards = [forward_of(small), forward_of(blinded)]
    forwards[1]._device = torch.device("cpu:1")
    replicas = Replicas(forwards, judge="j")
    try:
        with pytest.raises(JudgeFaultError, match=r"not finite in torch\.float32 on cpu:1"):
            replicas.logits(sequences_of(60, 60))
    finally:
        replicas.close()


def test_a_replica_without_memory_is_not_told_the_fault_of_another_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is given back on all cards at once, and all are looked at before some is pinned."""

    def broken(*_: object) -> None:
        raise STICKY

    monkeypatch.setattr(torch.cuda, "empty_cache", broken)
    monkeypatch.setattr(torch.Tensor, "pin_memory", broken)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _device: None)  # this card is well
    tight = Summing(capacity_tokens=20)
    forward = forward_of(tight)
    forward._cuda = True  # as far as a machine without cards goes
    logits = forward.logits(MANY)
    assert logits.values.tolist() == expected_of(MANY)
    forward.close()


def test_warming_up_fills_a_pass_on_every_device() -> None:
    models = [Summing(), Summing()]
    with replicas_of(*models, together=True) as replicas:
        assert replicas.warm_up((5, 6, 7))
    assert [model.passes for model in models] == [[(21, 3)], [(21, 3)]]


def test_warming_up_tells_where_one_device_is_too_small() -> None:
    with replicas_of(Summing(), Summing(capacity_tokens=2)) as replicas:
        assert not replicas.warm_up((5, 6, 7))


def test_closing_lets_go_of_all_models_and_threads() -> None:
    with replicas_of(Summing(fails_from=0), Summing(), together=True) as replicas:
        replicas.logits(MANY)
    assert all(forward.model_config is None and forward._model is None for forward in replicas.forwards)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("judge-j-")]
    with pytest.raises(JudgeFaultError, match="is closed"):
        replicas.logits(MANY)
    replicas.close()


def test_padded_tokens_are_those_of_the_common_cut() -> None:
    with replicas_of(Summing(), Summing()) as replicas:
        assert replicas.padded_tokens([8, 7, 6]) == forward_of(Summing()).padded_tokens([8, 7, 6])
