"""Adapters of one base averaged in their weights: seeds or folds of one recipe as a single judge.

What a LoRA adapter adds to a layer is the product of its B and A. The mean of products is no product of means, so the
products are averaged, and the mean is factored again by a singular value decomposition cut off at the rank that is
wanted: the nearest matrix of that rank (Eckart and Young 1936). The mean has no more than the sum of all ranks, so the
decomposition works on matrices of that size (by QR of the stacked factors), never on a layer's own.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from prefstream.scoring.adapters.receipt import CARD, RECEIPT, read_receipt
from prefstream.scoring.atomic_file import write_atomically, write_json
from prefstream.scoring.errors import FileError, LoadError
from prefstream.scoring.file_names import printable
from prefstream.scoring.loading.adapter import CONFIG, read_lora
from prefstream.scoring.loading.adapter_record import WEIGHTS, AdapterRecord, hash_adapter
from prefstream.scoring.loading.weights import read_settings, read_shapes

_A: Final = ".lora_A.weight"
_B: Final = ".lora_B.weight"
_LORA: Final = re.compile(r"\.lora_")

_LINEAR: Final = frozenset({"tau", "base", "base_revision"})
"""Of a record: what need not agree. The offset of the tie's logit is averaged as the head is; names are moved."""

_FREE: Final = frozenset({"r", "lora_alpha", "lora_dropout", "init_lora_weights", "use_rslora"})
"""Of LoRA's settings: what is in the products, or mattered in training alone."""

_REFUSED: Final = ("use_dora", "lora_bias", "rank_pattern", "alpha_pattern")
"""Of LoRA's settings: what adds more to a layer than one scaled product."""


@dataclass(frozen=True, slots=True)
class Average:
    """What became of several adapters.

    Attributes:
        rank: of the average.
        kept: how much of the Frobenius norm of all averaged products the rank keeps, 0 to 1.
        least_kept: the same of the layer that loses most.
        tau: offset of the tie's logit, the mean of theirs.
    """

    rank: int
    kept: float
    least_kept: float
    tau: float


@dataclass(frozen=True, slots=True)
class _Adapter:
    """An adapter's files; `scale` multiplies its products."""

    folder: Path
    record: AdapterRecord
    lora: Mapping[str, Any]
    weights: Mapping[str, torch.Tensor]

    @property
    def scale(self) -> float:
        rank = self.lora["r"]
        return float(self.lora["lora_alpha"] / (math.sqrt(rank) if self.lora.get("use_rslora") else rank))


def average_adapters(folders: Sequence[Path], output: Path, *, rank: int | None = None, force: bool = False) -> Average:
    """Average adapters and write the folder of a new one.

    Args:
        folders: of at least two adapters that read alike: same base, layout, kind, length, layers.
        output: for the average; it is stored as the first of them is.
        rank: of the average, at most the sum of theirs; by default the largest of theirs.
        force: replace an adapter that the output holds.

    Raises:
        LoadError: a folder holds no adapter, or one that does not go with the first.
        FileError: there are too few folders, or the output can't be written, or would be overwritten.
    """
    if len(folders) < 2:
        raise FileError("an average needs at least two adapters")
    if (output / CONFIG).exists() and not force:
        raise FileError(f"{output} holds an adapter already; name another folder, or replace it with --force")
    first, *others = adapters = [_open(folder) for folder in folders]
    for other in others:
        _check_alike(first, other)
    ranks = [adapter.lora["r"] for adapter in adapters]
    rank = min(rank or max(ranks), sum(ranks))
    weights: dict[str, torch.Tensor] = {}
    sizes: list[tuple[float, float]] = []
    for name in sorted(first.weights):
        if name.endswith(_A):
            layer = name.removesuffix(_A)
            weights[name], weights[layer + _B], size = _factored(adapters, layer, rank, first.scale)
            sizes.append(size)
        elif not name.endswith(_B):
            weights[name] = torch.stack([adapter.weights[name].double() for adapter in adapters]).mean(dim=0)
    whole, kept = (sum(column) for column in zip(*sizes, strict=True)) if sizes else (0.0, 0.0)
    average = Average(
        rank=rank,
        kept=_share(kept, whole),
        least_kept=min((_share(part, all_of_it) for all_of_it, part in sizes), default=1.0),
        tau=sum(adapter.record.tau for adapter in adapters) / len(adapters),
    )
    _write(output, adapters, weights, average)
    return average


def _open(folder: Path) -> _Adapter:
    from safetensors.torch import load_file

    record, lora = AdapterRecord.read(folder), read_lora(folder)
    if not (folder / WEIGHTS).is_file():
        raise LoadError(f"{folder}: has no {WEIGHTS}")
    read_shapes(folder / WEIGHTS)  # which refuses a file that is cut off
    more = [name for name in _REFUSED if lora.get(name)] + (["bias"] if lora.get("bias", "none") != "none" else [])
    if more:
        raise LoadError(f"{folder / CONFIG}: sets {', '.join(more)}; only plain LoRA can be averaged")
    weights = load_file(folder / WEIGHTS)
    # LoRA of an embedding has factors, too, of other names: their means would be no mean of what they add.
    if others := sorted(name for name in weights if _LORA.search(name) and not name.endswith((_A, _B))):
        raise LoadError(f"{folder / WEIGHTS}: holds {others[0]}; only LoRA of linear layers can be averaged")
    return _Adapter(folder, record, lora, weights)


def _check_alike(first: _Adapter, other: _Adapter) -> None:
    """Refuse an adapter whose weights mean something else than the first's."""
    ours, theirs = _meaning(first), _meaning(other)
    different = [
        f"{key} is {_short(theirs.get(key))}, not {_short(ours.get(key))}"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]
    if different:
        raise LoadError(f"{other.folder}: does not go with {first.folder}: {'; '.join(different)}")


def _meaning(adapter: _Adapter) -> dict[str, object]:
    """What must agree, by name: how the judge reads, and what the weights are added to."""
    lora = {key: sorted(v) if isinstance(v, list) else v for key, v in adapter.lora.items() if key not in _FREE}
    record = adapter.record.model_dump(mode="json", exclude=set(_LINEAR))
    head = {name: tuple(tensor.shape) for name, tensor in adapter.weights.items() if not name.endswith((_A, _B))}
    layers = sorted(name for name in adapter.weights if name.endswith((_A, _B)))
    return {**lora, **record, "head": head, "layers": layers}


def _short(value: object) -> str:
    """Hashes and lists are long, and their beginning tells most of them apart."""
    return str(value)[:24]


def _factored(
    adapters: Sequence[_Adapter], layer: str, rank: int, scale: float
) -> tuple[torch.Tensor, torch.Tensor, tuple[float, float]]:
    """A and B of the averaged product, and its squared norm, whole and as far as the rank keeps it."""
    a = torch.cat([adapter.weights[layer + _A].double() for adapter in adapters])
    b = torch.cat(
        [adapter.weights[layer + _B].double() * (adapter.scale / len(adapters)) for adapter in adapters], dim=1
    )
    left, upper = torch.linalg.qr(b)
    right, lower = torch.linalg.qr(a.T)
    u, values, v = torch.linalg.svd(upper @ lower.T)
    kept = values[:rank]
    root = (kept / scale).sqrt()
    new_a = torch.zeros(rank, a.shape[1], dtype=torch.float64)  # a layer narrower than the rank has fewer values
    new_b = torch.zeros(b.shape[0], rank, dtype=torch.float64)
    new_a[: len(kept)] = root[:, None] * (v[: len(kept)] @ right.T)
    new_b[:, : len(kept)] = (left @ u[:, : len(kept)]) * root
    return new_a, new_b, (float((values**2).sum()), float((kept**2).sum()))


def _share(kept: float, whole: float) -> float:
    return math.sqrt(kept / whole) if whole > 0 else 1.0


def _write(output: Path, adapters: Sequence[_Adapter], weights: Mapping[str, torch.Tensor], average: Average) -> None:
    from safetensors.torch import save

    first = adapters[0]
    # Before anything is written: the output may be one of them.
    parts = [
        {
            "name": printable(adapter.folder.resolve().name),
            "adapter_hash": hash_adapter(adapter.folder),
            "receipt": read_receipt(adapter.folder),
        }
        for adapter in adapters
    ]
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"can't write to {output}: {error.strerror}") from None
    stored = {name: tensor.to(first.weights[name].dtype).contiguous() for name, tensor in weights.items()}
    settings = read_settings(first.folder / CONFIG)
    settings |= {"r": average.rank, "lora_alpha": average.rank * first.scale, "use_rslora": False}
    write_atomically(output / WEIGHTS, save(stored, metadata={"format": "pt"}))
    write_atomically(output / CONFIG, json.dumps(settings, indent=2, sort_keys=True).encode() + b"\n")
    first.record.model_copy(update={"tau": average.tau}).write(output)
    fields = {"average_of": parts, "rank": average.rank, "kept": average.kept, "least_kept": average.least_kept}
    write_json(output / RECEIPT, fields)
    write_atomically(output / CARD, _card(first.record, parts, average).encode())


def _card(record: AdapterRecord, parts: Sequence[Mapping[str, Any]], average: Average) -> str:
    lines = [
        "# Average of " + " and ".join(str(part["name"]) for part in parts),
        "",
        f"A LoRA adapter for prefstream: a {record.kind} judge on {record.base or 'the base of its parts'}.",
        "It predicts which of two chat answers people prefer. Licence: that of its parts.",
        "",
        f"* Layout: {record.template}, at most {record.max_length} tokens a sequence",
        f"* LoRA: rank {average.rank}, which keeps {average.kept:.1%} of what the parts add to the base",
        "",
        f"`{RECEIPT}` holds the receipts of its parts.",
        "",
    ]
    return "\n".join(lines)
