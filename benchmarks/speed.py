"""Time this project beside the recipe of public implementations, in one run: `make bench`.

    python -m benchmarks.speed [--rounds N]

Training, evaluation and preprocessing as the stages do them, beside `benchmarks/plain.py`, in turn, N times, each in a process
of its own: medians, and from lowest to highest. With the parameters of params.yaml, but at plain's 64 patches of 41x41. Best
run alone on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import count, islice, product
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import ClassVar, Final

import cv2
import numpy as np
import numpy.typing as npt
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from benchmarks import plain
from superres import modelfile, params
from superres.degrade import Degradation, Degrade
from superres.device import choose_precision, keep_freed_memory
from superres.errors import one_line_errors
from superres.models import srcnn, vdsr
from superres.models.srcnn import SRCNN
from superres.models.vdsr import VDSR
from superres.patches import Augment, Crops, reach
from superres.restoration import Restorers, measured
from superres.sources.phantom import draw
from superres.training import Run, Training

PARAMS = Path("params.yaml")
DEMO = Path("demo")
SCALES: Final = (2, 3, 4)
IMAGES, SIZE = 8, 512
FILES, SIDE = 400, 1200  # radiographs to prepare, and pixels a side, as in the Kaggle set
# Multiply-adds for each pixel, forwards; a training step takes three times as many.
OPERATIONS = {"srcnn": 57_184, "vdsr": 664_704}
# Of each round. Ours are to take about as long as plain's, so that both see as much of a machine whose rates change.
PLAIN_STEPS, OUR_STEPS = {"srcnn": 30, "vdsr": 5}, {"srcnn": 120, "vdsr": 20}
TURNS = 10  # that a round of the stage and of the bare network is taken in

Images = npt.NDArray[np.uint8]


Maker = Callable[..., Callable[[], float]]


class Side:
    """A measurement in a process of its own, so that no side finds memory as another left it."""

    _measure: ClassVar[Callable[[], float]]

    def __init__(self, make: Maker, *what: object) -> None:
        """Let the process call `make` with `what`: the function that it returns measures."""
        # Spawned, since a fork would inherit this process's threads.
        self.process = ProcessPoolExecutor(1, get_context("spawn"), initializer=self._start, initargs=(make, what))

    def measure(self) -> float:
        """Measure once more."""
        return self.process.submit(self._again).result()

    @classmethod
    def _start(cls, make: Maker, what: Sequence[object]) -> None:
        cls._measure = staticmethod(make(*what))

    @classmethod
    def _again(cls) -> float:
        return cls._measure()


def in_turn(sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """Return what each side measures, after a first time that does not count, in `rounds` rounds of all sides; end them."""
    for side in sides.values():
        side.measure()
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side.measure())
    for side in sides.values():
        side.process.shutdown()
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


def products(dtype: torch.dtype) -> Callable[[], float]:
    """Return a function that measures the rate of matrix products in `dtype` now: the median of some tenths of a second."""
    left, right = (torch.randn(4096, 4096).to(dtype) for _ in range(2))
    return lambda: median(rate(lambda: left @ right, 2 * 4096**3) for _ in range(5))


def scales_of(name: str) -> tuple[int, ...]:
    """Return the scales that one network is trained for."""
    return SCALES[:1] if name == "srcnn" else SCALES


def plain_training(name: str, images: Images) -> Callable[[], float]:
    """Return a function that trains as plain does, with as many workers as suit it best; it returns patches a second."""
    network = plain.srcnn() if name == "srcnn" else plain.VDSR()
    patches = plain.store_patches(list(images), scales_of(name))

    def steps(workers: int) -> float:
        training = plain.train(network, patches, workers)
        next(training)  # in which its loader starts
        found = rate(lambda: list(islice(training, PLAIN_STEPS[name])), PLAIN_STEPS[name] * plain.BATCH)
        training.close()  # and with it the loader's workers
        return found

    workers = max(range(3), key=steps)
    print(f"{name}: the plain recipe is fastest with {workers} workers; {plain.BATCH} patches of {plain.PATCH}x{plain.PATCH}")
    return lambda: steps(workers)


def our_training(name: str, images: Images) -> Callable[[], float]:
    """Return a function that trains as our stage does: patches a second."""
    step, _ = our_steps(name, images)
    return lambda: rate(lambda: [step() for _ in range(OUR_STEPS[name])], OUR_STEPS[name] * plain.BATCH)


def our_share(name: str, images: Images) -> Callable[[], float]:
    """Return a function that trains as our stage does and as the bare network, by turns; it returns their rates' ratio.

    Turns take a second or less, and the ratio is the median of theirs, so that both see the machine at the same rate.
    """
    as_the_stage, bare = our_steps(name, images)

    def turn(step: Callable[[], object]) -> float:
        return rate(lambda: [step() for _ in range(OUR_STEPS[name] // TURNS)], 1)

    return lambda: median(turn(as_the_stage) / turn(bare) for _ in range(TURNS))


def our_steps(name: str, images: Images) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a function that takes a step as our stage does, and one with neither data nor optimiser: the bare network's."""
    keep_freed_memory()
    run, draw_batch = start_training(name, images, plain.BATCH, plain.PATCH, torch.device("cpu"))

    def as_the_stage() -> None:
        run.learn(*draw_batch())

    for _ in range(5):  # the gradients of the first steps are zeros, which are multiplied faster
        as_the_stage()
    return as_the_stage, partial(run.gather, *draw_batch())


def start_training(
    name: str, images: Images, batch: int, patch: int, device: torch.device
) -> tuple[Run, Callable[[], tuple[Tensor, Tensor]]]:
    """Return a training run as our stages start it, but for batch and patch, and the function that draws its next batch."""
    network = SRCNN() if name == "srcnn" else VDSR()
    if isinstance(network, SRCNN):
        srcnn.start_from_bicubic(network, seed=0)
    else:
        vdsr.start_from_bicubic(network, seed=0)
    nn.utils.convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
    settings = replace(params.read(PARAMS, f"train_{name}", Training), batch=batch, patch=patch)
    augment = params.read(PARAMS, "augment", Augment)
    precision = choose_precision(settings.precision, device)
    degradations = [Degradation(scale) for scale in scales_of(name)]
    crops = Crops(images, np.arange(len(images)), augment, patch, batch, 0, device, margin=reach(degradations))
    run = Run(network, settings, degradations, precision)
    return run, lambda: crops.observed(run.step, degradations)


def plain_evaluation(images: Images) -> Callable[[], float]:
    """Return a function that evaluates as plain does: images a second, an image at one scale being one."""
    networks = plain.srcnn(), plain.VDSR()
    cases = list(product(images, SCALES))
    return lambda: rate(lambda: [plain.evaluate(networks, *case) for case in cases], len(cases))


def our_evaluation(images: Images, folder: Path) -> Callable[[], float]:
    """Return a function that evaluates as our stage does, with models that it writes into `folder`."""
    keep_freed_memory()
    degrade = Degrade(SCALES, noise=(0.0,), seed=0)
    described = {**degrade.levels, "precision": str(choose_precision("auto", torch.device("cpu"))).removeprefix("torch.")}
    nets = {f"x{scale}": SRCNN().state_dict() for scale in SCALES}
    modelfile.write(folder / "srcnn", nets, {"network": "srcnn", "mapping": 5, **described})
    modelfile.write(folder / "vdsr", {"vdsr": VDSR().state_dict()}, {"network": "vdsr", **described})
    restorers = Restorers(folder / "srcnn", folder / "vdsr", degrade, torch.device("cpu"))
    cases = list(product(images, SCALES))

    def evaluate() -> None:
        for image, scale in cases:
            measured(restorers.restore(image, "", Degradation(scale)), scale)

    return lambda: rate(evaluate, len(cases))


def prepare_folder(images: Images, folder: Path) -> None:
    """Write FILES radiographs as JPEG, and params.yaml, into `folder`."""
    for number, image in zip(range(FILES), varied(images), strict=False):
        name = folder / "data/raw/NORMAL" / f"IM-{number:04d}-0001.jpeg"
        name.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(name), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    yaml = YAML()
    document = yaml.load(PARAMS)
    document["preprocess"]["size"] = SIZE
    with (folder / PARAMS).open("w") as file:
        yaml.dump(document, file)


def plain_preprocessing(folder: Path) -> Callable[[], float]:
    """Return a function that prepares the files of `folder` as plain does: files a second."""
    files = sorted(folder.glob("data/raw/*/*"))
    return lambda: rate(lambda: np.save(folder / "plain.npy", plain.preprocess(files, SIZE)), len(files))


def our_preprocessing(folder: Path) -> Callable[[], float]:
    """Return a function that runs our whole stage on `folder`, from start to contact sheet."""
    command = [sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1]); from stages.preprocess import main; main()"]
    run = partial(subprocess.run, [*command, str(Path.cwd())], cwd=folder, check=True, capture_output=True)
    return lambda: rate(run, FILES)


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
    print(f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    precision = choose_precision("auto", torch.device("cpu"))
    rates = {dtype: multiplies(dtype) for dtype in {torch.float32, precision}}
    for dtype, found in rates.items():
        print(f"matrix products in {str(dtype).removeprefix('torch.')}: {found / 1e9:,.0f} GFLOP/s")
    images = np.stack([draw(0, index, SIZE).pixels for index in range(IMAGES)])
    for name, operations in OPERATIONS.items():
        sides = {"plain": Side(plain_training, name, images)}
        sides |= {"ours": Side(our_training, name, images), "share": Side(our_share, name, images)}
        sides["products"] = Side(products, precision)
        found_rates = in_turn(sides, rounds)
        between = sorted(found / 1e9 for found in found_rates.pop("products"))
        shares = sorted(found_rates.pop("share"))
        report(f"train {name}", "patches/s", found_rates)
        done = median(found_rates["ours"]) * 6 * operations * plain.PATCH**2
        share = f"{median(shares):.1%} ({shares[0]:.1%} to {shares[-1]:.1%})"
        print(f"{'':14}the stage runs at {share} of the bare network's rate; {done / 1e9:,.0f} GFLOP/s,")
        print(f"{'':14}{done / rates[precision]:.0%} of the rate of matrix products in {str(precision)[6:]},", end=" ")
        print(f"which between these rounds ran at {median(between):,.0f} ({between[0]:,.0f} to {between[-1]:,.0f})")
    with tempfile.TemporaryDirectory() as folder:
        cases = images[:2]
        sides = {"plain": Side(plain_evaluation, cases), "ours": Side(our_evaluation, cases, Path(folder))}
        report("evaluate", "images/s", in_turn(sides, rounds))
    with tempfile.TemporaryDirectory() as folder:
        prepare_folder(images, Path(folder))
        sides = {"plain": Side(plain_preprocessing, Path(folder)), "ours": Side(our_preprocessing, Path(folder))}
        report("preprocess", "images/s", in_turn(sides, min(rounds, 3)))
    seconds = idle_repro()
    print("dvc repro with nothing to do: " + (f"{seconds:.1f} s" if seconds else "run make demo first"))


if __name__ == "__main__":
    with one_line_errors():
        main()
