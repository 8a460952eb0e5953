"""Time this project beside the recipe of public implementations, in one run: `make bench`.

    python -m benchmarks.speed [--rounds N]

Training, evaluation and preprocessing as the stages do them, beside `benchmarks/plain.py`, in turn, N times: medians, and from
lowest to highest. With the parameters of params.yaml, but at plain's 64 patches of 41x41. Best run alone on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count, islice, product
from pathlib import Path
from statistics import median
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from ruamel.yaml import YAML
from torch import nn

from benchmarks import plain
from superres import modelfile, params
from superres.degrade import Degradation, Degrade
from superres.device import choose_device, choose_precision, multiplying_in
from superres.errors import one_line_errors
from superres.models import srcnn, vdsr
from superres.models.srcnn import SRCNN
from superres.models.vdsr import VDSR
from superres.patches import Augment, Crops
from superres.restoration import Restorers, measured
from superres.sources.phantom import draw
from superres.training import AT_ONCE, Run, Training

PARAMS = Path("params.yaml")
DEMO = Path("demo")
SCALES: Final = (2, 3, 4)
IMAGES, SIZE = 8, 512
FILES, SIDE = 400, 1200  # radiographs to prepare, and pixels a side, as in the Kaggle set
# Multiply-adds for each pixel, forwards; a training step takes three times as many.
OPERATIONS = {"srcnn": 57_184, "vdsr": 664_704}
STEPS = {"srcnn": 30, "vdsr": 5}  # of each round

Images = npt.NDArray[np.uint8]
Sides = Mapping[str, Callable[[], float]]


def in_turn(sides: Sides, rounds: int) -> dict[str, list[float]]:
    """Return what each side returns, after a first call that does not count, in `rounds` calls, the sides taking turns."""
    for side in sides.values():
        side()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return found


def rate(work: Callable[[], object], units: float) -> float:
    """Return how many of its `units` `work` does in a second."""
    start = time.perf_counter()
    work()
    return units / (time.perf_counter() - start)


def report(what: str, unit: str, found: Mapping[str, Sequence[float]], beside: str = "plain") -> None:
    """Print medians and spread of each side, and how many times that of `beside` each is."""
    base = median(found[beside])
    for name, rates in found.items():
        spread = f"{min(rates):,.2f} to {max(rates):,.2f}"
        print(f"{what:14}{name:8}{median(rates):12,.2f} {unit:12}({spread}){'':4}{median(rates) / base:.2f} x {beside}")


def multiplies(dtype: torch.dtype) -> float:
    """Return the rate of this machine's matrix products in operations a second: the best of squares of 4096 and 8192."""

    def product_of(size: int) -> float:
        left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
        left @ right
        return max(rate(lambda: left @ right, 2 * size**3) for _ in range(3))

    return max(product_of(4096), product_of(8192))


def plain_steps(network: nn.Module, patches: torch.utils.data.TensorDataset, workers: int, steps: int) -> float:
    """Return the patches a second of so many steps of the plain recipe, after one in which its loader starts."""
    training = plain.train(network, patches, workers)
    next(training)
    patches_a_second = rate(lambda: list(islice(training, steps)), steps * plain.BATCH)
    training.close()  # and with it the loader's workers
    return patches_a_second


def started_srcnn() -> nn.Module:
    """Return SRCNN as its stage starts it."""
    network = SRCNN()
    srcnn.start_from_bicubic(network, seed=0)
    return network


def started_vdsr() -> nn.Module:
    """Return VDSR as its stage starts it."""
    network = VDSR()
    vdsr.start_from_bicubic(network, seed=0)
    return network


def training_sides(name: str, images: Images) -> Sides:
    """Return the training of one network: plain's, ours as its stage does it, and ours with neither data nor optimiser."""
    device = torch.device("cpu")
    ours, theirs = (started_srcnn(), plain.srcnn()) if name == "srcnn" else (started_vdsr(), plain.VDSR())
    scales = SCALES[:1] if name == "srcnn" else SCALES
    patches = plain.store_patches(list(images), scales)
    steps = STEPS[name]
    workers = max(range(3), key=lambda number: plain_steps(theirs, patches, number, steps))
    print(f"{name}: the plain recipe is fastest with {workers} workers; {plain.BATCH} patches of {plain.PATCH}x{plain.PATCH}")

    ours = nn.utils.convert_conv2d_weight_memory_format(ours, torch.channels_last)
    settings = params.read(PARAMS, f"train_{name}", Training)
    settings = replace(settings, batch=plain.BATCH, patch=plain.PATCH)
    augment = params.read(PARAMS, "augment", Augment)
    precision = choose_precision(settings.precision, device)
    degradations = [Degradation(scale) for scale in scales]
    crops = Crops(images, np.arange(len(images)), augment, plain.PATCH, plain.BATCH, 0, device)
    run = Run(ours, settings, degradations, precision)
    inputs, truth = crops.observed(0, degradations)
    parts = -(-truth.numel() // AT_ONCE)

    def learn() -> None:
        for _ in range(steps):
            run.learn(*crops.observed(run.step, degradations))

    def bare() -> None:
        for _ in range(steps):
            ours.zero_grad()
            for some, expected in zip(inputs.chunk(parts), truth.chunk(parts), strict=True):
                with multiplying_in(precision, device):
                    restored = ours(some)
                torch.autograd.backward((restored - expected).abs().mean())

    return {
        "plain": lambda: plain_steps(theirs, patches, workers, steps),
        "ours": lambda: rate(learn, steps * plain.BATCH),
        "bare": lambda: rate(bare, steps * plain.BATCH),
    }


def evaluation_sides(images: Images, folder: Path) -> Sides:
    """Return the evaluation of two networks and bicubic interpolation, with all metrics: an image at one scale is a unit."""
    degrade = Degrade(SCALES, noise=(0.0,), seed=0)
    described = {**degrade.levels, "precision": str(choose_precision("auto", torch.device("cpu"))).removeprefix("torch.")}
    nets = {f"x{scale}": SRCNN().state_dict() for scale in SCALES}
    modelfile.write(folder / "srcnn", nets, {"network": "srcnn", "mapping": 5, **described})
    modelfile.write(folder / "vdsr", {"vdsr": VDSR().state_dict()}, {"network": "vdsr", **described})
    restorers = Restorers(folder / "srcnn", folder / "vdsr", degrade, torch.device("cpu"))
    networks = plain.srcnn(), plain.VDSR()
    cases = list(product(images[:2], SCALES))

    def ours() -> None:
        for image, scale in cases:
            measured(restorers.restore(image, "", Degradation(scale)), scale)

    def theirs() -> None:
        for image, scale in cases:
            plain.evaluate(networks, image, scale)

    return {"plain": lambda: rate(theirs, len(cases)), "ours": lambda: rate(ours, len(cases))}


def preprocessing_sides(images: Images, folder: Path) -> Sides:
    """Return the preparation of JPEG files: plain's own time, and that of our whole stage, from start to contact sheet."""
    for number, image in zip(range(FILES), varied(images), strict=False):
        name = folder / "data/raw/NORMAL" / f"IM-{number:04d}-0001.jpeg"
        name.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    yaml = YAML()
    document = yaml.load(PARAMS)
    document["preprocess"]["size"] = SIZE
    with (folder / PARAMS).open("w") as file:
        yaml.dump(document, file)
    files = sorted(folder.glob("data/raw/*/*"))
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); from stages.preprocess import main; main()"]

    def stage() -> None:
        subprocess.run([*command, str(Path.cwd())], cwd=folder, check=True, capture_output=True)

    return {
        "plain": lambda: rate(lambda: np.save(folder / "plain.npy", plain.preprocess(files, SIZE)), FILES),
        "ours": lambda: rate(stage, FILES),
    }


def varied(images: Images) -> Iterator[Images]:
    """Yield SIDE x SIDE versions of `images` for ever, no two with the same pixels."""
    large = [cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for image in images]
    for number in count():
        yield np.roll(large[number % len(large)], number, axis=1)


def idle_repro() -> float | None:
    """Return the seconds that `dvc repro` takes in the demo's folder when nothing has changed; None without a finished demo."""
    if not (DEMO / "dvc.lock").exists():
        return None
    command = [sys.executable, "-m", "dvc", "repro"]
    start = time.perf_counter()
    done = subprocess.run(command, cwd=DEMO, check=False, capture_output=True, text=True)
    return time.perf_counter() - start if "up to date" in done.stdout else None


def processor() -> str:
    """Return the processor's name, as Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown processor")


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    choose_device("cpu")
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    precision = choose_precision("auto", torch.device("cpu"))
    rates = {dtype: multiplies(dtype) for dtype in {torch.float32, precision}}
    for dtype, found in rates.items():
        print(f"matrix products in {str(dtype).removeprefix('torch.')}: {found / 1e9:,.0f} GFLOP/s")
    images = np.stack([draw(0, index, SIZE).pixels for index in range(IMAGES)])
    for name, operations in OPERATIONS.items():
        found_rates = in_turn(training_sides(name, images), rounds)
        report(f"train {name}", "patches/s", found_rates)
        share = median(found_rates["ours"]) / median(found_rates["bare"])
        done = median(found_rates["ours"]) * 6 * operations * plain.PATCH**2
        print(f"{'':14}as the stage does it, {share:.1%} of the bare network's rate;", end=" ")
        print(f"{done / 1e9:,.0f} GFLOP/s, {done / rates[precision]:.0%} of the matrix products' in {str(precision)[6:]}")
    with tempfile.TemporaryDirectory() as folder:
        report("evaluate", "images/s", in_turn(evaluation_sides(images, Path(folder)), rounds))
    with tempfile.TemporaryDirectory() as folder:
        report("preprocess", "images/s", in_turn(preprocessing_sides(images, Path(folder)), min(rounds, 3)))
    seconds = idle_repro()
    print("dvc repro with nothing to do: " + (f"{seconds:.1f} s" if seconds else "run make demo first"))


if __name__ == "__main__":
    with one_line_errors():
        main()
