import gc
import os
import platform
import subprocess
import sys
import weakref
from contextlib import nullcontext

import pytest
import torch

from cxr.compute.cuda_graph import CudaGraphed
from cxr.compute.device import LIMITS, choose_device, choose_precision, multiplying_in
from cxr.foundation.errors import UserError
from tests.support.tiny import ROOT


@pytest.mark.parametrize("there", [True, False])
def test_auto_takes_cuda_where_there_is_one(monkeypatch, there):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device("auto").type == ("cuda" if there else "cpu")
    assert choose_device("cpu").type == "cpu"


def test_cuda_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"runtime\.device is cuda, but torch finds no CUDA device"):
        choose_device("cuda")


@pytest.mark.parametrize("has", ["amx_bf16", "avx512_bf16", None])
def test_precision_follows_the_hardware_unless_told(monkeypatch, has):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {has: True, "avx2": True})
    for name in LIMITS:
        monkeypatch.delenv(name, raising=False)
    cpu = torch.device("cpu")
    assert choose_precision("auto", cpu) == (torch.bfloat16 if has else torch.float32)
    assert choose_precision("float32", cpu) == torch.float32
    assert choose_precision("bfloat16", cpu) == torch.bfloat16


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("AVX2", torch.float32),
        ("avx2", torch.float32),
        ("AVX512_CORE_VNNI", torch.float32),
        ("AVX512_CORE_BF16", torch.bfloat16),
        ("AVX512_CORE_AMX", torch.bfloat16),
        ("DEFAULT", torch.bfloat16),
        ("", torch.bfloat16),
    ],
)
def test_what_onednn_must_not_use_is_not_chosen(monkeypatch, name, limit, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True, "amx_bf16": True})
    for other in LIMITS:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, limit)
    assert choose_precision("auto", torch.device("cpu")) == expected


# oneDNN's own answer, where it is told to use less than any bfloat16 needs; it reads the variables once, so a process each.
@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("limit", ["AVX2", "avx2"])
def test_onednn_takes_the_limits_that_are_read_here(name, limit):
    code = "import torch; print(torch.ops.mkldnn._is_mkldnn_bf16_supported())"
    environment = {key: value for key, value in os.environ.items() if key not in LIMITS} | {name: limit}
    told = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    assert told.stdout == "False\n"


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_products_are_of_the_precision_asked_for(precision):
    layer = torch.nn.Linear(3, 2)
    with multiplying_in(precision, torch.device("cpu")):
        assert layer(torch.ones(1, 3)).dtype == precision
    assert layer.weight.dtype == torch.float32


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
@pytest.mark.parametrize("kept", [True, False])
def test_freed_memory_is_kept_for_the_next_maps(kept):
    code = f"""
import resource, numpy
from cxr.compute.memory import keep_freed_memory
if {kept}:
    keep_freed_memory()
def maps():
    return [numpy.ones(2**23) for _ in range(3)]
maps()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    maps()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    faults = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    # Ten times 200 MB are 490,000 pages of 4 KiB, or 960 of 2 MiB.
    assert (int(faults.stdout) < 100) == kept


class Cycle:
    def __init__(self):
        self.itself = self


def test_work_is_rehearsed_recorded_and_then_replayed(monkeypatch):
    calls = []
    unneeded = Cycle()
    gone = weakref.ref(unneeded)

    def work(first, second):
        calls.append((gone() is None, gc.isenabled()))
        return [first + second]

    class Graph:
        """Like torch's, but on a CPU, where recording is calling."""

        def replay(self):
            recorded.results[0].copy_(recorded.given[0] + recorded.given[1])

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda _: nullcontext())
    recorded = CudaGraphed(work)
    one, two = torch.tensor([1.0]), torch.tensor([2.0])
    assert recorded(one, two)[0].item() == 3
    gc.disable()  # or it might go by itself
    del unneeded
    gc.enable()
    assert recorded(one, one)[0].item() == 2
    for number in range(5):
        assert recorded(one * number, two)[0].item() == number + 2
    # Once in earnest and once recorded, with nothing left that could be freed meanwhile.
    assert calls == [(False, True), (True, False)]
    assert gc.isenabled()
