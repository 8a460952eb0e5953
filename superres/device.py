"""Which device to compute on, in which type to multiply there, and what to do with the memory that becomes free."""

import ctypes
from contextlib import suppress
from typing import Literal

import torch

from superres.errors import UserError

# Settings of mallopt(3) by number: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD, each with the highest value that it takes, and
# M_ARENA_MAX, one for all threads, since what other arenas hold goes back whatever the threshold.
MEMORY = {-3: 2**25, -1: 2**31 - 1, -8: 1}


def choose_device(wish: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """Return the device to compute on. Raises UserError when CUDA is asked for and there is none."""
    if wish == "cuda" and not torch.cuda.is_available():
        raise UserError("runtime.device is cuda, but torch finds no CUDA device here; set it to auto or cpu")
    return torch.device("cuda" if wish != "cpu" and torch.cuda.is_available() else "cpu")


def choose_precision(wish: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """Return the type to multiply in: for `auto` bfloat16 where the hardware has it, else float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported()
    else:
        has = torch.cpu.get_capabilities()
        # oneDNN, which multiplies, may be told to use less than there is (ONEDNN_MAX_CPU_ISA).
        may = torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()  # type: ignore[no-untyped-call]
        fast = bool(may and (has.get("amx_bf16") or has.get("avx512_bf16")))
    return torch.bfloat16 if wish == "bfloat16" or (wish == "auto" and fast) else torch.float32


def multiplying_in(precision: torch.dtype, device: torch.device) -> torch.autocast:
    """Return a context in which layers multiply in `precision` and return it, though their weights stay float32."""
    return torch.autocast(device.type, precision, enabled=precision != torch.float32)


def keep_freed_memory() -> None:
    """Let this process keep what it frees, but for blocks above 32 MB; where the C library is not GNU's, do nothing.

    glibc gives much of it back to the system, and getting it again page by page took an eighth of VDSR's training.
    """
    with suppress(AttributeError, OSError, TypeError):  # no mallopt (musl, macOS), or no C library to open so (Windows)
        mallopt = ctypes.CDLL(None).mallopt
        for setting in MEMORY.items():
            mallopt(*setting)
