"""Profiles a panel's judges in a process of its own: `python -m MODULE profile REQUEST ANSWER`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from prefstream.scoring import runtime
from prefstream.scoring.bench.process import Stopwatch
from prefstream.scoring.bench.request import WARM_UP_BATTLES, Request

if TYPE_CHECKING:
    import torch

    from prefstream.scoring.judges.devices import Placement
    from prefstream.scoring.judges.judge import JudgeBatch

PRODUCTS: Final = "products"
ATTENTION: Final = "attention"
COPIES: Final = "copies"
REST: Final = "norms, rope, gates"
PYTHON: Final = "Python"

_KINDS: Final = {
    **dict.fromkeys(("mm", "addmm", "linear", "mkldnn_linear", "_int_mm"), PRODUCTS),
    **dict.fromkeys(
        (
            *("_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_flash_attention", "bmm", "baddbmm"),
            *("_scaled_dot_product_efficient_attention", "_scaled_dot_product_cudnn_attention", "_softmax"),
            *("_scaled_dot_product_attention_math", "_flash_attention_forward", "_efficient_attention_forward"),
            "scaled_dot_product_attention",
        ),
        ATTENTION,
    ),
    **dict.fromkeys(
        (
            *("copy_", "_to_copy", "to", "clone", "contiguous", "cat", "stack", "index", "index_select", "embedding"),
            *("empty", "empty_like", "empty_strided", "new_empty", "fill_", "zeros", "ones", "resize_", "gather"),
        ),
        COPIES,
    ),
}
"""What an operator of ATen is, by its name; every other one computes something for each number, and is of the rest."""

_PEAK_SIZE: Final = 2048
"""Rows and columns of the product that measures the peak: far beyond the caches, done in milliseconds."""

_LEAST_S: Final = 0.3
"""For which a product is repeated: its time is then known to a few percent."""

_COLD_BYTES: Final = 128 * 1024**2
"""Of weights that a product goes through in turn: as in a model, the next ones are not in the cache."""


@dataclass(frozen=True, slots=True, order=True)
class Product:
    """A matrix product: (rows, inner) times (inner, columns)."""

    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        """Additions and multiplications."""
        return 2 * self.rows * self.inner * self.columns


def run_profile(request: Request) -> dict[str, Any]:
    """Profile every judge of the panel."""
    from prefstream.scoring.judges.devices import place_judges
    from prefstream.scoring.panel.load import load_panel

    placements = place_judges(request.judges)
    found = {}
    with load_panel(request.config) as panel:
        panel.score(request.battles[:WARM_UP_BATTLES])
        with Stopwatch() as together:
            for battles in request.batches:
                panel.score_encoded(panel.encode(battles))
        for judge in panel.judges:
            found[judge.name] = _profile(judge, placements[judge.name], request.batches, together.seconds)
    return {"battles": len(request.battles), "seconds": together.seconds, "judges": found}


def _profile(judge: Any, placement: Placement, batches: Sequence[Any], together_s: float) -> dict[str, Any]:
    import torch

    with Stopwatch() as encoding:
        parts = [judge.encode(battles) for battles in batches]
    with Stopwatch() as scoring:
        for part in parts:
            judge.score(part)
    shares, products, products_share = profiled(judge, parts)
    dtype, threads = placement.dtype, placement.threads or torch.get_num_threads()
    flops = sum(product.flops * count for product, count in products.items())
    used = judge.provenance
    return {
        "settings": f"{used.dtype}, {used.attention}, {used.device}, {threads} threads",
        "seconds": encoding.seconds + scoring.seconds,
        "encoding_s": encoding.seconds,
        "shares": shares,
        "busy_share": scoring.seconds / together_s,
        "tokens": sum(encoded.tokens for part in parts for encoded in part.encodings),
        "padded_tokens": sum(part.padded_tokens for part in parts),
        "product_flops": flops,
        "products_s": products_share * scoring.seconds,
        "shapes_s": sum(count * product_seconds(product, dtype, threads) for product, count in products.items()),
        "peak_flops_per_s": _peak(dtype, threads),
    }


def profiled(judge: Any, parts: Sequence[JudgeBatch]) -> tuple[dict[str, float], Counter[Product], float]:
    """Score under PyTorch's profiler.

    Args:
        judge: a `ModelJudge`.
        parts: what it encoded.

    Returns:
        Shares of the time by what was done, which sum to 1; how often each product occurred; and the products' share.
    """
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler, Stopwatch() as clock:
        for part in parts:
            judge.score(part)
    seconds = dict.fromkeys((PRODUCTS, ATTENTION, REST, COPIES), 0.0)
    products: Counter[Product] = Counter()
    for event in profiler.key_averages(group_by_input_shape=True):
        if not event.key.startswith("aten::"):
            continue
        kind = _KINDS.get(event.key.removeprefix("aten::"), REST)
        seconds[kind] += event.self_cpu_time_total / 1e6
        if product := _product(event.key, event.input_shapes):
            products[product] += event.count
    seconds[PYTHON] = max(0.0, clock.seconds - sum(seconds.values()))
    total = sum(seconds.values())
    shares = {kind: spent / total for kind, spent in seconds.items()}
    return shares, products, shares[PRODUCTS]


def product_seconds(product: Product, dtype: torch.dtype, threads: int) -> float:
    """What a product takes alone, its weights not in the cache.

    Args:
        product: its shape.
        dtype: of all numbers.
        threads: that share the work.
    """
    import torch
    from torch.nn.functional import linear

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        given = torch.randn(product.rows, product.inner).to(dtype)
        size = product.inner * product.columns * dtype.itemsize
        weights = [
            torch.randn(product.columns, product.inner).to(dtype) for _ in range(max(1, min(32, _COLD_BYTES // size)))
        ]
        with torch.inference_mode():
            linear(given, weights[0])
            done, begun = 0, time.perf_counter()
            while (spent := time.perf_counter() - begun) < _LEAST_S:
                linear(given, weights[done % len(weights)])
                done += 1
    finally:
        torch.set_num_threads(before)
    return spent / done


def _peak(dtype: torch.dtype, threads: int) -> float:
    square = Product(_PEAK_SIZE, _PEAK_SIZE, _PEAK_SIZE)
    return max(square.flops / product_seconds(square, dtype, threads) for _ in range(3))


def _product(name: str, shapes: Sequence[Sequence[int]]) -> Product | None:
    """The shape of what a call multiplied; None for what is no product of a layer."""
    place = {"aten::mm": 0, "aten::addmm": 1}.get(name)
    if place is None:
        return None
    (rows, inner), (_, columns) = shapes[place], shapes[place + 1]
    return Product(rows, inner, columns)


def main() -> None:
    """Do the task that the arguments name."""
    _, request, answer = sys.argv[1:]
    runtime.ensure_fast_process()
    Path(answer).write_text(json.dumps(run_profile(Request.read(Path(request)))), encoding="utf-8")


if __name__ == "__main__":
    main()
