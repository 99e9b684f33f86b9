"""A judge beside one of the same base that is loaded already: the weights are shared, and its adapter alone is loaded.

For a panel that is taken over while another one answers: the base is in memory once, and the change takes as long as an
adapter's file. The judge that answers is not touched. The other one's model has modules of its own; what both have is
the tensors of the base, which nobody writes to.

An adapter that was merged has changed the base's weights: such a judge shares them only with one of the same adapter.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch

from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.errors import LoadError
from prefstream.scoring.judges.devices import Placement
from prefstream.scoring.judges.model import LocalJudge
from prefstream.scoring.judges.pooling import Float32Head
from prefstream.scoring.loading.adapter import apply_adapter, apply_head, is_head_alone, verify_adapter_files
from prefstream.scoring.loading.adapter_record import AdapterRecord, hash_adapter
from prefstream.scoring.loading.base_model import Base, find_config, skeleton, stamp_of
from prefstream.scoring.loading.sources import adapter_folder

_OWN: Final = {
    "name": "any",
    "weight": 1.0,
    "adapter": None,
    "adapter_revision": None,
    "micro_batch_tokens": None,
    "allow_untrained": False,
}
"""Settings in which judges that share their weights may differ."""


@dataclass(frozen=True, slots=True)
class LoadedFrom:
    """What a judge was loaded from, for those that are loaded beside it.

    Attributes:
        config: from the panel file.
        base: its files; the tokenizer has been given to the encoder.
        encoder: of its battles.
        adapter: folder.
        adapter_hash: of its weights, as they were loaded.
        record: what the adapter says of itself.
        devices: where its models are.
    """

    config: ModelJudgeConfig
    base: Base
    encoder: Encoder
    adapter: Path
    adapter_hash: str
    record: AdapterRecord
    devices: tuple[torch.device, ...]


@dataclass(frozen=True, slots=True)
class Lender:
    """A judge that lends its weights.

    Attributes:
        name: of the judge.
        origin: what it was loaded from.
        models: one for each of its devices, ready to answer.
        same: whether its adapter is the one that is wanted, too.
    """

    name: str
    origin: LoadedFrom
    models: tuple[Any, ...]
    same: bool

    def lend(self, number: int, adapter: Path, shapes: dict[str, tuple[int, ...]], dtype: torch.dtype) -> Any:
        """The model with another adapter, or with the same one; its head still as it was loaded.

        Args:
            number: of the device.
            adapter: folder, verified.
            shapes: of its tensors.
            dtype: of the head, until it is kept in float32.

        Raises:
            LoadError: the adapter does not fit the base, tensor by tensor.
        """
        model = sharing_tensors(self.models[number])
        if self.same:
            return model
        if hasattr(model, "get_base_model"):
            model = model.unload()
        head = model.score
        model.score = torch.nn.Linear(
            head.in_features, head.out_features, bias=head.bias is not None, device=head.weight.device, dtype=dtype
        )
        if self.origin.config.merges:
            return apply_head(model, adapter)
        return apply_adapter(model, adapter, shapes, merge=False)


def origins_of(judges: Iterable[object]) -> list[LoadedFrom]:
    """What those of some judges were loaded from that have weights, and an adapter.

    Args:
        judges: of whatever kind.
    """
    return [judge.origin for judge in judges if isinstance(judge, LocalJudge) and isinstance(judge.origin, LoadedFrom)]


def find_lender(
    judges: Iterable[object],
    config: ModelJudgeConfig,
    adapter: Path,
    record: AdapterRecord,
    placements: Sequence[Placement],
) -> Lender | None:
    """A judge that can lend its weights to another one; None where each needs its own.

    Args:
        judges: that are loaded, of whatever kind.
        config: of the judge that is to be loaded.
        adapter: its folder.
        record: what that says of itself.
        placements: where the judge is to be.

    Raises:
        LoadError: the adapter's files are none that could be loaded.
    """
    devices = tuple(place.device for place in placements)
    for judge in judges:
        if not isinstance(judge, LocalJudge) or not isinstance(origin := judge.origin, LoadedFrom):
            continue
        models = tuple(forward.model for forward in judge.forwards)
        if (
            origin.devices == devices
            and all(_has_known_head(model) for model in models)
            and _read_alike(config, record, origin.config, origin.record)
            and stamp_of(origin.base.folder) == origin.base.files
        ):
            verify_adapter_files(adapter, origin.base.head_names)
            same = hash_adapter(adapter) == origin.adapter_hash
            if same or (
                _is_as_loaded(origin)
                and all(_leaves_base_alone(config, origin.base.config, one) for one in (adapter, origin.adapter))
            ):
                return Lender(judge.name, origin, models, same)
    return None


def can_share(config: ModelJudgeConfig, other: ModelJudgeConfig) -> bool:
    """Whether two judges could share their weights, as far as their files tell; neither need be loaded.

    Args:
        config: of one judge.
        other: of the other one.
    """
    if config.adapter is None or other.adapter is None:
        return False
    try:
        folders = [
            adapter_folder(one.name, one.adapter, one.adapter_revision)[0]
            for one in (config, other)
            if one.adapter is not None
        ]
        records = [AdapterRecord.read(folder) for folder in folders]
        if not _read_alike(config, records[0], other, records[1]):
            return False
        if hash_adapter(folders[0]) == hash_adapter(folders[1]):
            return True
        base = find_config(config.base, config.revision, labels=len(records[0].labels), layers=records[0].layers)
        return base is not None and all(_leaves_base_alone(config, base, folder) for folder in folders)
    except (LoadError, OSError):
        return False


def sharing_tensors(model: Any) -> Any:
    """A copy of a model whose modules are its own, and whose tensors are the model's.

    Args:
        model: of torch; its layers may be quantised.
    """
    # What a copy knows already it takes as it is.
    return copy.deepcopy(model, {id(tensor): tensor for module in model.modules() for tensor in _tensors_of(module)})


def _tensors_of(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)
    # Quantised layers keep theirs as plain attributes, those of bitsandbytes in an object of their own.
    for held in vars(module).values():
        for one in (held, *getattr(held, "__dict__", {}).values()):
            if isinstance(one, torch.Tensor):
                yield one


def _is_as_loaded(origin: LoadedFrom) -> bool:
    """Whether an adapter that was loaded can still be looked at: its folder may be gone, or hold another one."""
    try:
        return hash_adapter(origin.adapter) == origin.adapter_hash
    except OSError:
        return False


def _has_known_head(model: Any) -> bool:
    classifier = model.get_base_model() if hasattr(model, "get_base_model") else model
    return isinstance(getattr(classifier, "score", None), Float32Head)


def _read_alike(
    config: ModelJudgeConfig, record: AdapterRecord, other: ModelJudgeConfig, others_record: AdapterRecord
) -> bool:
    """Whether two judges read the same tokens by the same layers in the same way."""

    def way(one: AdapterRecord) -> tuple[object, ...]:
        return one.kind, one.template_hash, one.mask_identity, one.pooling, one.layers

    alike = way(record) == way(others_record) and config.model_copy(update=_OWN) == other.model_copy(update=_OWN)
    return alike and not _is_packed_by_passes(config)


def _is_packed_by_passes(config: ModelJudgeConfig) -> bool:
    """Whether weights are written to while they are in use: bitsandbytes packs 4 bits for a CPU in the first pass.

    And unpacks them, not quite to what they were, when peft asks for their names.
    """
    return config.quantization == "4bit" and ("cpu" in config.device or not torch.cuda.is_available())


def _leaves_base_alone(config: ModelJudgeConfig, base: Any, adapter: Path) -> bool:
    """Whether the base's weights are with an adapter what they are without it."""
    if not config.merges:
        return True
    verify_adapter_files(adapter, frozenset())  # what is damaged is told as such
    return is_head_alone(skeleton(base), adapter)
