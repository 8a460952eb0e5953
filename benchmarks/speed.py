"""Time this project beside the recipe of public implementations, in one run: `make bench`.

    python -m benchmarks.speed [--rounds N]

Training, evaluation and preprocessing as the stages do them, beside `benchmarks/plain.py`, in turn, N times, each in a process
of its own: medians, and from lowest to highest. With the parameters of params.yaml, but at plain's 64 patches of 41x41. Best
run alone on the machine. A virtual machine's neighbours may use the same cores all the same, so a round is taken in turns,
of a few seconds at most but for preprocessing, with a matrix product before and after each: the turns between products at their
full rate are reported apart. A round has as many turns as take ten seconds, so that slow machines need not wait for hours.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain, count, cycle, islice, product
from multiprocessing import get_context
from pathlib import Path
from statistics import harmonic_mean, median
from typing import Any, ClassVar, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from ruamel.yaml import YAML
from torch import Tensor, nn

from benchmarks import history, plain
from cxr.compute import modelfile
from cxr.compute.device import choose_precision
from cxr.compute.memory import keep_freed_memory
from cxr.dataset.packed import Frames
from cxr.foundation import params
from cxr.foundation.errors import one_line_errors
from cxr.sources import table
from cxr.sources.phantom.scene import draw
from cxr.superres.evaluation.restore import Restorers, measured
from cxr.superres.kernels.forms import AS_PUBLISHED, Forms
from cxr.superres.kernels.srcnn import FORMS as SRCNN_FORMS
from cxr.superres.kernels.vdsr import FORMS as VDSR_FORMS
from cxr.superres.network import is_post_upsampling, laid_out
from cxr.superres.networks import edsr, srcnn, vdsr
from cxr.superres.networks.edsr import EDSR
from cxr.superres.networks.srcnn import SRCNN
from cxr.superres.networks.vdsr import VDSR
from cxr.superres.settings import Degradation, Degrade
from cxr.superres.training.crops import Crops, needed_margin
from cxr.superres.training.run import Run
from cxr.superres.training.settings import Augment, Training

PARAMS = Path("params.yaml")
DEMO = Path("demo")
SCALES: Final = (2, 3, 4)
IMAGES, SIZE = 8, 512
FILES, SIDE = 400, 1200  # radiographs to prepare, and pixels a side, as in the Kaggle set
# How each network is made and started, and its forms.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, int], None], Forms]] = {
    "srcnn": (SRCNN, srcnn.start_from_bicubic, SRCNN_FORMS),
    "vdsr": (VDSR, vdsr.start_from_bicubic, VDSR_FORMS),
    "edsr": (EDSR, edsr.start_from_bicubic, AS_PUBLISHED),
}
# Multiply-adds for each pixel of the result, forwards, EDSR's in the mean of its scales; a training step takes three times as
# many.
OPERATIONS = {"srcnn": 57_184, "vdsr": 664_704, "edsr": 89_148}
# Of EDSR there is no public recipe to be beside.
PLAIN_STEPS, OUR_STEPS = {"srcnn": 2, "vdsr": 1}, {"srcnn": 6, "vdsr": 1}  # in a turn of training
# Seconds that a side's round is to take, in this many turns at most: all then see as much of a machine whose rates change.
ROUND, MOST_TURNS = 10, 20
PRODUCTS = {torch.bfloat16: 4096, torch.float32: 2048}  # rows of squares multiplied in a tenth of a second or so
FULL = 0.8  # of the products' best rate: with one of two cores slowed by a neighbour they reach about six tenths

Images = npt.NDArray[np.uint8]


class Turn(NamedTuple):
    """What was measured in one turn, and the lower rate of the matrix products just before and after, operations a second."""

    rate: float
    products: float


Round = list[Turn]
Maker = Callable[..., Callable[[], Round]]


class Side:
    """A measurement in a process of its own, so that no side finds memory as another left it."""

    _measure: ClassVar[Callable[[], Round]]

    def __init__(self, make: Maker, *what: object) -> None:
        """Let the process call `make` with `what`: the function that it returns measures."""
        # Spawned, since a fork would inherit this process's threads.
        self.process = ProcessPoolExecutor(1, get_context("spawn"), initializer=self._start, initargs=(make, what))

    def measure(self) -> Round:
        """Measure once more."""
        return self.process.submit(self._again).result()

    @classmethod
    def _start(cls, make: Maker, what: Sequence[object]) -> None:
        cls._measure = staticmethod(make(*what))

    @classmethod
    def _again(cls) -> Round:
        return cls._measure()


def in_turn(sides: Mapping[str, Side], rounds: int) -> dict[str, list[Round]]:
    """Return what each side measures, after a first time that does not count, in `rounds` rounds of all sides; end them."""
    for side in sides.values():
        side.measure()
    found: dict[str, list[Round]] = {name: [] for name in sides}
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


def between_products(measure: Callable[[], float], turns: int) -> Callable[[], Round]:
    """Return a function that calls `measure` for each of `turns` turns, between matrix products."""
    precision = choose_precision("auto", torch.device("cpu"))
    multiply = product_of(PRODUCTS[precision], precision)

    def measure_all() -> Round:
        found, before = [], multiply()
        for _ in range(turns):
            measured_rate, after = measure(), multiply()
            found.append(Turn(measured_rate, min(before, after)))
            before = after
        return found

    return measure_all


def turns_of(turn: Callable[[], object]) -> int:
    """Return how many times `turn`, which is done once, fits into a round; at least once, and at most MOST_TURNS times."""
    return min(MOST_TURNS, max(1, round(ROUND * rate(turn, 1))))


def report(what: str, unit: str, found: Mapping[str, Sequence[Round]], best: float) -> list[history.Figure]:
    """Print medians and spread of each side's rounds, and of its undisturbed turns; return the figures of the rounds.

    Those are the turns between products at `FULL` of `best` (operations a second), or of the best in `found` if that is more.
    """
    turns = {name: list(chain.from_iterable(rounds)) for name, rounds in found.items()}
    products = sorted(turn.products for turn in chain.from_iterable(turns.values()))
    full = FULL * max(best, products[-1])
    undisturbed = {name: [turn.rate for turn in each if turn.products >= full] for name, each in turns.items()}
    rates = {name: list(map(rate_of, rounds)) for name, rounds in found.items()}
    print_beside(what, unit, rates)
    if all(undisturbed.values()):
        print_beside("  undisturbed", unit, undisturbed)
    else:
        print("  undisturbed: no turn of " + " or ".join(name for name, rates in undisturbed.items() if not rates))
    low, middle, high = (each / 1e9 for each in (products[0], median(products), products[-1]))
    print(f"  products meanwhile: {middle:,.0f} ({low:,.0f} to {high:,.0f}) GFLOP/s; undisturbed: at least {full / 1e9:,.0f}")
    name = what.replace(" ", "_")
    figures = [figure for side, each in rates.items() for figure in history.spread(f"{name} {side}", each, unit)]
    return [*figures, (f"{name} ours over plain", median(rates["ours"]) / median(rates["plain"]), "ratio")]


def rate_of(turns: Round) -> float:
    """Return the rate of a whole round, whose turns do the same work each."""
    return harmonic_mean([turn.rate for turn in turns])


def print_beside(what: str, unit: str, found: Mapping[str, Sequence[float]]) -> None:
    """Print medians and spread of each side's rates, and how many times plain's each is."""
    base = median(found["plain"])
    for name, rates in found.items():
        spread = f"{min(rates):,.2f} to {max(rates):,.2f}, of {len(rates)}"
        print(f"{what:15}{name:7}{median(rates):12,.2f} {unit:12}({spread}){'':4}{median(rates) / base:.2f} x plain")


def multiplies(dtype: torch.dtype) -> float:
    """Return the rate of this machine's matrix products in operations a second: the best of squares of 4096 and 8192."""
    best = 0.0
    for size in (4096, 8192):
        multiply = product_of(size, dtype)
        multiply()
        best = max(best, *(multiply() for _ in range(3)))
    return best


def product_of(size: int, dtype: torch.dtype) -> Callable[[], float]:
    """Return a function that multiplies two squares and returns the operations a second."""
    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    return partial(rate, lambda: left @ right, 2 * size**3)


def scales_of(name: str) -> tuple[int, ...]:
    """Return the scales that one network is trained for."""
    return SCALES[:1] if name == "srcnn" else SCALES


def plain_training(name: str, images: Images) -> Callable[[], Round]:
    """Return a function that trains as plain does, with as many workers as suit it best; it measures patches a second."""
    network = plain.srcnn() if name == "srcnn" else plain.VDSR()
    patches = plain.store_patches(list(images), scales_of(name))
    steps = PLAIN_STEPS[name]

    def train(workers: int, turns: int | None = None) -> Round:
        training = plain.train(network, patches, workers)
        next(training)  # in which its loader starts

        def turn() -> float:
            return rate(lambda: list(islice(training, steps)), steps * plain.BATCH)

        found = between_products(turn, turns or turns_of(turn))()
        training.close()  # and with it the loader's workers
        return found

    tried = [train(workers) for workers in range(3)]
    workers = max(range(3), key=lambda workers: rate_of(tried[workers]))
    print(f"{name}: the plain recipe is fastest with {workers} workers; {plain.BATCH} patches of {plain.PATCH}x{plain.PATCH}")
    return lambda: train(workers, len(tried[workers]))  # the workers load ahead during products, to plain's advantage


def our_training(name: str, images: Images) -> Callable[[], Round]:
    """Return a function that trains as our stage does, and measures patches a second."""
    step, _ = our_steps(name, images)
    steps = OUR_STEPS[name]

    def turn() -> float:
        return rate(lambda: [step() for _ in range(steps)], steps * plain.BATCH)

    return between_products(turn, turns_of(turn))


def our_share(name: str, images: Images) -> Callable[[], Round]:
    """Return a function that trains as our stage does and as the bare network, and measures the ratio of their rates.

    Within each turn, of a few steps each, so that both see the machine at the same rate.
    """
    as_the_stage, bare = our_steps(name, images)

    def trained(step: Callable[[], object]) -> float:
        return rate(lambda: [step() for _ in range(OUR_STEPS[name])], 1)

    def turn() -> float:
        return trained(as_the_stage) / trained(bare)

    return between_products(turn, turns_of(turn))


def our_steps(name: str, images: Images) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return a function that takes a step as our stage does, and one with neither data nor optimiser: the bare network's."""
    keep_freed_memory()
    run, draw_batch = start_training(name, Frames.of(images), plain.BATCH, plain.PATCH, torch.device("cpu"))

    def as_the_stage() -> None:
        run.train_step(*draw_batch())

    for _ in range(5):  # the gradients of the first steps are zeros, which are multiplied faster
        as_the_stage()
    return as_the_stage, partial(run.compute_gradients, *draw_batch())


def start_training(
    name: str, images: Frames, batch: int, patch: int, device: torch.device
) -> tuple[Run, Callable[[], tuple[Tensor, ...]]]:
    """Return a training run as our stages start it, but for batch and patch, and the function that draws its next batch."""
    build, start, forms = NETWORKS[name]
    network = build()
    start(network, 0)
    network = laid_out(network, device)
    settings = replace(params.read(PARAMS, f"train_{name}", Training), batch=batch, patch=patch)
    augment = params.read(PARAMS, "augment", Augment)
    precision = choose_precision(settings.precision, device)
    degradations = [Degradation(scale) for scale in scales_of(name)]
    drawing = augment, patch, batch, 0, device
    margin, low = needed_margin(degradations), is_post_upsampling(network)
    crops = Crops(images, np.arange(len(images)), *drawing, margin=margin, post_upsampling=low)
    run = Run(network, settings, degradations, precision, forms=forms)
    return run, lambda: crops.observed(run.step, degradations)


def plain_evaluation(images: Images) -> Callable[[], Round]:
    """Return a function that evaluates as plain does: images a second, an image at one scale being one, and a turn."""
    networks = plain.srcnn(), plain.VDSR()
    cases = cycle(product(images, SCALES))
    return between_products(lambda: rate(lambda: plain.evaluate(networks, *next(cases)), 1), len(images) * len(SCALES))


def our_evaluation(images: Images, folder: Path) -> Callable[[], Round]:
    """Return a function that evaluates as our stage does, with models that it writes into `folder`.

    A turn is an image at all scales.
    """
    keep_freed_memory()
    degrade = Degrade(SCALES, noise=(0.0,), seed=0)
    described = {**degrade.levels, "precision": str(choose_precision("auto", torch.device("cpu"))).removeprefix("torch.")}
    nets = {f"x{scale}": SRCNN().state_dict() for scale in SCALES}
    modelfile.write(folder / "srcnn.safetensors", nets, {"network": "srcnn", "mapping": 5, **described})
    modelfile.write(folder / "vdsr.safetensors", {"vdsr": VDSR().state_dict()}, {"network": "vdsr", **described})
    restorers = Restorers(folder, degrade.degradations, degrade.seed, torch.device("cpu"), ["srcnn", "vdsr"])
    turns = cycle(Frames.of(images))

    def evaluate() -> None:
        image = next(turns)
        for scale in SCALES:
            measured(restorers.restore(image, "", Degradation(scale)), scale)

    evaluate()
    return between_products(lambda: rate(evaluate, len(SCALES)), turns_of(evaluate))


def _square(index: int) -> Images:
    """Return the central square of phantom `index`: a plain implementation has no whole frames."""
    pixels = draw(0, index, SIZE).pixels
    left = (pixels.shape[1] - SIZE) // 2
    return pixels[:, left : left + SIZE].astype(np.uint8)


def prepare_folder(images: Images, folder: Path) -> None:
    """Write FILES radiographs as JPEG with their table, and params.yaml, into `folder`."""
    raw = folder / "data/raw"
    listed = [table.Listed(name, name, name) for name in (f"NORMAL/IM-{number:04d}-0001.jpeg" for number in range(FILES))]
    (raw / "NORMAL").mkdir(parents=True)
    for row, image in zip(listed, varied(images), strict=False):
        cv2.imwrite(str(raw / row.file), image, [cv2.IMWRITE_JPEG_QUALITY, 95])
    table.write(raw, listed)
    yaml = YAML()
    document = yaml.load(PARAMS)
    document["preprocess"]["size"] = SIZE
    with (folder / PARAMS).open("w") as file:
        yaml.dump(document, file)


def plain_preprocessing(folder: Path) -> Callable[[], Round]:
    """Return a function that prepares the files of `folder` as plain does, and measures files a second."""
    files = sorted(folder.glob("data/raw/*/*.jpeg"))
    return between_products(lambda: rate(lambda: np.save(folder / "plain.npy", plain.preprocess(files, SIZE)), len(files)), 1)


def our_preprocessing(folder: Path) -> Callable[[], Round]:
    """Return a function that runs our whole stage on `folder`, from start to contact sheet, and measures files a second."""
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", "stages.preprocess"]
    run = partial(subprocess.run, command, cwd=folder, env=environment, check=True, capture_output=True)
    return between_products(lambda: rate(run, FILES), 1)


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


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    figures: list[history.Figure] = []
    print(f"{history.processor()}, torch {torch.__version__}")
    precision = choose_precision("auto", torch.device("cpu"))
    rates = {dtype: multiplies(dtype) for dtype in {torch.float32, precision}}
    for dtype, found in rates.items():
        print(f"matrix products in {str(dtype).removeprefix('torch.')}: {found / 1e9:,.0f} GFLOP/s")
        figures.append((f"matrix products in {str(dtype).removeprefix('torch.')}", found / 1e9, "GFLOP/s"))
    images = np.stack([_square(index) for index in range(IMAGES)])
    for name in PLAIN_STEPS:
        sides = {"plain": Side(plain_training, name, images)}
        sides |= {"ours": Side(our_training, name, images), "share": Side(our_share, name, images)}
        found_rates = in_turn(sides, rounds)
        shares = sorted(median(turn.rate for turn in turns) for turns in found_rates.pop("share"))
        figures += report(f"train {name}", "patches/s", found_rates, rates[precision])
        figures.append((f"train_{name} share of the bare network's rate", 100 * median(shares), "%"))
        done = median(map(rate_of, found_rates["ours"])) * 6 * OPERATIONS[name] * plain.PATCH**2
        print(
            f"  the stage runs at {median(shares):.1%} ({shares[0]:.1%} to {shares[-1]:.1%}) of the bare network's rate;",
            end=" ",
        )
        print(f"{done / 1e9:,.0f} GFLOP/s, {done / rates[precision]:.0%} of the rate of products in {str(precision)[6:]}")
    with tempfile.TemporaryDirectory() as folder:
        cases = images[:2]
        sides = {"plain": Side(plain_evaluation, cases), "ours": Side(our_evaluation, cases, Path(folder))}
        figures += report("evaluate", "images/s", in_turn(sides, rounds), rates[precision])
    with tempfile.TemporaryDirectory() as folder:
        prepare_folder(images, Path(folder))
        sides = {"plain": Side(plain_preprocessing, Path(folder)), "ours": Side(our_preprocessing, Path(folder))}
        figures += report("preprocess", "images/s", in_turn(sides, min(rounds, 3)), rates[precision])
    if seconds := idle_repro():
        figures.append(("dvc repro with nothing to do", seconds, "s"))
    print("dvc repro with nothing to do: " + (f"{seconds:.1f} s" if seconds else "run make demo first"))
    history.add(figures, f"make bench, {rounds} rounds")
    print(f"\nThe last on a processor of this kind ({history.HISTORY}):")
    print("\n".join(history.last(history.read(), history.processor(), ("ours median", "ours over plain"))))


if __name__ == "__main__":
    with one_line_errors():
        main()
