"""A LoRA adapter onto its base: every tensor accounted for, head included, merged unless the base is quantised."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prefstream.scoring.config import ModelJudgeConfig
from prefstream.scoring.encoding.template import Template
from prefstream.scoring.errors import LoadError
from prefstream.scoring.loading.adapter_record import WEIGHTS, AdapterRecord, hash_adapter
from prefstream.scoring.loading.late_compilation import compiled_when_called
from prefstream.scoring.loading.sources import adapter_folder
from prefstream.scoring.loading.weights import read_settings, read_shapes, weight_files

_PREFIX = "base_model.model."
"""What peft puts before the base's own names."""

_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
"""What peft puts behind them. What a layer's inputs are taken down to comes up again in its outputs."""

_SHOWN = 4
"""Names in a message: enough to see the pattern."""

CONFIG: Final = "adapter_config.json"
"""peft's own settings of an adapter."""

_SHAPE: Final = frozenset(
    {
        *("r", "lora_alpha", "lora_dropout", "bias", "lora_bias", "fan_in_fan_out", "use_rslora", "use_dora"),
        *("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern"),
        *("alpha_pattern", "modules_to_save", "init_lora_weights", "ensure_weight_tying", "task_type"),
    }
)
"""What shapes a LoRA adapter: all that is taken from its settings."""

_PLAIN: Final = frozenset(
    {
        *("r", "lora_alpha", "lora_dropout", "bias", "target_modules", "layers_to_transform", "modules_to_save"),
        *("use_rslora", "init_lora_weights", "task_type"),
    }
)
"""Of these, what leaves open neither which layers have a LoRA nor that it adds nothing where it was not trained."""

_NO_MATTER: Final = frozenset(
    {
        *("peft_type", "peft_version", "auto_mapping", "inference_mode"),
        # Folders are moved; whether it is the right base shows tensor by tensor.
        *("base_model_name_or_path", "revision"),
        # Of kinds of LoRA that are switched off, or say nothing about an adapter that is trained.
        *("megatron_core", "qalora_group_size", "runtime_config"),
    }
)
"""What is left as it is, whatever it says."""


@dataclass(frozen=True, slots=True)
class VerifiedAdapter:
    """An adapter whose files are what they should be; its weights are not loaded yet.

    Attributes:
        folder: of its files.
        commit: of the hub; None of a local folder.
        record: what it says of itself.
        shapes: of its tensors.
        hash: of its weights.
    """

    folder: Path
    commit: str | None
    record: AdapterRecord
    shapes: dict[str, tuple[int, ...]]
    hash: str


@dataclass(frozen=True, slots=True)
class RecordedAdapter:
    """An adapter's folder, and what it says of itself.

    Attributes:
        folder: of its files.
        commit: of the hub; None of a local folder.
        record: what it says.
    """

    folder: Path
    commit: str | None
    record: AdapterRecord

    def verified(self, template: Template, head_names: frozenset[str]) -> VerifiedAdapter:
        """Look at its files.

        Args:
            template: of its judge.
            head_names: parameters of the base's head.

        Raises:
            LoadError: they are not what its judge needs.
        """
        shapes = verify_adapter_files(self.folder, head_names)
        self.record.verify(self.folder, template)
        return VerifiedAdapter(self.folder, self.commit, self.record, shapes, hash_adapter(self.folder))


def find_adapter(config: ModelJudgeConfig) -> RecordedAdapter | None:
    """A judge's adapter; None where it has none.

    Args:
        config: of the judge.

    Raises:
        LoadError: it is not there, or says nothing of itself.
    """
    if config.adapter is None:
        return None
    folder, commit = adapter_folder(config.name, config.adapter, config.adapter_revision)
    return RecordedAdapter(folder, commit, AdapterRecord.read(folder))


def verify_adapter_files(folder: Path, head_names: frozenset[str]) -> dict[str, tuple[int, ...]]:
    """Check what can be checked before the base is loaded, which may take minutes.

    Args:
        folder: of the adapter.
        head_names: parameters of the base's classification head.

    Returns:
        Name to shape of the adapter's tensors.

    Raises:
        LoadError: files are missing or pickled, it is no plain LoRA adapter, or the head is not among the weights.
    """
    weight_files(folder)
    for name in (WEIGHTS, CONFIG):
        if not (folder / name).is_file():
            raise LoadError(f"{folder}: has no {name}; give the folder that peft's save_pretrained wrote")
    read_lora(folder)
    shapes = read_shapes(folder / WEIGHTS)
    missing = sorted(name for name in head_names if _PREFIX + name not in shapes)
    if missing:
        raise LoadError(
            f"{folder / WEIGHTS}: the classification head ({', '.join(missing)}) is missing, without which the "
            "answers would be random; save the adapter with task_type SEQ_CLS, or with the head in modules_to_save"
        )
    return shapes


def read_lora(folder: Path) -> dict[str, Any]:
    """What shapes an adapter, for `peft.LoraConfig`.

    peft's other kinds of adapters read files, load tokenizers and import modules that their settings name. So they are
    refused by name, and of LoRA's own settings only those that shape it are taken.

    Args:
        folder: of the adapter.

    Raises:
        LoadError: it is of another kind, or of a kind of LoRA that needs more than its shape.
    """
    settings = read_settings(folder / CONFIG)
    kind = settings.get("peft_type")
    if kind != "LORA":
        raise LoadError(f"{folder / CONFIG}: peft_type is {str(kind)[:40]}; only LORA adapters are loaded")
    more = sorted(name for name in settings.keys() - _SHAPE - _NO_MATTER if settings[name])
    if more:
        raise LoadError(
            f"{folder / CONFIG}: sets {', '.join(more[:_SHOWN])}; only plain LoRA adapters are loaded, and DoRA and "
            "rank-stabilised ones"
        )
    return {name: value for name, value in settings.items() if name in _SHAPE}


def apply_adapter(model: Any, folder: Path, shapes: dict[str, tuple[int, ...]], *, merge: bool) -> Any:
    """Put an adapter onto its base.

    Args:
        model: the sequence classifier, on its device.
        folder: of the adapter.
        shapes: what `verify_adapter_files` returned.
        merge: add the adapter to the base's weights, which runs 1.5 times faster. Never onto a base that is
            quantised already: rounding would undo the adapter.

    Returns:
        The classifier itself if merged, else peft's wrapping of it.

    Raises:
        LoadError: the adapter does not fit the base, tensor by tensor.
    """
    weights = _read(folder, model.device)
    if merge and _changes_head_alone(model, read_lora(folder), weights):
        return _with_head(model, weights)
    with compiled_when_called():
        import peft

    try:
        config = peft.LoraConfig(**read_lora(folder), inference_mode=True)
        adapted = peft.get_peft_model(model, config)
    except (ValueError, TypeError, KeyError) as error:
        raise LoadError(f"{folder}: does not fit this base: {error}") from error
    wanted = peft.get_peft_model_state_dict(adapted, save_embedding_layers=False)
    _verify_fit(folder, shapes, {name: tuple(tensor.shape) for name, tensor in wanted.items()})
    peft.set_peft_model_state_dict(adapted, weights)
    adapted.eval()
    return adapted.merge_and_unload() if merge else adapted


def is_head_alone(model: Any, folder: Path) -> bool:
    """Whether an adapter, merged, changes its base's head alone.

    Args:
        model: the sequence classifier; it may be without weights.
        folder: of the adapter, verified.
    """
    return _changes_head_alone(model, read_lora(folder), _read(folder, "cpu"))


def apply_head(model: Any, folder: Path) -> Any:
    """Put an adapter onto its base that changes the head alone.

    Args:
        model: the sequence classifier, on its device.
        folder: of the adapter, verified.

    Returns:
        The classifier itself.
    """
    return _with_head(model, _read(folder, model.device))


def _read(folder: Path, device: Any) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(folder / WEIGHTS, device=str(device))


def _changes_head_alone(model: Any, lora: dict[str, Any], weights: dict[str, Any]) -> bool:
    """Whether an adapter fits its base, and merged changes its head alone, as nothing of its LoRA was trained.

    Then there is nothing to do for peft, whose import takes longer than that. What is in doubt is left to it.
    """
    targets, layers = lora.get("target_modules"), lora.get("layers_to_transform")
    if not isinstance(targets, list) or (layers is not None and not isinstance(layers, list)):
        return False
    if any(lora.get(name) for name in _SHAPE - _PLAIN) or lora.get("bias", "none") != "none":
        return False
    wanted = {
        _PREFIX + name: parameter.shape
        for name, parameter in model.named_parameters()
        if not name.startswith(f"{model.base_model_prefix}.")
    }
    for name, module in model.named_modules():
        *place, last = name.split(".")
        if last in targets and (layers is None or {str(layer) for layer in layers} & {*place}):
            outputs, inputs = module.weight.shape
            wanted[f"{_PREFIX}{name}{_DOWN}"] = (lora["r"], inputs)
            wanted[f"{_PREFIX}{name}{_UP}"] = (outputs, lora["r"])
    fits = {name: tuple(shape) for name, shape in wanted.items()} == {
        name: tuple(tensor.shape) for name, tensor in weights.items()
    }
    return fits and not any(tensor.any() for name, tensor in weights.items() if name.endswith(_UP))


def _with_head(model: Any, weights: dict[str, Any]) -> Any:
    model.requires_grad_(requires_grad=False)
    for name, tensor in weights.items():
        if not name.endswith((_DOWN, _UP)):
            model.get_parameter(name.removeprefix(_PREFIX)).copy_(tensor)
    return model.eval()


def _verify_fit(folder: Path, found: dict[str, tuple[int, ...]], wanted: dict[str, tuple[int, ...]]) -> None:
    mismatches = [
        *_listed("missing", sorted(wanted.keys() - found.keys())),
        *_listed("not in this base", sorted(found.keys() - wanted.keys())),
        *_listed(
            "of another shape",
            [
                f"{name} {list(found[name])} for {list(wanted[name])}"
                for name in sorted(found.keys() & wanted.keys())
                if found[name] != wanted[name]
            ],
        ),
    ]
    if mismatches:
        raise LoadError(
            f"{folder / WEIGHTS}: does not fit this base: {'; '.join(mismatches)}; use the base it was trained on, "
            "with the rank and targets that adapter_config.json names"
        )


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return [f"{what}: {', '.join(names[:_SHOWN])}{more}"]
