"""What libraries below a forward pass say when it fails: memory ran out, or the card is lost to this process.

torch has a class for its own allocator's error alone. cuBLAS, cuDNN and bitsandbytes allocate beside it, and CUDA's
own errors come as text. The words are those of CUDA 13's, cuDNN 9's and bitsandbytes 0.50's messages.
"""

from __future__ import annotations

import re
from typing import Final

import torch

_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|can't allocate memory|CUBLAS_STATUS_ALLOC_FAILED|CUDNN_STATUS_\w*ALLOC(ATION)?_FAILED"
)

_MAYBE_OUT_OF_MEMORY: Final = re.compile(
    # No memory for its handle, or no cuBLAS that fits the driver.
    r"CUBLAS_STATUS_NOT_INITIALIZED when calling `?cublasCreate"
    # No memory for its workspace, or a product of matrices that this card can't do.
    r"|cublasLt ran into an error"
)

_REASON_CHARS: Final = 200
"""Of a message's first line."""

_DEAD_AFTER: Final = (
    (
        re.compile(r"uncorrectable (ECC|NVLink) error|peer GPU memory over nvlink or a hardware error"),
        "the card's hardware is at fault: look at `nvidia-smi -q -d ECC,PAGE_RETIREMENT`, and reset or replace it",
    ),
    (
        re.compile(r"device-side assert"),
        (
            "a kernel met a number out of its range, such as a token that the model does not have: see that tokenizer "
            "and weights belong together; started with CUDA_LAUNCH_BLOCKING=1, the process tells which kernel"
        ),
    ),
    (
        re.compile(
            r"illegal memory access|misaligned address|illegal instruction|invalid program counter"
            r"|global/shared address space|hardware stack error|unspecified launch failure|launch timed out"
            r"|async error has occur?red in external entity|CUDA error: unknown error"
        ),
        (
            "this process can compute nothing more on this card: start it again; where it comes back, look for Xid in "
            "`dmesg`, and start it with CUDA_LAUNCH_BLOCKING=1 to learn which kernel it is"
        ),
    ),
)
"""Errors after which every further call on the card fails alike, and what to do about each."""


def is_out_of_memory(error: Exception, *, beyond_doubt: bool = False) -> bool:
    """Whether a pass failed for lack of memory.

    Args:
        error: what it raised.
        beyond_doubt: leave out what libraries say of other faults, too.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or _OUT_OF_MEMORY.search(str(error)):
        return True
    return not beyond_doubt and _MAYBE_OUT_OF_MEMORY.search(str(error)) is not None


def remedy_of(error: Exception) -> str | None:
    """What to do about an error that makes a card useless for the rest of the process; None for any other."""
    line = first_line(error)
    return next((remedy for signs, remedy in _DEAD_AFTER if signs.search(line)), None)


def first_line(error: Exception) -> str:
    """What a message says; torch goes on with advice about any error of CUDA, which names other errors."""
    return str(error).partition("\n")[0][:_REASON_CHARS]
