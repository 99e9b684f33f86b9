"""8-bit products for a judge on a CPU with VNNI: those of its base's gates, half of all that a pass multiplies.

Each row of an input has a scale of its own, found as it comes, so that an answer does not depend on what is read beside
it. Columns that are large in every row would leave the others few of the 255 levels; so each is divided by a factor,
and the weights that it meets are multiplied by it (Xiao et al. 2023, "SmoothQuant", ICML). The factors are powers of
two and go into the weight of the norm before the gates: by themselves they change nothing and cost nothing.

The other products stay as they are. Rounded, too, each of them moved the demo's judges by as much again, and the
queries and keys by more.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

import torch

from prefstream.schemas import Battle
from prefstream.scoring.errors import ConfigError

GATES: Final = ("gate_proj", "up_proj")
"""The layers that are quantised, by their name in a base's feed-forward part; both take the same input."""

MODEL_TYPES: Final = frozenset({"gemma2", "gemma3_text", "llama"})
"""Architectures whose gates and the norm before them are known here."""

_SKY: Final = (
    "Sunlight holds all colours. Air scatters short waves far more than long ones, so from every side blue reaches the "
    "eye. In the evening the light's way through the air is long; the blue has been scattered out of it, and what is "
    "left is red and orange."
)
_CODE: Final = (
    "```python\ndef fibonacci(n: int) -> int:\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n"
    "    return a\n```\nIt takes `n` steps; fibonacci(10) == 55."
)

SAMPLES: Final = (
    Battle(
        id="prose",
        prompt=("Why is the sky blue, and why is it red in the evening?",),
        response_a=(_SKY,),
        response_b=(
            "**Short answer:** it reflects the sea.\n\n1. The sea is blue.\n2. The sun is yellow.\n\nThat's all!",
        ),
    ),
    Battle(
        id="code",
        prompt=("Write a Python function that returns the n-th Fibonacci number.",),
        response_a=(_CODE,),
        response_b=("I'm sorry, but as a language model I can't help with that. Is there anything else?",),
    ),
    Battle(
        id="languages",
        prompt=("¿Cuánto es 3/4 de 260? Explique cada paso, por favor.",),
        response_a=("260 ÷ 4 = 65, und 65 × 3 = 195. Die Antwort ist also **195**.",),
        response_b=("| paso | cuenta |\n|---|---|\n| 1 | 0.75 × 260 = 195.0 |\n\n答えは195です。 Ответ: 195. $x=195$",),
    ),
)
"""Texts of several kinds: from what a base makes of them it is told which columns are large."""

_LEVELS: Final = 127
"""Of either sign."""

_ZERO: Final = 128
"""What stands for 0 in the unsigned bytes that the product takes."""

_SHARE: Final = 0.6
"""Of a column's size that its factor takes from the states and gives to the weights; at .5 and .7 a layer's output
was off by more."""

MOST: Final = 10
"""Exponent of a factor, at most, of either sign."""

_BLOCK_ROWS: Final = 256
"""That are rounded at a time: they stay in the cache from one step to the next."""

_TINY: Final = 1e-20
"""In place of the scale of a row, or of an output, that is 0 throughout."""


def quantise_rows(states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round each row to 255 levels of its own, 0 among them.

    Args:
        states: shape (rows, columns), bfloat16 or float32.

    Returns:
        Bytes of the same shape, in which 128 stands for 0, and the step of each row, shape (rows, 1), in the dtype of
        the states: `(bytes - 128) * step` is off by half a step at most. A row that is not finite has a step that
        isn't.
    """
    rounded = torch.empty(states.shape, dtype=torch.uint8)
    steps = torch.empty((len(states), 1), dtype=states.dtype)
    blocks = (torch.split(tensor, _BLOCK_ROWS) for tensor in (states, rounded, steps))
    for rows, bytes_, step in zip(*blocks, strict=True):
        torch.amax(rows.abs(), dim=-1, keepdim=True, out=step)
        step.div_(_LEVELS).clamp_(min=_TINY)
        signed = (rows * step.float().reciprocal()).round_().to(torch.int8)
        torch.bitwise_xor(signed.view(torch.uint8), _ZERO, out=bytes_)  # as adding 128; to bytes at once is slow
    return rounded, steps


class Int8Linear(torch.nn.Module):
    """A linear layer whose weights are rounded once and whose input is rounded row by row."""

    def __init__(self, layer: torch.nn.Linear, factors: torch.Tensor, rows: SharedRows) -> None:
        """Round a layer's weights, each output by a step of its own.

        Args:
            layer: to take the place of.
            factors: by which its input's columns were divided.
            rows: rounds the input, for all layers that take the same.
        """
        super().__init__()
        weight = layer.weight.detach().float() * factors
        self._steps = weight.abs().amax(dim=1).clamp_(min=_TINY) / _LEVELS
        whole = (weight / self._steps[:, None]).round_().to(torch.int8)
        self._packed = torch.ops.onednn.qlinear_prepack(whole, None)
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        self._bias = None if layer.bias is None else layer.bias.detach()
        self._rows = rows

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """The layer's output, in the dtype of its input.

        Args:
            states: shape (..., columns).
        """
        rounded, steps = self._rows.of(states)
        # Weights and input, their steps and zeros; no bias; the output is not rounded, and nothing is done to it.
        weights = (self._packed, self._steps, self._zeros)
        nothing: tuple[str, list[float], str] = ("none", [], "")
        product: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            rounded, 1.0, _ZERO, *weights, None, 1.0, 0, states.dtype, *nothing
        )
        product.mul_(steps)
        if self._bias is not None:
            product.add_(self._bias)
        return product.view(*states.shape[:-1], -1)


class SharedRows:
    """Rounds what several layers take once, and not once for each."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._source: Callable[[], torch.Tensor | None] = lambda: None
        self._rounded: tuple[torch.Tensor, torch.Tensor] | None = None

    def __deepcopy__(self, _: dict[int, Any]) -> Self:
        """Nothing is copied: what was rounded belongs to who runs the layers."""
        return type(self)()

    def of(self, states: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of a tensor, rounded; those of the very same tensor as last time are still there.

        Args:
            states: shape (..., columns).
        """
        if self._rounded is None or self._source() is not states:
            self._rounded = quantise_rows(states.reshape(-1, states.shape[-1]))
            self._source = weakref.ref(states)  # gone with the tensor: another one in its place is not taken for it
        return self._rounded


def smoothing(model: Any, samples: Sequence[Sequence[int]], *, judge: str, dtype: torch.dtype) -> list[torch.Tensor]:
    """Find by what the columns are divided that a classifier's gates read: it reads samples for that.

    Args:
        model: of transformers, on the CPU, its adapter merged, in evaluation mode.
        samples: token ids of texts from which to tell which columns are large.
        judge: name, for messages.
        dtype: that the judge computes in.

    Returns:
        Exponents of 2 for each layer, shape (columns,), int8.

    Raises:
        ConfigError: its architecture is not known here.
    """
    model_type = model.config.model_type
    if model_type not in MODEL_TYPES:
        known = ", ".join(sorted(MODEL_TYPES))
        raise ConfigError(
            judge, (f"quantization: int8-dynamic is for {known}, and its base is {model_type}; use none",)
        )
    parts = [layer.mlp for layer in model.base_model.layers]
    largest = _largest(model, parts, samples, dtype)
    return [_exponents(columns, _largest_weights(part)) for part, columns in zip(parts, largest, strict=True)]


def quantise_gates(model: Any, exponents: Sequence[torch.Tensor]) -> None:
    """Give a classifier's gates products in 8 bits, in place.

    Args:
        model: as for `smoothing`.
        exponents: what that returned for it.
    """
    for layer, its in zip(model.base_model.layers, exponents, strict=True):
        factors = torch.exp2(its.float())
        # Gemma 2 and 3 have a norm behind the attention, too.
        norm = getattr(layer, "pre_feedforward_layernorm", layer.post_attention_layernorm)
        _divide(norm, factors, beyond_one=model.config.model_type != "llama")
        rows = SharedRows()
        for name in GATES:
            setattr(layer.mlp, name, Int8Linear(getattr(layer.mlp, name), factors, rows))


def _largest(
    model: Any, parts: Sequence[torch.nn.Module], samples: Sequence[Sequence[int]], dtype: torch.dtype
) -> list[torch.Tensor]:
    """What each column of each part's input reaches in the samples, of either sign."""
    found = [torch.zeros(model.config.hidden_size) for _ in parts]

    def look(columns: torch.Tensor) -> Callable[[torch.nn.Module, tuple[torch.Tensor, ...]], None]:
        def hook(_: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
            torch.maximum(columns, given[0].flatten(0, -2).float().abs().amax(dim=0), out=columns)

        return hook

    hooks = [part.register_forward_pre_hook(look(columns)) for part, columns in zip(parts, found, strict=True)]
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
            for sample in samples:
                model(input_ids=torch.tensor([sample]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _largest_weights(part: Any) -> torch.Tensor:
    """What each column of a part's gates reaches, of either sign."""
    return torch.cat([getattr(part, name).weight.detach() for name in GATES]).float().abs().amax(dim=0)


def _exponents(states: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """By what to divide each column of the states, from what it and its weights reach: about 1, as exponents of 2."""
    wanted = _SHARE * states.clamp(min=1e-4).log2() - (1 - _SHARE) * weights.clamp(min=1e-6).log2()
    return (wanted - wanted.mean()).round().clamp(-MOST, MOST).to(torch.int8)


def _divide(norm: Any, factors: torch.Tensor, *, beyond_one: bool) -> None:
    """Divide what a norm puts out; the weight of Gemma's is what its factor is beyond 1."""
    weight = norm.weight.detach()
    # Llama's is divided exactly. Gemma's in float32, in which it is used: near -1, 16 bits would round much of it away.
    divided = (1 + weight.float()) / factors - 1 if beyond_one else weight / factors.to(weight.dtype)
    norm.weight = torch.nn.Parameter(divided, requires_grad=False)
