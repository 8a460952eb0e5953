"""Which device to compute on, in which type to multiply there, and how to keep it busy."""

import os
import platform
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from cxr.foundation.environment import DEVICE, PRECISION
from cxr.foundation.errors import UserError

# oneDNN, which multiplies, can be told to use less than the processor has. Its guide ("CPU Dispatcher Control") lists the
# values; these multiply no bfloat16.
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
WITHOUT_BFLOAT16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}


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
        there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        may = there and _limit() not in WITHOUT_BFLOAT16
        fast = may and bool(has.get("amx_bf16") or has.get("avx512_bf16"))
    return torch.bfloat16 if wish == "bfloat16" or (wish == "auto" and fast) else torch.float32


def resolved(wish: Literal["auto", "cpu", "cuda"]) -> dict[str, str]:
    """Return what environment.json has of this machine: the device for `wish`, and in what `precision: auto` multiplies there.

    Raises UserError as `choose_device`.
    """
    device = choose_device(wish)
    return {DEVICE: device.type, PRECISION: str(choose_precision("auto", device)).removeprefix("torch.")}


def machine() -> dict[str, str | int]:
    """Return what of this machine changes the last digits of training: its threads and the kind of its processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {"threads": torch.get_num_threads(), "processor": named or platform.processor() or platform.machine()}


def _limit() -> str:
    """Return the instructions that oneDNN must not exceed, or an empty string. It too takes either variable and either case."""
    return next((os.environ[name].upper() for name in LIMITS if os.environ.get(name)), "")


def multiplying_in(precision: torch.dtype, device: torch.device) -> torch.autocast:
    """Return a context in which layers multiply in bfloat16, if that is `precision`, though their weights stay as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == torch.bfloat16)


def repeatable() -> AbstractContextManager[None]:
    """Return a context in which a GPU convolves the same way each time, and float32 in float32."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def to_device_async(tensor: Tensor, device: torch.device) -> Tensor:
    """Return `tensor`, which is in the CPU's memory, on `device`, without waiting for what a GPU is still to do."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
