"""Forward passes of one model on one device: sequences of token ids in, float32 logits out.

Owned by one thread at a time. Everything that torch keeps per thread (inference mode, autocast, the number of
intra-op threads, the CUDA stream) is entered on each call, so that it does not matter which thread that is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Self

import numpy as np
import structlog
import torch
from numpy.typing import NDArray

from prefstream.scoring.errors import JudgeFaultError
from prefstream.scoring.judges.microbatch import MicroBatch, distinct, plan_micro_batches
from prefstream.scoring.judges.padding import needs_mask, pad

_CUDA_WIDTH_MULTIPLE = 8
"""Tensor cores work on tiles of eight; on CPU the extra padding only costs."""

_REASON_CHARS = 200
"""Of a message of torch: the first line says what, the rest is stack."""

_OUT_OF_MEMORY = ("out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "can't allocate memory")
"""How libraries below torch say it, and torch itself on CPU, without a class of its own."""


@dataclass(frozen=True, slots=True)
class Logits:
    """What the head put out.

    Attributes:
        values: shape (sequences, outputs); rows of sequences that did not fit are zero.
        too_large: positions of sequences that did not fit on the device, even alone.
    """

    values: NDArray[np.float32]
    too_large: frozenset[int]


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
        """
        self._model: torch.nn.Module | None = model
        self._judge = judge
        self._device = device
        self._dtype = dtype
        self._pad_id = pad_id
        self._outputs = outputs
        self._budget_tokens = budget_tokens
        self._threads = threads
        self._masked = needs_mask(model)
        self._cuda = device.type == "cuda"
        if self._cuda:
            torch.cuda.synchronize(device)  # the weights were copied and merged in the default stream
        # Judges that share a card would otherwise wait for each other in that stream.
        self._stream = torch.cuda.Stream(device) if self._cuda else None  # type: ignore[no-untyped-call]

    @property
    def budget_tokens(self) -> int:
        """Padded tokens of one pass, at most; shrinks when the device runs out of memory, and stays small."""
        return self._budget_tokens

    def logits(self, sequences: Sequence[Sequence[int]]) -> Logits:
        """Run every sequence through the model, one that occurs several times once.

        Args:
            sequences: token ids, at least one each.

        Raises:
            JudgeFaultError: the device failed (not transient), or a logit is no finite number (transient: a flaky card
                gives one once; a broken model gives it again, and then it is final).
        """
        sequences, positions = distinct(sequences)
        values = np.zeros((len(sequences), self._outputs), dtype=np.float32)
        too_large: set[int] = set()
        done: list[tuple[tuple[int, ...], torch.Tensor]] = []
        pending = deque(self._plan(sequences, range(len(sequences))))
        with self._entered():
            while pending:
                micro_batch = pending.popleft()
                rows = self._pass(micro_batch, sequences)
                if rows is None and len(micro_batch.indices) == 1:
                    # The first failure gave back what the allocator held; alone on a clean device is its last chance.
                    rows = self._pass(micro_batch, sequences)
                if rows is not None:
                    done.append((micro_batch.indices, rows))
                elif len(micro_batch.indices) == 1:
                    too_large.update(micro_batch.indices)
                else:
                    self._shrink(micro_batch)
                    left = [index for planned in (micro_batch, *pending) for index in planned.indices]
                    pending = deque(self._plan(sequences, left))
            self._collect(done, values)
        if not np.isfinite(values).all():
            raise JudgeFaultError(
                self._judge,
                f"logits are not finite in {self._dtype} on {self._device}; float16 overflows on Gemma: use bfloat16",
                transient=True,
            )
        return Logits(
            values[positions], frozenset(index for index, position in enumerate(positions) if position in too_large)
        )

    def close(self) -> None:
        """Let go of the model and give the device's memory back."""
        self._model = None
        self._release_memory()

    def _plan(self, sequences: Sequence[Sequence[int]], indices: Iterable[int]) -> list[MicroBatch]:
        chosen = list(indices)
        plan = plan_micro_batches([len(sequences[i]) for i in chosen], padded_tokens=self._budget_tokens)
        return [MicroBatch(tuple(chosen[i] for i in planned.indices), planned.width) for planned in plan]

    def _shrink(self, failed: MicroBatch) -> None:
        self._budget_tokens = max(1, failed.padded_tokens // 2)
        structlog.get_logger().warning(
            "out of memory, micro-batch halved",
            judge=self._judge,
            device=str(self._device),
            budget_tokens=self._budget_tokens,
        )

    def _pass(self, micro_batch: MicroBatch, sequences: Sequence[Sequence[int]]) -> torch.Tensor | None:
        """One forward pass: float32 logits on the device, or None where memory ran out."""
        if self._model is None:
            raise JudgeFaultError(self._judge, "is closed", transient=False)
        try:
            inputs = self._to_device([sequences[index] for index in micro_batch.indices])
            output = self._model(**inputs, use_cache=False)
            return output.logits.float()  # type: ignore[no-any-return]
        except Exception as error:
            if not _is_out_of_memory(error):
                raise self._fault(error) from error
        # Not in the handler: until it is left, the exception keeps the pass's tensors alive.
        self._release_memory()
        return None

    def _to_device(self, rows: Sequence[Sequence[int]]) -> dict[str, torch.Tensor]:
        ids, mask = pad(rows, self._pad_id, multiple=_CUDA_WIDTH_MULTIPLE if self._cuda else 1)
        inputs = {"input_ids": ids, "attention_mask": mask} if self._masked else {"input_ids": ids}
        if not self._cuda:
            return inputs
        return {name: given.pin_memory().to(self._device, non_blocking=True) for name, given in inputs.items()}

    def _collect(self, done: Sequence[tuple[tuple[int, ...], torch.Tensor]], values: NDArray[np.float32]) -> None:
        """Bring every pass's logits over in one copy: each copy waits for the device."""
        if not done:
            return
        try:
            rows = torch.cat([rows for _, rows in done]).cpu().numpy()
        except RuntimeError as error:  # CUDA reports a failed kernel at the next point of waiting
            raise self._fault(error) from error
        values[[index for indices, _ in done for index in indices]] = rows

    def _fault(self, error: Exception) -> JudgeFaultError:
        # Messages from below speak of shapes, dtypes and devices; only numbers come from the battle.
        reason = str(error).partition("\n")[0][:_REASON_CHARS]
        detail = f"{type(error).__name__} on {self._device} in a forward pass: {reason}"
        return JudgeFaultError(self._judge, detail, transient=False)

    def _release_memory(self) -> None:
        if self._cuda:
            torch.cuda.empty_cache()

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


class Float32Head(torch.nn.Linear):
    """A classification head outside autocast: bfloat16 would round logits in steps of up to 1/64."""

    @classmethod
    def of(cls, head: torch.nn.Linear) -> Self:
        """The head `head`, its weights in float32."""
        same = cls(head.in_features, head.out_features, bias=head.bias is not None, device="meta")
        same.weight = torch.nn.Parameter(head.weight.detach().float())
        if head.bias is not None:
            same.bias = torch.nn.Parameter(head.bias.detach().float())
        return same

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states, shape (..., outputs), float32."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            return super().forward(hidden_states.float())


def _is_out_of_memory(error: Exception) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return any(sign in str(error) for sign in _OUT_OF_MEMORY)
