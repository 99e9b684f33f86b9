"""A judge's gates in 8 bits. What reading the samples tells of its columns is kept in the user's cache.

Reading them takes as long as a small judge takes otherwise to load. What comes of it, an exponent for each column, is
some kilobytes, and it changes no answer by itself: with it a judge is the same to the last bit as without.

What is kept is named by a hash over all that decides it, which does not say of which judge it is. So a file goes when
nobody has read it for `UNUSED_S`: its base, adapter or version is gone, or it takes a few seconds to find it again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import structlog
import torch

from prefstream.schemas import Provenance
from prefstream.scoring.atomic_file import write_atomically
from prefstream.scoring.demo.model_cache import default_cache_dir
from prefstream.scoring.encoding.encode import Encoder
from prefstream.scoring.judges.int8.gates import SAMPLES, quantise_gates, smoothing
from prefstream.scoring.runtime import processor

_FOLDER: Final = "smoothing"

_WAY: Final = 1
"""Raise it when `smoothing` finds something else in the same: what was kept before is then not looked at."""

UNUSED_S: Final = 30 * 24 * 3600.0
"""What nobody has read for so long is deleted when something else is kept."""

_DAY_S: Final = 24 * 3600.0
"""A file that is read is marked as used so often at most."""

_DIGEST_BYTES: Final = 32
"""Of SHA-256, which stands before what is kept."""


def give_8_bit_gates(model: Any, encoder: Encoder, provenance: Provenance, judge: str, dtype: torch.dtype) -> None:
    """Give a judge's classifier products in 8 bits, in place.

    Args:
        model: of transformers, on the CPU, its adapter merged, in evaluation mode.
        encoder: the judge's.
        provenance: likewise.
        judge: name, for messages.
        dtype: that the judge computes in.

    Raises:
        ConfigError: its architecture is not known.
    """
    samples = [sequence for encoding in encoder.encode(SAMPLES) for sequence in encoding.sequences]
    path = _place(provenance, samples)
    exponents = _kept(path, len(model.base_model.layers), model.config.hidden_size)
    if exponents is None:
        exponents = smoothing(model, samples, judge=judge, dtype=dtype)
        _keep(path, exponents, judge)
    quantise_gates(model, exponents)


def _place(provenance: Provenance, samples: Sequence[Sequence[int]]) -> Path | None:
    """Where it is kept what these samples tell of this judge on this machine; None where there is no cache."""
    try:
        folder = default_cache_dir()
    except RuntimeError:  # nobody's home
        return None
    if folder.parts[0] == "~":
        return None
    deciding = [
        _WAY,
        provenance.model_dump(mode="json"),
        [list(sample) for sample in samples],
        torch.__version__,
        torch.get_num_threads(),
        processor(),
    ]
    return folder / _FOLDER / hashlib.sha256(json.dumps(deciding).encode()).hexdigest()


def _kept(path: Path | None, layers: int, columns: int) -> list[torch.Tensor] | None:
    """The exponents of each layer; None where they are not kept, or no longer what they were."""
    if path is None:
        return None
    try:
        content = path.read_bytes()
    except OSError:
        return None
    digest, exponents = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
    if len(exponents) != layers * columns or hashlib.sha256(exponents).digest() != digest:
        return None
    _mark_as_used(path)
    return list(torch.frombuffer(bytearray(exponents), dtype=torch.int8).view(layers, columns))


def _keep(path: Path | None, exponents: Sequence[torch.Tensor], judge: str) -> None:
    """Keep them if it can be: whoever can't finds them again."""
    if path is None:
        return
    content = torch.stack(list(exponents)).numpy().tobytes()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Two processes may write at once: the same, and what one of them cut off the digest tells.
        write_atomically(path, hashlib.sha256(content).digest() + content)
        _prune(path.parent)
    except OSError as error:
        structlog.get_logger().debug("smoothing not kept", judge=judge, detail=str(error.strerror or error))


def _mark_as_used(path: Path) -> None:
    with contextlib.suppress(OSError):  # a cache that may only be read is pruned by nobody
        if time.time() - path.stat().st_mtime > _DAY_S:
            os.utime(path)


def _prune(folder: Path) -> None:
    """Delete what was not used for long, drafts of processes that were killed among it.

    Whoever reads one of them at this moment has it open, or finds it anew.
    """
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another process deletes them, too
            if _OURS.fullmatch(path.name) and time.time() - path.stat().st_mtime > UNUSED_S:
                path.unlink()


_OURS: Final = re.compile(r"[0-9a-f]{64}(\.tmp)?")
