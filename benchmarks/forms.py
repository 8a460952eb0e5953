"""Time the forms of each network, and torch's own compiler, side by side: a training step and an evaluation.

    python -m benchmarks.forms [--seconds N]
    ONEDNN_MAX_CPU_ISA=AVX2 python -m benchmarks.forms

A training step is forwards and back on a default batch of params.yaml, an evaluation an image of 512 pixels. The forms take
turns of one each, for N seconds a network; appends medians, lowest and highest values to `benchmarks/history.csv`, and what the
first call of a compiled network took. The compiler needs a C++ compiler, so that no stage uses it.
"""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import history
from cxr.compute.device import choose_precision
from cxr.compute.memory import keep_freed_memory
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.superres.kernels.forms import Published
from cxr.superres.kernels.srcnn_around_level import AroundLevel
from cxr.superres.kernels.srcnn_columns import Columns
from cxr.superres.kernels.vdsr import ByHand, InOnePass
from cxr.superres.networks import srcnn, vdsr
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.training.settings import Training

PARAMS = Path("params.yaml")
SIDE = 512  # pixels of an image that is evaluated
SPREAD = 0.01  # standard deviation of weights that start at zero, whose products would be faster

Work = Callable[[], object]
Form = Callable[[Tensor], Tensor]


class Joined(SRCNN):
    """SRCNN that repeats its borders by joining: torch's compiler has no gradient of the padding that repeats them."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the enhanced images."""
        enhanced: Tensor = Columns(self, torch.float32)(images)
        return enhanced


def networks() -> dict[str, nn.Module]:
    """Return SRCNN and VDSR as training starts them, but with no zeros among their weights, channels last."""
    made: dict[str, nn.Module] = {"srcnn": SRCNN(), "vdsr": VDSR()}
    srcnn.start_from_bicubic(made["srcnn"], 0)  # type: ignore[arg-type]
    vdsr.start_from_bicubic(made["vdsr"], 0)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    for network in made.values():
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(SPREAD * torch.randn(parameter.shape, generator=generator))
        nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return made


def training_forms(name: str, network: Any, precision: torch.dtype) -> Iterator[tuple[str, Callable[[], Form]]]:
    """Yield the names of the forms in which `network` may learn in `precision`, and what makes them."""
    yield "eager", lambda: Published(network, precision)
    if precision != torch.float32:
        yield "eager in float32", lambda: Published(network, torch.float32)
    if name == "srcnn":
        joined = Joined()
        joined.extraction, joined.mapping, joined.reconstruction = network.extraction, network.mapping, network.reconstruction
        yield "compiled", lambda: torch.compile(Published(joined, precision))
        yield "kernel", lambda: (Columns if precision == torch.float32 else AroundLevel)(network, precision)
    else:
        yield "compiled", lambda: torch.compile(Published(network, precision))
        yield "kernel", lambda: ByHand(network, precision)


def evaluation_forms(name: str, network: Any, precision: torch.dtype) -> Iterator[tuple[str, Callable[[], Form]]]:
    """Yield the same of the forms in which it may restore."""
    precision = torch.float32 if name == "srcnn" else precision
    yield "eager", lambda: Published(network, precision)
    yield "compiled", lambda: torch.compile(Published(network, precision))
    yield "kernel", lambda: (Columns if name == "srcnn" else InOnePass)(network, precision)


def step(form: Form, parameters: Sequence[Tensor], batch: int, patch: int) -> Work:
    """Return a function that runs `form`, which has these `parameters`, forwards and back on one batch."""
    inputs, truth = torch.rand(2, batch, 1, patch, patch, generator=torch.Generator().manual_seed(0))

    def work() -> None:
        for parameter in parameters:
            parameter.grad = None
        torch.autograd.backward((form(inputs) - truth).abs().mean())

    return work


def evaluation(form: Form) -> Work:
    """Return a function that restores an image with `form`."""
    image = torch.rand(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))

    def work() -> None:
        with torch.no_grad():
            form(image)

    return work


def in_turn(works: Mapping[str, Work], seconds: float) -> dict[str, list[float]]:
    """Return the milliseconds that each of `works` took, in turns of one for `seconds`."""
    found: dict[str, list[float]] = {name: [] for name in works}
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for name, work in works.items():
            start = time.perf_counter()
            work()
            found[name].append(1000 * (time.perf_counter() - start))
    return found


def measured(name: str, network: nn.Module, precision: torch.dtype, seconds: float) -> list[history.Figure]:
    """Return the figures of one network."""
    settings = params.read(PARAMS, f"train_{name}", Training)
    figures: list[history.Figure] = []
    for what, forms in (("step", training_forms), ("evaluation", evaluation_forms)):
        works = {}
        for form, make in forms(name, network, precision):
            start = time.perf_counter()
            ready = make()
            weights = list(network.parameters())
            works[form] = step(ready, weights, settings.batch, settings.patch) if what == "step" else evaluation(ready)
            works[form]()
            if form == "compiled":
                figures.append((f"{name} {what} compiled first call", time.perf_counter() - start, "s"))
        for form, milliseconds in in_turn(works, seconds / 2).items():
            figures += history.spread(f"{name} {what} {form}", milliseconds, "ms")
    return figures


def main() -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=120)
    seconds = parser.parse_args().seconds
    keep_freed_memory()
    precision = choose_precision("auto", torch.device("cpu"))
    print(f"{history.processor()}, torch {torch.__version__}, {str(precision).removeprefix('torch.')}")
    figures = [figure for name, network in networks().items() for figure in measured(name, network, precision, seconds)]
    for what, value, unit in figures:
        print(f"{what:44}{value:10.1f} {unit}")
    history.add(figures, "python -m benchmarks.forms")


if __name__ == "__main__":
    with one_line_errors():
        main()
