"""What a judge's forward pass multiplies and moves, counted operator by operator on tensors without contents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from typing import Any, Final, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from prefstream.scoring.loading.layers import first_layers
from prefstream.scoring.loading.memory.serving import classifier_without_contents, linear_layers, most_alive

_ATTENTION: Final = frozenset({"bmm", "baddbmm"})
"""Products of two activations; those of a layer's weights are `mm` and `addmm`."""

FUSED: Final = "sdpa"
"""An attention that keeps no scores."""

_FUSED_OPERATOR: Final = "scaled_dot_product"
"""Part of the names of attention in one operator; a causal one computes half of all pairs."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is done, on whatever device.

    Attributes:
        linear_flops: additions and multiplications in linear layers.
        attention_flops: the same between tokens.
        product_bytes: that products read and write.
        other_bytes: that everything else reads and writes.
    """

    linear_flops: float = 0.0
    attention_flops: float = 0.0
    product_bytes: float = 0.0
    other_bytes: float = 0.0

    def __add__(self, other: Self) -> Self:
        """Both, one after the other."""
        return type(self)(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, times: float) -> Self:
        """So many times."""
        return type(self)(*(one * times for one in astuple(self)))


def work_of(config: Any, attention: str, width: int, *, lora_rank: int = 0) -> Work:
    """What a model does for one sequence, without reading the weights of its linear layers.

    Args:
        config: transformers' own, of the base.
        attention: implementation, as transformers knows it; `FUSED` for any that keeps no scores.
        width: tokens.
        lora_rank: of an adapter beside every linear layer; 0 for none.
    """
    key = (config.to_json_string(use_diff=False), attention, width, lora_rank)
    if key not in _known:
        one, two = (_counted(first_layers(config, layers), attention, width, lora_rank) for layers in (1, 2))
        more: int = config.num_hidden_layers - 1
        _known[key] = one + (two + one * -1) * more
    return _known[key]


_known: Final[dict[tuple[str, str, int, int], Work]] = {}
"""A second of work for each; panels have few bases, and read each in few ways."""


def _counted(config: Any, attention: str, width: int, lora_rank: int) -> Work:
    if attention == FUSED:
        # Torch's fused kernel stands for any; it knows no cap of scores, so Gemma 2 is not built with it.
        config.attn_logit_softcapping = None
        model = classifier_without_contents(config, "eager", torch.bfloat16).eval()
        model.config._attn_implementation = attention  # noqa: SLF001 - there is no other way past that
    else:
        model = classifier_without_contents(config, attention, torch.bfloat16).eval()
    if lora_rank:
        import peft

        from prefstream.scoring.loading.base_model import quiet_libraries

        lora = peft.LoraConfig(task_type=peft.TaskType.SEQ_CLS, r=lora_rank, target_modules="all-linear")
        with quiet_libraries():
            model = peft.get_peft_model(model, lora).eval()
    counter = _Counter()
    weights = sum(layer.weight.numel() for layer in linear_layers(config))

    def read() -> None:
        # Not in inference mode, where linear layers would not be taken apart into products.
        with torch.no_grad(), counter:
            model(input_ids=torch.ones(1, width, dtype=torch.long), use_cache=False)

    most_alive(model, read, torch.bfloat16)
    counted: Work = counter.work
    return counted + Work(product_bytes=-2.0 * weights)


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's has no types
    """Adds up the work of every operator."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.work = Work()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        self.work += _operator(func, args, kwargs or {}, made)
        return made


def _operator(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], made: Any) -> Work:
    name = func.overloadpacket.__name__
    if _FUSED_OPERATOR in name:
        query, key = args[0], args[1]
        pairs = query.shape[-2] * key.shape[-2] / 2
        moved = float(sum(map(_bytes, _tensors((args, kwargs, made)))))
        return Work(attention_flops=4.0 * query.numel() // query.shape[-2] * pairs, product_bytes=moved)
    if count := flop_registry.get(func.overloadpacket):
        flops, moved = (
            float(count(*args, **kwargs, out_val=made)),
            float(sum(map(_bytes, _tensors((args, kwargs, made))))),
        )
        if name in _ATTENTION:
            return Work(attention_flops=flops, product_bytes=moved)
        return Work(linear_flops=flops, product_bytes=moved)
    given = {id(tensor.untyped_storage()): tensor for tensor in _tensors((args, kwargs))}
    written = list(_tensors(made))
    if not func._schema.is_mutable and all(id(tensor.untyped_storage()) in given for tensor in written):  # noqa: SLF001 - nowhere else
        return Work()  # a view
    if name.startswith(("empty", "new_empty")):
        return Work()
    read = sum(min(_bytes(tensor), tensor.untyped_storage().nbytes()) for tensor in given.values())
    if name in {"embedding", "index_select", "index"}:  # of a table what is taken
        read = sum(map(_bytes, written))
    return Work(other_bytes=float(read + sum(map(_bytes, written))))


def _tensors(values: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, torch.Tensor))


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.itemsize
