"""Loading a judge: tokenizer, base, adapter and head, each verified; a judge that is half loaded never votes.

Judges are loaded one after the other: two `from_pretrained` at the same time confuse each other's meta tensors.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
import torch

from schemas import Battle, Provenance
from scoring.adapter import LABELS, AdapterRecord, hash_adapter
from scoring.calibrate import Calibration
from scoring.config import ModelJudgeConfig
from scoring.devices import Placement, attention_for
from scoring.encode import Encoder
from scoring.errors import ConfigError, JudgeFault, LoadError
from scoring.forward import Float32Head, Forward
from scoring.load_adapter import apply_adapter, verify_adapter_files
from scoring.load_tokenizer import load_tokenizer
from scoring.model_judge import ModelJudge
from scoring.template import Template, template_for
from scoring.truncate import Shares
from scoring.weights import hash_base, weight_files

_HEAD_SEED: Final = 0
"""Of a random head, so that even an untrained judge's answers can be reproduced."""

_WARM_UP: Final = Battle(id="warm-up", prompt=("Hello",), response_a=("Hello!",), response_b=("Good day.",))

_HUB_FILES: Final = ("*.safetensors", "*.json", "*.model", "*.jinja")
_HUB_FILES_NOT: Final = ("original/*", "consolidated*")
"""The second copies that some repositories hold, in formats of their own."""


@dataclass(frozen=True, slots=True)
class _Adapter:
    """A verified adapter folder; its weights are not loaded yet."""

    folder: Path
    record: AdapterRecord
    shapes: dict[str, tuple[int, ...]]


def load_judge(
    config: ModelJudgeConfig,
    placement: Placement,
    *,
    calibration: Calibration | None = None,
    progress: Callable[[str], None] | None = None,
) -> ModelJudge:
    """Load one judge, verify it, and let it judge one battle.

    Args:
        config: from the panel file.
        placement: its device and dtype.
        calibration: in place of what the adapter recorded.
        progress: told what is being loaded.

    Raises:
        LoadError: the judge can't be loaded, or must not judge; the message names the file and the remedy.
        ConfigError: its settings don't fit its model.
    """
    say = progress or (lambda _: None)
    if config.adapter is None and not config.allow_untrained:
        raise LoadError(
            f"judge {config.name}: has no adapter, so its head would be random; name one, or set "
            "allow_untrained: true for a demo"
        )
    try:
        # What is drawn at random and then overwritten must not move the program's own draws.
        with _quiet(), torch.random.fork_rng(devices=[]):
            return _load(config, placement, calibration, say)
    except torch.OutOfMemoryError as error:
        raise LoadError(
            f"judge {config.name}: {config.base} does not fit on {placement.device}; set quantization: 8bit or "
            "4bit, or another device"
        ) from error
    except ConfigError as error:
        raise ConfigError(f"judge {config.name}", error.faults) from error


def _load(
    config: ModelJudgeConfig, placement: Placement, calibration: Calibration | None, say: Callable[[str], None]
) -> ModelJudge:
    base = _local_folder(config.base, config.revision)
    files = weight_files(base)
    model_config = _load_config(base, config)
    head_names = _head_names(model_config)
    tokenizer = load_tokenizer(base, model_config)
    model_config.pad_token_id = tokenizer.pad_token_id
    template = template_for(model_config.model_type, config.kind, tokenizer)
    adapter = _verified_adapter(config, template, head_names)
    _verify_length(config, model_config)
    encoder = Encoder(
        tokenizer,
        template,
        max_length=config.max_length,
        shares=Shares(prompt=config.shares.prompt, response=config.shares.response),
    )
    provenance = Provenance(
        kind=config.kind,
        base=_public_name(config.base),
        revision=config.revision,
        base_hash=hash_base(files),
        adapter_hash=hash_adapter(adapter.folder) if adapter else None,
        template=template.name,
        template_hash=template.hash,
        dtype=str(placement.dtype).removeprefix("torch."),
        quantization=config.quantization,
        attention=attention_for(config, model_config.model_type, placement),
        device=str(placement.device),
        max_length=config.max_length,
        trained=adapter is not None,
    )
    _warn_of_other_base(config, adapter, provenance)
    say(f"{config.name}: loading {provenance.base} onto {placement.device} in {provenance.dtype}")
    model = _load_model(base, config, model_config, placement, head_names)
    if adapter:
        say(f"{config.name}: loading its adapter {_public_name(str(config.adapter))}")
        model = apply_adapter(model, adapter.folder, adapter.shapes, merge=config.quantization == "none")
    _keep_head_in_float32(model)
    model.eval()
    judge = ModelJudge(
        name=config.name,
        weight=config.weight,
        provenance=provenance,
        encoder=encoder,
        forward=Forward(
            model,
            judge=config.name,
            device=placement.device,
            dtype=placement.dtype,
            pad_id=tokenizer.pad_token_id,
            outputs=len(LABELS[config.kind]),
            budget_tokens=placement.micro_batch_tokens,
            threads=placement.threads,
        ),
        tau=adapter.record.tau if adapter else 0.0,
        calibration=calibration or (adapter.record.calibration if adapter else None),
    )
    _warm_up(judge)
    return judge


def _local_folder(source: str, revision: str | None) -> Path:
    """The folder of a local model, or of a hub model after fetching what is not in the hub's cache."""
    if Path(source).is_absolute():
        return Path(source)
    import huggingface_hub

    try:
        return Path(
            huggingface_hub.snapshot_download(
                source, revision=revision, allow_patterns=list(_HUB_FILES), ignore_patterns=list(_HUB_FILES_NOT)
            )
        )
    except (OSError, ValueError) as error:
        raise LoadError(
            f"{source} at {revision}: can't be fetched from the hub ({type(error).__name__}: "
            f"{_first_line(error)}); check the id, the revision, your access and HF_TOKEN, or give a local folder"
        ) from error


def _load_config(base: Path, config: ModelJudgeConfig) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(
            base, num_labels=len(LABELS[config.kind]), trust_remote_code=False, local_files_only=True
        )
    except (OSError, ValueError, KeyError) as error:
        raise LoadError(f"{base}: its config can't be loaded: {_first_line(error)}") from error


def _head_names(model_config: Any) -> frozenset[str]:
    """Parameters of the classification head: those outside the backbone."""
    from transformers import AutoModelForSequenceClassification

    try:
        with torch.device("meta"):
            skeleton = AutoModelForSequenceClassification.from_config(model_config)
    except ValueError as error:
        raise LoadError(
            f"{model_config.model_type}: transformers has no sequence classifier of this architecture; use a base "
            "that AutoModelForSequenceClassification loads, such as Gemma 2, Gemma 3 (text) or Llama"
        ) from error
    backbone = skeleton.base_model_prefix + "."
    return frozenset(name for name, _ in skeleton.named_parameters() if not name.startswith(backbone))


def _verified_adapter(config: ModelJudgeConfig, template: Template, head_names: frozenset[str]) -> _Adapter | None:
    if config.adapter is None:
        return None
    folder = _local_folder(config.adapter, config.adapter_revision)
    shapes = verify_adapter_files(folder, head_names)
    record = AdapterRecord.read(folder)
    record.verify(folder, template)
    return _Adapter(folder, record, shapes)


def _verify_length(config: ModelJudgeConfig, model_config: Any) -> None:
    limit = getattr(model_config, "max_position_embeddings", None)
    if isinstance(limit, int) and config.max_length > limit:
        fault = f"max_length is {config.max_length}, but its base was made for at most {limit} tokens"
        raise ConfigError(f"judge {config.name}", (fault,))


def _load_model(
    base: Path, config: ModelJudgeConfig, model_config: Any, placement: Placement, head_names: frozenset[str]
) -> Any:
    from transformers import AutoModelForSequenceClassification

    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            base,
            config=model_config,
            dtype=placement.dtype,
            attn_implementation=attention_for(config, model_config.model_type, placement),
            quantization_config=_quantization(config, placement, head_names),
            device_map={"": str(placement.device)} if placement.device.type == "cuda" else None,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        raise LoadError(f"{base}: its weights can't be loaded: {_first_line(error)}") from error
    _verify_report(base, model, report, head_names)
    for name in sorted(head_names & report["missing_keys"]):
        _fill_reproducibly(model.get_parameter(name), model_config)
    return model


def _verify_report(base: Path, model: Any, report: dict[str, Any], head_names: frozenset[str]) -> None:
    """Refuse a backbone of which anything is missing, left over or of another shape."""
    backbone = model.base_model_prefix + "."
    faults = {
        "missing": sorted(set(report["missing_keys"]) - head_names),
        # Heads for other tasks, such as lm_head, are of no use here and do no harm.
        "left over": sorted(name for name in report["unexpected_keys"] if name.startswith(backbone)),
        "of another shape": sorted(str(name) for name in report["mismatched_keys"]),
    }
    if any(faults.values()) or report["error_msgs"]:
        listed = "; ".join(f"{what}: {', '.join(names[:4])} ({len(names)})" for what, names in faults.items() if names)
        raise LoadError(f"{base}: weights and config don't belong together ({listed}); fetch the model again")


def _quantization(config: ModelJudgeConfig, placement: Placement, head_names: frozenset[str]) -> Any:
    if config.quantization == "none":
        return None
    from transformers import BitsAndBytesConfig

    heads = sorted({name.rpartition(".")[0] for name in head_names})
    if config.quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=heads)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=placement.dtype,
        llm_int8_skip_modules=heads,
    )


def _fill_reproducibly(parameter: torch.nn.Parameter, model_config: Any) -> None:
    """Draw a missing head as transformers does, but the same on every device and at every load."""
    generator = torch.Generator().manual_seed(_HEAD_SEED)
    std = getattr(model_config, "initializer_range", 0.02)
    drawn = torch.randn(parameter.shape, generator=generator) * std
    with torch.no_grad():
        parameter.copy_(drawn)


def _keep_head_in_float32(model: Any) -> None:
    """Take the head out of peft's wrapping, if it has one, and out of autocast."""
    classifier = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = getattr(classifier, "score", None)
    trained = getattr(head, "modules_to_save", None)
    head = trained["default"] if trained is not None else head
    if isinstance(head, torch.nn.Linear):
        classifier.score = Float32Head(head)


def _warn_of_other_base(config: ModelJudgeConfig, adapter: _Adapter | None, provenance: Provenance) -> None:
    """Say so when the base differs from the one in training: legitimate after a conversion, else a mistake."""
    trained_on = adapter.record.base_hash if adapter else None
    if trained_on is not None and trained_on != provenance.base_hash:
        structlog.get_logger().warning(
            "adapter_was_trained_on_other_weights", judge=config.name, base=provenance.base, expected=trained_on
        )


def _warm_up(judge: ModelJudge) -> None:
    """One battle through the whole judge: what fails now would fail on the first real one."""
    try:
        scores = judge.score(judge.encode([_WARM_UP]))
    except JudgeFault as fault:
        judge.close()
        raise LoadError(f"{fault} (at a test battle while loading: it can't judge)") from fault
    if scores.too_large:
        judge.close()
        raise LoadError(f"{scores.too_large[0]}; not even a short battle fits")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _public_name(source: str) -> str:
    """A hub id as it is; of a local folder the name alone: its place is nobody's business."""
    return Path(source).name if Path(source).is_absolute() else source


@contextmanager
def _quiet() -> Iterator[None]:
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
