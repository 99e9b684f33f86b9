"""How many bytes of tensors are alive while something runs: counted, so that nothing has to be there to be run.

PyTorch has such a counter (`torch.distributed._tools.MemTracker`), which this one is tested against; that one can't
count a model of which some weights are trained and others are not.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from torch.utils.weak import WeakIdKeyDictionary


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's has no types
    """Counts, in a `with` block, what operators make of tensors, and what becomes free again.

    What was made before is not counted. Gradients are; so is what autograd keeps.

    Attributes:
        now: alive at the moment.
        peak: most that was alive at a time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.now: int = 0
        self.peak: int = 0
        self._seen: Any = WeakIdKeyDictionary()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """As torch calls it, for each operator."""
        made = func(*args, **(kwargs or {}))
        # What an operator writes into is no new memory.
        before = {id(given.untyped_storage()) for given in args if isinstance(given, torch.Tensor)}
        tree_map_only(torch.Tensor, lambda tensor: self._take(tensor, before), made)
        self.peak = max(self.peak, self.now)
        return made

    def _take(self, tensor: torch.Tensor, before: set[int]) -> None:
        storage = tensor.untyped_storage()
        if storage in self._seen or id(storage) in before:
            return
        self._seen[storage] = None
        size = storage.nbytes()
        self.now += size
        weakref.finalize(storage, self._free, size)

    def _free(self, size: int) -> None:
        self.now -= size
