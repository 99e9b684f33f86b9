"""Forward passes of one model on one device: sequences of token ids in, float32 logits out.

Owned by one thread at a time. Everything that torch keeps per thread (inference mode, autocast, the number of
intra-op threads, the CUDA stream) is entered on each call, so that it does not matter which thread that is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.logits import Logits, Passes, not_finite
from prefstream.scoring.judges.memory.all_cards import give_memory_back, pinned
from prefstream.scoring.judges.memory.device_errors import first_line, is_out_of_memory, remedy_of
from prefstream.scoring.judges.memory.device_share import share_of
from prefstream.scoring.judges.memory.token_budget import TokenBudget
from prefstream.scoring.judges.microbatch import (
    Cut,
    MicroBatch,
    Pending,
    Taker,
    distinct,
    pack_micro_batches,
    plan_micro_batches,
)
from prefstream.scoring.judges.packing.rows import pack, read_packed
from prefstream.scoring.judges.padding import can_be_packed, needs_mask, pad

_CUDA_WIDTH_MULTIPLE = 8
"""Tensor cores work on tiles of eight; on CPU the extra padding only costs."""

_AHEAD = 1
"""Passes that wait on a card while it computes one, where others take of the same: it is never idle between two, and
takes none that another one would begin sooner."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Logits of some of the sequences that are read together.

    Attributes:
        indices: which.
        values: shape (indices, outputs).
        too_large: others, that did not fit on the device, even alone.
    """

    indices: tuple[int, ...]
    values: NDArray[np.float32]
    too_large: frozenset[int]

    def spread(self, count: int) -> Logits:
        """All logits, as far as they are known here.

        Args:
            count: of the sequences that are read together.
        """
        values = np.zeros((count, self.values.shape[1]), dtype=np.float32)
        values[list(self.indices)] = self.values
        return Logits(values, self.too_large)


class Forward:
    """Runs a sequence classifier over micro-batches, smaller ones after the device ran out of memory."""

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        judge: str,
        device: torch.device,
        dtype: torch.dtype,
        pad_id: int,
        outputs: int,
        budget_tokens: int,
        threads: int | None = None,
        packed: bool = False,
    ) -> None:
        """Take a model that is on its device already.

        Args:
            model: called as transformers' sequence classifiers are.
            judge: name, for messages.
            device: where the model is.
            dtype: to compute in; below float32 by autocast.
            pad_id: token that fills the right of shorter sequences.
            outputs: of the head.
            budget_tokens: padded tokens of one pass, at most; a longer sequence goes alone.
            threads: intra-op threads on CPU; None leaves torch's setting.
            packed: sequences of a pass lie one behind the other, without padding; `budget_tokens` are real ones then.

        Raises:
            ValueError: sequences of this model can't be packed.
        """
        if packed and not can_be_packed(model):
            raise ValueError(f"judge {judge}: sequences of this model can't be packed; its attention would mix them")
        self._model: torch.nn.Module | None = model
        self._judge = judge
        self._device = device
        self._dtype = dtype
        self._pad_id = pad_id
        self._outputs = outputs
        self._budget = TokenBudget(budget_tokens)
        self._share = share_of(str(device))
        self._threads = threads
        self._packed = packed
        self._masked = needs_mask(model, device=device, dtype=dtype)
        self._cuda = device.type == "cuda"
        if self._cuda:
            torch.cuda.synchronize(device)  # the weights were copied and merged in the default stream
        # Judges that share a card would otherwise wait for each other in that stream.
        self._stream = torch.cuda.Stream(device) if self._cuda else None  # type: ignore[no-untyped-call]

    @property
    def budget_tokens(self) -> int:
        """Padded tokens of one pass, at most: half as many after the device ran out of memory, slowly more again."""
        return self._budget.tokens

    @property
    def model(self) -> torch.nn.Module | None:
        """What is run; None once it is closed."""
        return self._model

    @property
    def model_config(self) -> Any:
        """Settings of the model's architecture, as transformers has them."""
        return getattr(self._model, "config", None)

    @property
    def forwards(self) -> tuple[Self, ...]:
        """This one, as a judge with replicas has several."""
        return (self,)

    @property
    def device(self) -> str:
        """Where it runs, as torch names it."""
        return str(self._device)

    @property
    def threads(self) -> int | None:
        """Intra-op threads on a CPU; None on a card, and where torch's setting is left."""
        return self._threads

    @property
    def outputs(self) -> int:
        """Of the head."""
        return self._outputs

    def padded_tokens(self, lengths: Sequence[int], tokens: int | None = None) -> int:
        """Tokens that passes over sequences of these lengths read, padding included.

        Args:
            lengths: tokens of each.
            tokens: padded ones of one pass, at most; as many as the budget has, where that is not said.
        """
        return sum(planned.padded_tokens for planned in self._planned(lengths, tokens or self._budget.tokens))

    def passes(self, lengths: Sequence[int], tokens: int | None = None) -> Passes:
        """Which sequences of these lengths go through a pass together, as of now.

        Args:
            lengths: tokens of each.
            tokens: as of `padded_tokens`.
        """
        return tuple(planned.indices for planned in self._planned(lengths, tokens or self._budget.tokens))

    def limit(self, tokens: int) -> None:
        """Have another budget; to be called before anything is scored.

        Args:
            tokens: padded tokens of one pass, at most.
        """
        self._budget = TokenBudget(tokens)

    def logits(self, sequences: Sequence[Sequence[int]], *, names: Sequence[str] = ()) -> Logits:
        """Run every sequence through the model, one that occurs several times once.

        Args:
            sequences: token ids, at least one each.
            names: of what each sequence is of, for messages; none, or one for each.

        Raises:
            JudgeFaultError: the device failed (not transient), or a logit is no finite number (transient: a flaky card
                gives one once; a broken model gives it again, and then it is final).
        """
        different, positions = distinct(sequences)
        logits = self._read_all(different).at(positions)
        if not np.isfinite(logits.values).all():
            raise self.not_finite(logits.values, names)
        return logits

    def cutting(self, sequences: Sequence[Sequence[int]]) -> Cut:
        """What cuts some of these sequences into micro-batches.

        Args:
            sequences: token ids, at least one each.
        """

        def cut(indices: Sequence[int], tokens: int) -> list[MicroBatch]:
            plan = self._planned([len(sequences[i]) for i in indices], tokens)
            return [replace(planned, indices=tuple(indices[i] for i in planned.indices)) for planned in plan]

        return cut

    def read(self, sequences: Sequence[Sequence[int]], taker: Taker, *, shared: bool = False) -> Rows:
        """Read what is pending until nothing is left.

        Args:
            sequences: that were cut, token ids.
            taker: takes what to read. After an error all that it took is to be read by others: passes on a card are
                only begun, and which of them failed shows later.
            shared: others take of it, too. A card begins no more passes then than keep it busy, and one that has no
                room for a sequence alone reads no further: others know whether it is the card that is short.

        Raises:
            JudgeFaultError: the device failed.
        """
        if self._model is None:
            raise JudgeFaultError(self._judge, "is closed", transient=False)
        try:
            with self._entered():
                return self._read_entered(self._model, sequences, taker, shared=shared)
        # All that CUDA has to say comes here: a kernel's failure is told by whatever call on the card is next.
        except Exception as error:
            raise self._fault(error) from error

    def warm_up(self, sequence: Sequence[int]) -> bool:
        """One pass with all the tokens that a pass may have, fewer where they do not fit.

        What a device makes at first use it has then: its libraries' handles for this thread and their workspaces, and
        memory for the largest pass.

        Args:
            sequence: to fill the pass with.

        Returns:
            Whether it fits, at least alone.

        Raises:
            JudgeFaultError: the device failed.
        """
        return not self._read_all([sequence] * max(1, self._budget.tokens // len(sequence))).too_large

    def close(self) -> None:
        """Let go of the model and give the device's memory back."""
        self._model = None
        try:
            self._release_memory()
        except RuntimeError as error:  # a lost card takes no calls; the end of the process frees its memory
            structlog.get_logger().warning(
                "memory not given back", judge=self._judge, device=str(self._device), detail=first_line(error)
            )

    def not_finite(self, values: NDArray[np.float32], names: Sequence[str]) -> JudgeFaultError:
        """What to say of logits that are no finite numbers.

        Args:
            values: shape (sequences, outputs).
            names: as for `logits`.
        """
        remedy = "; float16 overflows on Gemma: use bfloat16" if self._dtype == torch.float16 else ""
        detail = f"{not_finite(values, names)} in {self._dtype} on {self._device}{remedy}"
        return JudgeFaultError(self._judge, detail, transient=True)

    def _read_all(self, sequences: Sequence[Sequence[int]]) -> Logits:
        pending = Pending.all_of(sequences, self.cutting(sequences), tokens=self._budget.tokens)
        return self.read(sequences, Taker(pending)).spread(len(sequences))

    def _read_entered(
        self, model: torch.nn.Module, sequences: Sequence[Sequence[int]], taker: Taker, *, shared: bool
    ) -> Rows:
        done: list[tuple[tuple[int, ...], torch.Tensor]] = []
        too_large: set[int] = set()
        begun: deque[torch.cuda.Event] = deque()
        while not (shared and too_large) and (micro_batch := taker.take()) is not None:
            rows = self._pass(model, micro_batch, sequences)
            if rows is None and len(micro_batch.indices) == 1:
                rows = self._last_try(model, micro_batch, sequences)
            if rows is not None:
                done.append((micro_batch.indices, rows))
            elif len(micro_batch.indices) == 1:
                too_large.update(micro_batch.indices)
            else:
                self._halve_budget()
                taker.split(self._budget.tokens)
            if shared and self._stream is not None:
                begun.append(self._stream.record_event(torch.cuda.Event(blocking=True)))  # type: ignore[no-untyped-call]
                if len(begun) > _AHEAD:
                    begun.popleft().synchronize()
        return self._collect(done, too_large)

    def _planned(self, lengths: Sequence[int], tokens: int) -> list[MicroBatch]:
        if self._packed:
            return pack_micro_batches(lengths, tokens=tokens)
        return plan_micro_batches(lengths, padded_tokens=tokens)

    def _halve_budget(self) -> None:
        self._budget.halve()
        structlog.get_logger().warning(
            "out of memory, budget halved",
            judge=self._judge,
            device=str(self._device),
            budget_tokens=self._budget.tokens,
        )

    def _pass(
        self, model: torch.nn.Module, micro_batch: MicroBatch, sequences: Sequence[Sequence[int]]
    ) -> torch.Tensor | None:
        """One forward pass: float32 logits on the device, or None where memory ran out."""
        try:
            with self._share.side_by_side():
                rows = self._compute(model, micro_batch, sequences)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            self._budget.went_well(micro_batch.padded_tokens)
            return rows
        # Not in the handler: until it is left, the exception keeps the pass's tensors alive.
        self._release_memory()
        return None

    def _last_try(
        self, model: torch.nn.Module, micro_batch: MicroBatch, sequences: Sequence[Sequence[int]]
    ) -> torch.Tensor | None:
        """A sequence alone on a device that nothing else computes on, all that was held for later given back."""
        with self._share.alone():
            if self._cuda:
                torch.cuda.synchronize(self._device)  # the others' passes were begun, and hold memory until they end
            self._release_memory()
            try:
                return self._compute(model, micro_batch, sequences)
            except Exception as error:
                # Where it may be another fault after all, the battle is not to blame.
                if not is_out_of_memory(error, beyond_doubt=True):
                    raise
        self._release_memory()
        return None

    def _compute(
        self, model: torch.nn.Module, micro_batch: MicroBatch, sequences: Sequence[Sequence[int]]
    ) -> torch.Tensor:
        rows = [sequences[index] for index in micro_batch.indices]
        if self._packed:
            return read_packed(model, self._to_device(pack(rows))).float()
        ids, mask = pad(rows, self._pad_id, multiple=_CUDA_WIDTH_MULTIPLE if self._cuda else 1)
        inputs = {"input_ids": ids, "attention_mask": mask} if self._masked else {"input_ids": ids}
        logits: torch.Tensor = model(**self._to_device(inputs), use_cache=False).logits
        return logits.float()

    def _to_device(self, inputs: Mapping[str, torch.Tensor | int]) -> dict[str, Any]:
        if not self._cuda:
            return dict(inputs)
        return {
            name: pinned(given).to(self._device, non_blocking=True) if isinstance(given, torch.Tensor) else given
            for name, given in inputs.items()
        }

    def _collect(self, done: Sequence[tuple[tuple[int, ...], torch.Tensor]], too_large: set[int]) -> Rows:
        """Bring every pass's logits over in one copy: each copy waits for the device."""
        values = np.zeros((0, self._outputs), dtype=np.float32)
        if done:
            values = torch.cat([rows for _, rows in done]).cpu().numpy()
        return Rows(tuple(index for indices, _ in done for index in indices), values, frozenset(too_large))

    def _fault(self, error: Exception) -> JudgeFaultError:
        # Messages from below speak of shapes, dtypes and devices; only numbers come from the battle.
        remedy = remedy_of(error)
        detail = f"{type(error).__name__} on {self._device} in a forward pass: {first_line(error)}"
        return JudgeFaultError(self._judge, f"{detail}; {remedy}" if remedy else detail, transient=False)

    def _release_memory(self) -> None:
        if self._cuda:
            give_memory_back(self._device)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self._dtype != torch.float32:
                stack.enter_context(torch.autocast(self._device.type, dtype=self._dtype))
            if self._stream is not None:
                stack.enter_context(torch.cuda.stream(self._stream))
            if self._threads is not None:
                stack.callback(torch.set_num_threads, torch.get_num_threads())
                torch.set_num_threads(self._threads)
            yield
