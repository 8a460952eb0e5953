"""Time how long a network learns until it gains so much on the validation windows, at every scale.

    python -m benchmarks.learning WORKSPACE NETWORK [--gain 1.2] [--minutes 30] [--times 1]

WORKSPACE holds params.yaml and what the stage split left. NETWORK is srcnn, vdsr or edsr, trained as its stage does, or plain:
VDSR as in `benchmarks/plain.py`. Of SRCNN, which is one network for each scale, the times of all are added up. Validation is
not timed. Seconds, or that the gain was not reached, go to `benchmarks/history.csv`.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import history, plain
from benchmarks.speed import NETWORKS
from cxr.compute.device import choose_device, choose_precision, repeatable
from cxr.compute.memory import keep_freed_memory
from cxr.compute.ranks import ALONE
from cxr.dataset import packed
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.foundation.runtime import Runtime
from cxr.superres.model import BUILDERS
from cxr.superres.network import is_post_upsampling, is_told, laid_out
from cxr.superres.settings import Degradation, Degrade, Ranges
from cxr.superres.training.crops import Crops, needed_margin
from cxr.superres.training.run import Run
from cxr.superres.training.settings import Augment, Training
from cxr.superres.training.validation import Validation
from stages import train_srcnn

EVERY = 50
"""Steps between two looks at the validation windows."""


def now() -> float:
    """Return a time in seconds, once a GPU has done what it was given."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


class Clock:
    """Seconds of training, and how much the network gained by then."""

    def __init__(self, name: str, gain: float, limit: float) -> None:
        self.name, self.gain, self.limit = name, gain, limit
        self.seconds = 0.0

    def reached(self, step: Callable[[], object], validation: Validation, network: Callable[..., Tensor], most: float) -> bool:
        """Take steps, `most` at most, until the gain is there at every degradation of `validation`; tell whether it is."""
        taken = 0
        while taken < most and self.seconds < self.limit:
            begun = now()
            count = int(min(EVERY, most - taken))
            for _ in range(count):
                step()
            self.seconds += now() - begun
            taken += count
            found = validation.measure(network)
            gains = {each.name: found[each][0] - validation.bicubic[each][0] for each in found}
            told = ", ".join(f"{each} {gain:+.2f}" for each, gain in gains.items())
            print(f"{self.name} {taken:6} steps {self.seconds:8.1f} s  {told} dB", flush=True)
            if min(gains.values()) >= self.gain:
                return True
        return False


def ours(name: str, workspace: Path, clock: Clock, seed: int) -> bool:
    """Train as the stage of `name` does; tell whether the gain was reached."""
    path = workspace / "params.yaml"
    settings, degrade = params.read(path, f"train_{name}", Training), params.read(path, "degrade", Degrade)
    augment = params.read(path, "augment", Augment)
    device = choose_device(params.read(path, "runtime", Runtime).device)
    precision = choose_precision(settings.precision, device)
    data = packed.load(*(workspace / each for each in (train_srcnn.PIXELS, train_srcnn.TABLE, train_srcnn.SPLIT)))
    builder, (_, start, _) = BUILDERS[name], NETWORKS[name]
    chosen = asdict(params.read(path, name, builder.architecture)) if builder.architecture else {}
    network = builder.build({**chosen, "scales": degrade.scales})
    start(network, seed)
    together: Sequence[Sequence[Degradation]] = [degrade.degradations]
    ranges = params.read(path, "ranges", Ranges) if name == "edsr" else None
    if ranges and ranges.varied:
        together = [[Degradation(scale, condition="ranges") for scale in degrade.scales]]
    else:
        ranges = None
    if name == "srcnn":
        together = [degrade.at(scale) for scale in degrade.scales]
    for number, degradations in enumerate(together):
        if number == 1:  # and on: what the stage gives each further scale, over which the learning rate falls
            settings = replace(settings, steps=math.ceil(settings.steps * train_srcnn.FURTHER))
        drawing = settings.patch, settings.batch, seed, device
        low = is_post_upsampling(network)
        margin = needed_margin([ranges.widest(each.scale) for each in degradations] if ranges else degradations)
        given = low, ranges, is_told(network)
        crops = Crops(data.images, data.rows("train"), augment, *drawing, ALONE, margin, *given)
        validation = Validation(data.images, data.rows("val"), degradations, device, *given)
        run = Run(
            laid_out(network, device),
            settings,
            degradations,
            precision,
            precision if name != "srcnn" else torch.float32,
            forms=builder.forms,
        )

        def step(run: Run = run, crops: Crops = crops, degradations: Sequence[Degradation] = degradations) -> None:
            run.train_step(*crops.observed(run.step, degradations))

        if not clock.reached(step, validation, run.judged, settings.steps):
            return False
        network.load_state_dict(run.averaged.module.state_dict())
    return True


def as_public_code(workspace: Path, clock: Clock, seed: int) -> bool:
    """Train VDSR as `benchmarks/plain.py` does; tell whether the gain was reached."""
    torch.manual_seed(seed)
    degrade = params.read(workspace / "params.yaml", "degrade", Degrade)
    data = packed.load(*(workspace / each for each in (train_srcnn.PIXELS, train_srcnn.TABLE, train_srcnn.SPLIT)))
    network: nn.Module = plain.VDSR()
    images = [frame.pixels.astype(np.uint8) for frame in data.images.chosen(data.rows("train"))]
    training = plain.train(network, plain.store_patches(images, degrade.scales), workers=0)
    validation = Validation(data.images, data.rows("val"), degrade.degradations, torch.device("cpu"))
    return clock.reached(partial(next, training), validation, network, math.inf)


def setting(name: str, workspace: Path) -> str:
    """Return what of `workspace`'s parameters decides how the network `name` learns."""
    path = workspace / "params.yaml"
    frame = params.load(path)["preprocess"]["frame"]
    if name == "plain":
        return f"{frame} frames"
    settings, architecture = params.read(path, f"train_{name}", Training), BUILDERS[name].architecture
    sizes = asdict(params.read(path, name, architecture)).items() if architecture else ()
    shape = "".join(f", {key} {value}" for key, value in sizes)
    crops = f"{settings.steps} steps of {settings.batch} x {settings.patch}^2"
    return f"{frame} frames{shape}, {crops}, {settings.precision}, {settings.schedule}, fourier {settings.fourier:g}"


def main() -> None:
    """Train, and print and keep the seconds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("network", choices=[*NETWORKS, "plain"])
    parser.add_argument("--gain", type=float, default=1.2, help="dB over bicubic")
    parser.add_argument("--minutes", type=float, default=30, help="after which it is stopped")
    parser.add_argument("--times", type=int, default=1, help="with the seeds 0, 1, ...")
    given = parser.parse_args()
    keep_freed_memory()
    source = f"python -m benchmarks.learning, {given.network}, +{given.gain:g} dB, {setting(given.network, given.workspace)}"
    for seed in range(given.times):
        clock = Clock(given.network, given.gain, 60 * given.minutes)
        with repeatable():
            work = as_public_code if given.network == "plain" else partial(ours, given.network)
            reached = work(given.workspace, clock, seed)
        what = f"{given.network} learns +{given.gain:g} dB" if reached else f"{given.network} has not learnt +{given.gain:g} dB"
        print(f"{what}: {clock.seconds:.0f} s, seed {seed}", flush=True)
        history.add([(what, clock.seconds, "s")], f"{source}, seed {seed}")


if __name__ == "__main__":
    with one_line_errors():
        main()
