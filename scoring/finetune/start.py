"""Starting from an adapter: more training of the same judge, or another kind of judge on what it has learnt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from prefstream.scoring.errors import LoadError
from prefstream.scoring.finetune.model import Student
from prefstream.scoring.loading.adapter import read_lora
from prefstream.scoring.loading.adapter_record import WEIGHTS, AdapterRecord, hash_adapter
from prefstream.scoring.loading.weights import read_shapes

_HEAD = ".score."
"""In the names of the head's tensors."""


@dataclass(frozen=True, slots=True)
class Origin:
    """An adapter that a run begins with.

    Attributes:
        folder: where it lies.
        tau: its offset of the tie's logit, where its head is taken; None where the head is a new one.
    """

    folder: Path
    tau: float | None

    @classmethod
    def of(cls, folder: Path, student: Student) -> Self:
        """Look at an adapter before the base is loaded.

        Args:
            folder: of the adapter.
            student: what is to be trained.

        Raises:
            LoadError: it is no adapter, or of another base, or of another shape than the recipe's LoRA.
        """
        record = AdapterRecord.read(folder)
        if record.base_hash != student.base.hash:
            raise LoadError(f"{folder}: was trained on another base than the recipe's; take an adapter of that base")
        if record.layers != student.recipe.layers:
            its, ours = record.layers or "all", student.recipe.layers or "all"
            raise LoadError(f"{folder}: has {its} of the base's layers, the recipe has {ours}; set layers alike")
        if other := _differences(read_lora(folder), student):
            raise LoadError(f"{folder}: is of another shape than the recipe's LoRA: {'; '.join(other)}")
        # A head that was trained on another layout, or on other states, knows nothing of these.
        same_reading = (record.template_hash, record.pooling) == (student.template.hash, student.recipe.pooling)
        return cls(folder, record.tau if same_reading else None)

    def put_into(self, model: Any) -> None:
        """Put the weights into a model that is about to be trained; a new head stays at its zeros.

        Args:
            model: peft's, with LoRA of the adapter's shape.

        Raises:
            LoadError: tensor by tensor, they don't fit.
        """
        import peft
        from safetensors.torch import load_file

        def taken(tensors: Mapping[str, Any]) -> dict[str, Any]:
            return {name: tensor for name, tensor in tensors.items() if self.tau is not None or _HEAD not in name}

        new = peft.get_peft_model_state_dict(model, save_embedding_layers=False)
        weights = taken(load_file(self.folder / WEIGHTS))
        shapes, places = ({name: tensor.shape for name, tensor in one.items()} for one in (weights, taken(new)))
        if shapes != places:
            raise LoadError(f"{self.folder / WEIGHTS}: its tensors are not those of the recipe's LoRA on this base")
        peft.set_peft_model_state_dict(model, new | {name: tensor.float() for name, tensor in weights.items()})


def start_hash(folder: Path) -> str:
    """SHA-256 of the adapter that a run starts from.

    Raises:
        LoadError: the folder holds none, or one that is cut off.
    """
    AdapterRecord.read(folder)
    if not (folder / WEIGHTS).is_file():
        raise LoadError(f"{folder}: has no {WEIGHTS}")
    read_shapes(folder / WEIGHTS)  # which refuses a file that is cut off, before the base is loaded
    return hash_adapter(folder)


def _differences(lora: Mapping[str, Any], student: Student) -> list[str]:
    """What the adapter's LoRA has otherwise than the recipe's, each with the setting that decides it."""
    recipe = student.recipe.lora
    layers = range(recipe.frozen_layers, student.base.config.num_hidden_layers)
    settings = {
        "lora.rank": (lora.get("r"), recipe.rank),
        "lora.alpha": (lora.get("lora_alpha"), recipe.alpha),
        "lora.targets": (sorted(lora.get("target_modules") or ()), sorted(recipe.targets)),
        "lora.frozen_layers": (min(lora.get("layers_to_transform") or [0]), layers.start),
    }
    other = [f"{key} {_shown(its)} there, {_shown(ours)} here" for key, (its, ours) in settings.items() if its != ours]
    unusual = [kind for kind in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if lora.get(kind)]
    return other + [f"{kind} there" for kind in unusual]


def _shown(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
