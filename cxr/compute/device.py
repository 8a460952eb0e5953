"""Which device to compute on, in which type to multiply there, and how to keep it busy."""

import ctypes
import gc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Literal

import torch
from torch import Tensor

from cxr.foundation.errors import UserError

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


def repeatable() -> AbstractContextManager[None]:
    """Return a context in which a GPU convolves the same way each time, and float32 in float32."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return `tensor`, which is in the CPU's memory, on `device`, without waiting for what a GPU is still to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


class Recorded:
    """Work on a CUDA device that always takes the same steps, recorded as a CUDA graph at its second call.

    A small network is hundreds of kernels of a few microseconds each, and starting them one by one takes longer than they do;
    recorded, they are started together. Every call must bring tensors of the same shapes, and may overwrite the results of the
    one before. What the work reads and changes besides must stay where it is in memory.
    """

    def __init__(self, work: Callable[..., Sequence[Tensor]]) -> None:
        self.work = work
        self.rehearsed = False
        self.graph: torch.cuda.CUDAGraph | None = None
        self.given: list[Tensor] = []
        self.results: Sequence[Tensor] = []

    def __call__(self, *given: Tensor) -> Sequence[Tensor]:
        """Return what the work makes of `given`."""
        if not self.rehearsed:  # libraries make their plans and take memory, which must not be recorded
            self.rehearsed = True
            return self.work(*given)
        if self.graph is None:
            self.graph = self._record(given)
        torch._foreach_copy_(self.given, list(given))
        self.graph.replay()
        return self.results

    def _record(self, given: Sequence[Tensor]) -> torch.cuda.CUDAGraph:
        self.given = [tensor.clone() for tensor in given]
        graph = torch.cuda.CUDAGraph()
        # Were an earlier network's graph, which nobody needs any more, freed meanwhile, that would end the recording.
        gc.collect()
        gc.disable()
        try:
            with torch.cuda.graph(graph):
                self.results = self.work(*self.given)
        finally:
            gc.enable()
        return graph


def keep_freed_memory() -> None:
    """Let this process keep what it frees, but for blocks above 32 MB; where the C library is not GNU's, do nothing.

    glibc gives much of it back to the system, and getting it again page by page took an eighth of VDSR's training.
    """
    with suppress(AttributeError, OSError, TypeError):  # no mallopt (musl, macOS), or no C library to open so (Windows)
        mallopt = ctypes.CDLL(None).mallopt
        for setting in MEMORY.items():
            mallopt(*setting)
