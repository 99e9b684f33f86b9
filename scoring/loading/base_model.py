"""A base model as a sequence classifier: found, verified, loaded. Serving and fine-tuning load it by the same way.

Bases are loaded one after the other: two `from_pretrained` at the same time confuse each other's meta tensors.
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import torch

from prefstream.scoring.config import DEMO_BASES
from prefstream.scoring.errors import LoadError
from prefstream.scoring.judges.memory.device_errors import is_out_of_memory
from prefstream.scoring.known_bases import known_config
from prefstream.scoring.loading.layers import first_layers
from prefstream.scoring.loading.rounding import NONE, Rounding
from prefstream.scoring.loading.sources import fetched_folder, first_line, local_folder
from prefstream.scoring.loading.tokenizer import load_config, load_tokenizer
from prefstream.scoring.loading.weights import base_files, hash_base

_HEAD_SEED: Final = 0
"""Of a random head, so that even an untrained judge's answers can be reproduced."""


Stamp: TypeAlias = tuple[tuple[str, int, int], ...]
"""Name, size and time of the last change of every file of a folder."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base model, its weights not yet loaded.

    Attributes:
        folder: where its files are.
        config: transformers' own, with the judge's number of labels, the layers that are kept, and the tokenizer's pad
            token.
        tokenizer: fast, with a pad token that pooling can tell from text.
        head_names: parameters of the classification head: those outside the backbone.
        left_out: parameters of the layers that are not kept.
        hash: of the weights, as a preference's provenance states it.
        files: what the folder held when it was opened.
    """

    folder: Path
    config: Any
    tokenizer: Any
    head_names: frozenset[str]
    left_out: frozenset[str]
    hash: str
    files: Stamp


def open_base(
    source: str,
    revision: str | None,
    *,
    labels: int,
    layers: int | None = None,
    say: Callable[[str], None] | None = None,
) -> Base:
    """Find a base model and read everything but its weights.

    Args:
        source: absolute folder, hub id, or a base of the demo.
        revision: commit of a hub id.
        labels: outputs of the classification head.
        layers: how many of its layers are kept, from below; None for all.
        say: told what is being fetched.

    Raises:
        LoadError: it can't be had, is pickled, has no sequence classifier, or fewer layers than are to be kept.
    """
    folder = local_folder(source, revision, say=say)
    held = stamp_of(folder)
    files = base_files(folder)
    config = load_config(folder, labels)
    whole = skeleton(config)
    left_out: frozenset[str] = frozenset()
    if layers is not None:
        config = _kept(config, layers, source)
        left_out = _names(whole) - _names(skeleton(config))
    tokenizer = load_tokenizer(folder, config, converted=source in DEMO_BASES)
    config.pad_token_id = tokenizer.pad_token_id
    return Base(folder, config, tokenizer, _head_names(whole), left_out, hash_base(files), held)


def stamp_of(folder: Path) -> Stamp:
    """What a folder holds now; nothing where it is gone."""
    try:
        return tuple(
            sorted((file.name, (known := file.stat()).st_size, known.st_mtime_ns) for file in folder.iterdir())
        )
    except OSError:
        return ()


def find_config(source: str, revision: str | None, *, labels: int, layers: int | None = None) -> Any:
    """The config of a base as far as it is known without asking anybody: read from this machine, or published.

    Args:
        source: as for `open_base`; and `revision`, `labels`, `layers`.
        revision: likewise.
        labels: likewise.
        layers: likewise.

    Returns:
        transformers' own; None for a base that is still to be fetched, and not among `known_bases`.

    Raises:
        LoadError: what is here can't be used, or has fewer layers than are to be kept.
    """
    folder = fetched_folder(source, revision)
    config = known_config(source, labels) if folder is None else load_config(folder, labels)
    return config if config is None or layers is None else _kept(config, layers, source)


def load_classifier(
    base: Base,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    rounding: Rounding = NONE,
) -> Any:
    """Load a base model's weights as a sequence classifier.

    Args:
        base: what `open_base` returned.
        device: where to.
        dtype: of what is not quantised.
        attention: implementation, as transformers knows it.
        rounding: of the linear layers.

    Returns:
        The classifier, in memory alone: what becomes of the files later does not matter. A head that the weights lack
        is drawn at random, the same at every load.

    Raises:
        LoadError: weights and config don't belong together, a library refuses them, or they change meanwhile.
    """
    from transformers import AutoModelForSequenceClassification

    with _told_as_load_error(f"{base.folder}: its weights can't be loaded"):
        model, report = AutoModelForSequenceClassification.from_pretrained(
            base.folder,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            **_settings(base, device, dtype, attention, rounding),
        )
    _take_into_memory(model)
    if hash_base(base_files(base.folder)) != base.hash:
        raise LoadError(f"{base.folder}: its weights were changed while they were loaded; start again")
    _verify_report(base, model, report)
    for name in sorted(base.head_names & report["missing_keys"]):
        _fill_reproducibly(model.get_parameter(name), base.config)
    return model


def quantise(
    model: Any,
    base: Base,
    *,
    device: torch.device,
    dtype: torch.dtype,
    attention: str,
    rounding: Rounding,
) -> Any:
    """Load a classifier once more, from its own weights in place of the base's files: an adapter is in them.

    transformers rounds them as it does those of files. The head stays what it is.

    Args:
        model: on the CPU, not quantised; of no use afterwards.
        base: that it was loaded from.
        device: where to.
        dtype: of what is not quantised.
        attention: implementation, as transformers knows it.
        rounding: of the linear layers.

    Raises:
        LoadError: a library refuses them.
    """
    with _told_as_load_error(f"{base.folder}: can't be quantised with its adapter"):
        return type(model).from_pretrained(
            None, state_dict=model.state_dict(), **_settings(base, device, dtype, attention, rounding)
        )


def _settings(
    base: Base, device: torch.device, dtype: torch.dtype, attention: str, rounding: Rounding
) -> dict[str, Any]:
    """How a model is loaded, wherever its weights come from."""
    return {
        "config": base.config,
        "dtype": dtype,
        "attn_implementation": attention,
        "quantization_config": rounding.for_transformers(dtype, base.head_names),
        # Left to itself, transformers puts what is quantised onto a card where there is one.
        "device_map": {"": str(device)} if device.type == "cuda" or rounding.quantization != "none" else None,
        "local_files_only": True,
    }


@contextmanager
def _told_as_load_error(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        if is_out_of_memory(error, beyond_doubt=True):
            raise
        raise LoadError(f"{what}: {first_line(error)}") from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what libraries print while loading: what matters in it is checked here, and raised."""
    from transformers.utils import logging as transformers_logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # a line per matrix product, also later
    verbosity = transformers_logging.get_verbosity()
    shows_progress = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            # Deprecations between these libraries are theirs to settle.
            warnings.simplefilter("ignore", FutureWarning)
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shows_progress:
            transformers_logging.enable_progress_bar()


def _kept(config: Any, layers: int, source: str) -> Any:
    if layers > config.num_hidden_layers:
        raise LoadError(
            f"{source}: has {config.num_hidden_layers} layers, and the first {layers} are to be kept; lower layers"
        )
    return first_layers(config, layers)


def skeleton(config: Any) -> Any:
    """The classifier of a config without weights: names and shapes of its layers.

    Raises:
        LoadError: transformers has no sequence classifier of its architecture.
    """
    from transformers import AutoModelForSequenceClassification

    try:
        with torch.device("meta"):
            # The config's own choice may be the name of a kernel on the hub, which is code.
            return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    except ValueError as error:
        raise LoadError(
            f"{config.model_type}: transformers has no sequence classifier of this architecture; use a base "
            "that AutoModelForSequenceClassification loads, such as Gemma 2, Gemma 3 (text) or Llama"
        ) from error


def _names(model: Any) -> frozenset[str]:
    return frozenset(name for name, _ in model.named_parameters())


def _head_names(model: Any) -> frozenset[str]:
    backbone = model.base_model_prefix + "."
    return frozenset(name for name in _names(model) if not name.startswith(backbone))


def _take_into_memory(model: Any) -> None:
    """Copy what still lies in the file into memory of our own, one tensor at a time.

    On the CPU the weights of a safetensors file are the file itself, mapped: where it is overwritten in place, answers
    would change while their provenance says the same, and where it is cut off, the process would die of SIGBUS.
    """
    for tensor in itertools.chain(model.parameters(), model.buffers()):
        if tensor.device.type == "cpu":
            tensor.data = tensor.data.clone()


def _verify_report(base: Base, model: Any, report: dict[str, Any]) -> None:
    """Refuse a backbone of which anything is missing, left over or of another shape."""
    backbone = model.base_model_prefix + "."
    unexpected = set(report["unexpected_keys"]) - base.left_out
    mismatches = {
        "missing": sorted(set(report["missing_keys"]) - base.head_names),
        # Heads for other tasks, such as lm_head, are of no use here and do no harm.
        "left over": sorted(name for name in unexpected if name.startswith(backbone)),
        "of another shape": sorted(str(name) for name in report["mismatched_keys"]),
    }
    if any(mismatches.values()) or report["error_msgs"]:
        listed = "; ".join(
            f"{what}: {', '.join(names[:4])} ({len(names)})" for what, names in mismatches.items() if names
        )
        raise LoadError(f"{base.folder}: weights and config don't belong together ({listed}); fetch the model again")


def _fill_reproducibly(parameter: torch.nn.Parameter, config: Any) -> None:
    """Draw a missing head as transformers does, but the same on every device and at every load."""
    generator = torch.Generator().manual_seed(_HEAD_SEED)
    std = getattr(config, "initializer_range", 0.02)
    drawn = torch.randn(parameter.shape, generator=generator) * std
    with torch.no_grad():
        parameter.copy_(drawn)
