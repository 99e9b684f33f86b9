"""What the libraries say: which of it is a lack of memory, and which a lost card."""

from __future__ import annotations

import pytest
import torch

from prefstream.scoring.judges.memory.device_errors import first_line, is_out_of_memory, remedy_of

ADVICE = """
Search for `cudaErrorSomething' in https://docs.nvidia.com/cuda/cuda-runtime-api/group__CUDART__TYPES.html for more.
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
"""With which torch ends every message of CUDA."""

SHORT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 139.81 GiB"),
    MemoryError(),
    torch.AcceleratorError("CUDA error: out of memory" + ADVICE),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN Frontend error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
]
MAYBE_SHORT_OF_MEMORY = [
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    RuntimeError("cublasLt ran into an error!\n\tshapeA=torch.Size([1, 64]), shapeB=torch.Size([64, 64])"),
]
LOST = {
    "CUDA error: an illegal memory access was encountered": "start it again",
    "CUDA error: unspecified launch failure": "start it again",
    "CUDA error: misaligned address": "start it again",
    "CUDA error: the launch timed out and was terminated": "start it again",
    "CUDA error: device-side assert triggered": "tokenizer and weights",
    "CUDA error: uncorrectable ECC error encountered": "reset or replace",
    "CUDA error: uncorrectable NVLink error detected during the execution": "reset or replace",
}
OTHERS = [
    ValueError("too many values to unpack"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`"),
    RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx`"),
    torch.AcceleratorError("CUDA error: invalid argument" + ADVICE),
]


@pytest.mark.parametrize("error", SHORT_OF_MEMORY, ids=str)
def test_a_lack_of_memory_is_one_beyond_doubt(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert is_out_of_memory(error, beyond_doubt=True)
    assert remedy_of(error) is None


@pytest.mark.parametrize("error", MAYBE_SHORT_OF_MEMORY, ids=str)
def test_what_may_be_another_fault_is_a_lack_of_memory_only_until_the_last_try(error: Exception) -> None:
    assert is_out_of_memory(error)
    assert not is_out_of_memory(error, beyond_doubt=True)
    assert remedy_of(error) is None


@pytest.mark.parametrize(("message", "remedy"), LOST.items())
def test_a_lost_card_has_its_own_remedy_and_no_lack_of_memory(message: str, remedy: str) -> None:
    error = torch.AcceleratorError(message + ADVICE)
    assert remedy in (remedy_of(error) or "")
    assert not is_out_of_memory(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_anything_else_is_neither(error: Exception) -> None:
    assert not is_out_of_memory(error)
    assert remedy_of(error) is None


def test_of_a_message_the_first_line_is_told_and_no_more_than_fits() -> None:
    assert first_line(RuntimeError("CUDA error: invalid argument" + ADVICE)) == "CUDA error: invalid argument"
    assert len(first_line(RuntimeError("x" * 10_000))) == 200
